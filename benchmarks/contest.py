"""One crawl of one crawler, watched from outside: calls by the sandbox's ledger, memory and computing time by /proc.

Knows how each crawler is started; which are compared, and what the figures must come to, is said in `bench`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.sandbox.process import SandboxProcess

ROOT = Path(__file__).resolve().parent.parent
OURS, TUNED, SDK, TUTORIAL = "xingtu-crawler", "asyncio by hand", "SDK, 16 threads", "Scrapy tutorial"
DETAILS = ("author_base_info", "author_marketing_info", "author_rec_videos", "author_video_distribution")
LONGEST_S = 900
_SAMPLE_S = 0.1
_LEDGER_S = 1.0
_MB = 1_000_000


class BenchmarkError(Exception):
    """A crawl did not do what it was measured for. Raised by `Contest.crawl` and `Run.growth`."""


@dataclass(frozen=True, slots=True)
class Run:
    """One crawl: `calls` on the wire, `answered` usefully, `complete` authors with all four details.

    `seconds` from the first call until the process had ended, everything stored; `wall` its whole life; `cpu` what it
    computed. `peak` is its largest resident memory in MB, `early` the largest until a tenth of the answers was there,
    None where that moment was missed.
    """

    crawler: str
    authors: int
    calls: int
    answered: int
    complete: int
    in_flight: int
    seconds: float
    wall: float
    cpu: float
    peak: float
    early: float | None

    @property
    def rate(self) -> float:
        """Useful calls per second, from the first call until all is stored."""
        return self.answered / self.seconds

    @property
    def useful(self) -> float:
        """The share of calls that brought something."""
        return self.answered / self.calls

    @property
    def growth(self) -> float:
        """By which share the memory grew after a tenth of the run; `BenchmarkError` where that moment was missed."""
        if self.early is None:
            raise BenchmarkError(f"{self.crawler} was too fast to be measured after a tenth of it: take more authors")
        return self.peak / self.early - 1


@dataclass(frozen=True, slots=True)
class Contest:
    """What is crawled, and where to; `star_ids_file`: these authors' details, no search."""

    sandbox: SandboxProcess
    mongo_uri: str
    folder: Path
    authors: int
    star_ids_file: Path | None = None

    def crawl(self, crawler: str, *, must_complete: bool = True) -> Run:
        """Crawl into an empty database; raise `BenchmarkError` where authors are missing that `must_complete`."""
        database = f"bench_{time.monotonic_ns()}"
        words, variables = self._command(crawler, database)
        self.sandbox.control(reset_ledger=True)
        log = self.folder / f"{database}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                words, cwd=self.folder, env=_environment(variables), stdout=output, stderr=output
            )
            try:
                watched = self._watch(process)
            finally:
                process.kill()
                process.wait()
        ended_at = time.time()
        ledger = self.sandbox.ledger()
        complete = self._complete(database)
        if must_complete and complete != self.authors:
            sys.stderr.write(log.read_text(encoding="utf-8", errors="replace")[-4000:])
            raise BenchmarkError(f"{crawler}: {complete} of {self.authors} authors are complete")
        return Run(
            crawler=crawler,
            authors=self.authors,
            calls=ledger["calls"],
            answered=ledger["answered"],
            complete=complete,
            in_flight=ledger["max_in_flight"],
            seconds=ended_at - ledger["first_at"],
            **watched,
        )

    def _command(self, crawler: str, database: str) -> tuple[list[str], dict[str, str]]:
        base_url, token = self.sandbox.base_url, "benchmark"
        ids = [] if self.star_ids_file is None else [f"star_ids_file={self.star_ids_file}"]
        if crawler == OURS:
            variables = {
                "SCRAPY_SETTINGS_MODULE": "xingtu_crawler.settings",
                "JUSTONEAPI_ENV": "sandbox",
                "JUSTONEAPI_BASE_URL": base_url,
                "JUSTONEAPI_TOKEN": token,
                "MONGO_URI": self.mongo_uri,
                "MONGO_DATABASE": database,
            }
            words = ["scrapy", "crawl", "authors" if ids else "author_square"]
            words += [word for argument in ids for word in ("-a", argument)]
        elif crawler == TUTORIAL:
            variables = {}
            arguments = {"base_url": base_url, "token": token, "max_authors": self.authors}
            settings = {"MONGO_URI": self.mongo_uri, "MONGO_DATABASE": database, "LOG_LEVEL": "INFO"}
            words = ["scrapy", "runspider", str(ROOT / "benchmarks" / "tutorial_project" / "xingtu.py")]
            words += [word for name, value in arguments.items() for word in ("-a", f"{name}={value}")]
            words += [word for name, value in settings.items() for word in ("-s", f"{name}={value}")]
        else:
            variables = {}
            module = {TUNED: "asyncio_tuned", SDK: "sdk_threads"}[crawler]
            words = [f"benchmarks.peers.{module}", base_url, token, self.mongo_uri, database]
            words += [] if self.star_ids_file is None else ["--star-ids-file", str(self.star_ids_file)]
        return [sys.executable, "-m", *words], variables

    def _watch(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Return what the process used; it has ended then."""
        tenth = self.authors * len(DETAILS) // 10
        begun = time.monotonic()
        asked_at, peak, cpu = begun, 0.0, 0.0
        early: float | None = None
        while process.poll() is None:
            now = time.monotonic()
            if now - begun > LONGEST_S:
                raise BenchmarkError(f"the crawl did not end within {LONGEST_S} s")
            peak, cpu = _usage(process.pid) or (peak, cpu)
            if early is None and now - asked_at >= _LEDGER_S:
                asked_at = now
                if self.sandbox.ledger()["answered"] >= tenth:
                    early = peak
            time.sleep(_SAMPLE_S)
        return {"wall": time.monotonic() - begun, "cpu": cpu, "peak": peak, "early": early}

    def _complete(self, database: str) -> int:
        """Return how many authors have all four details, and forget the database."""
        with MongoClient[dict[str, Any]](self.mongo_uri) as client:
            ids = [set(client[database][name].distinct("star_id", {"data": {"$ne": None}})) for name in DETAILS]
            client.drop_database(database)
        return len(set.intersection(*ids))


@contextmanager
def contest(authors: int, *options: str) -> Iterator[Contest]:
    """Start a sandbox of so many authors with these options, and an embedded MongoDB; both are gone at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="xingtu-bench-") as folder,
        SandboxProcess.start(["--authors", str(authors), *options]) as sandbox,
        EmbeddedMongo(Path(folder) / "mongo", min_free_bytes=0) as mongo_uri,
    ):
        yield Contest(sandbox, mongo_uri, Path(folder), authors)


def rounds(place: Contest, crawlers: Sequence[str], count: int, *, must_complete: bool = True) -> Iterator[Run]:
    """Yield `count` runs of each crawler in turns; who goes first alternates."""
    order = list(crawlers)
    for _ in range(count):
        for crawler in order:
            yield place.crawl(crawler, must_complete=must_complete)
        order.reverse()


def _usage(pid: int) -> tuple[float, float] | None:
    """Return the largest resident memory so far in MB and the computing time in seconds; None where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), None)
    if peak is None:  # it has ended and was not waited for
        return None
    return int(peak) * 1024 / _MB, (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    foreign = ("JUSTONEAPI_", "MONGO_", "XINGTU_", "SCRAPY_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**inherited, "PYTHONPATH": str(ROOT), **variables}
