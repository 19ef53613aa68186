"""Run one crawl of one crawler and measure it from outside.

Calls come from the sandbox's ledger, memory and CPU time of the crawler from /proc, CPU time of mongod from
`serverStatus`. This module knows how to start each crawler; `bench` decides which are compared and judges the figures.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.sandbox.process import SandboxProcess

ROOT = Path(__file__).resolve().parent.parent
OURS, TUNED, SDK = "xingtu-crawler", "asyncio by hand", "SDK, 16 threads"
TUTORIAL = "Scrapy tutorial"
"""With `LOG_LEVEL=INFO`."""
NOISY_TUTORIAL = "Scrapy tutorial, log at DEBUG"
"""With Scrapy's default settings: the log shows every item."""
DETAILS = ("author_base_info", "author_marketing_info", "author_rec_videos", "author_video_distribution")
LONGEST_S = 900
_SAMPLE_S = 0.02
_LEDGER_S = 1.0
_MB = 1_000_000
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """A crawl did not do what it was measured for. Raised by `Contest.crawl` and `Run.growth`."""


@dataclass(frozen=True, slots=True)
class Run:
    """One measured crawl.

    `calls` were sent, `answered` brought a usable answer, `complete` authors have all four details. `seconds` run from
    the first call until the process has ended and everything is stored. `cpu` is the CPU time of the process (user and
    system), `start_cpu` the part of it before the first call, `mongod_cpu` the CPU time of mongod, all in seconds.
    `peak` is the largest resident memory in MB, `early` the largest until a tenth of the answers had arrived (None if
    the crawl was too fast to see that moment). `stored` is the bytes of documents by collection.
    """

    crawler: str
    authors: int
    calls: int
    answered: int
    complete: int
    in_flight: int
    seconds: float
    cpu: float
    start_cpu: float
    mongod_cpu: float
    peak: float
    early: float | None
    stored: Mapping[str, int] = field(repr=False)

    @property
    def rate(self) -> float:
        """Useful calls per second, from the first call until everything is stored."""
        return self.answered / self.seconds

    @property
    def useful(self) -> float:
        """The share of calls that brought a usable answer."""
        return self.answered / self.calls

    @property
    def cpu_per_call(self) -> float:
        """CPU milliseconds per call from the first call on: the start of the process is left out, as in `rate`."""
        return 1000 * (self.cpu - self.start_cpu) / self.calls

    @property
    def process_cpu_per_call(self) -> float:
        """CPU milliseconds per call of the whole process, its start included."""
        return 1000 * self.cpu / self.calls

    @property
    def mongod_per_author(self) -> float:
        """CPU milliseconds of mongod per author."""
        return 1000 * self.mongod_cpu / self.authors

    @property
    def stored_per_author(self) -> float:
        """Kilobytes of stored documents per author, all collections together."""
        return sum(self.stored.values()) / self.authors / 1000

    @property
    def growth(self) -> float:
        """The share by which memory grew after the first tenth of the run.

        Raises `BenchmarkError` if the run was too fast to see that moment.
        """
        if self.early is None:
            raise BenchmarkError(f"{self.crawler} was too fast to measure its memory at a tenth: take more authors")
        return self.peak / self.early - 1


@dataclass(frozen=True, slots=True)
class Contest:
    """The sandbox to crawl and the MongoDB to write to; `star_ids_file`: fetch these authors' details, no search."""

    sandbox: SandboxProcess
    mongo_uri: str
    folder: Path
    authors: int
    star_ids_file: Path | None = None

    def crawl(self, crawler: str, *, must_complete: bool = True) -> Run:
        """Crawl into an empty database; raise `BenchmarkError` if `must_complete` and authors are missing."""
        database = f"bench_{time.monotonic_ns()}"
        words, variables = self._command(crawler, database)
        self.sandbox.control(reset_ledger=True)
        log = self.folder / f"{database}.log"
        mongod, cpu = self._mongod_cpu(), _children_cpu()
        with log.open("wb") as output:
            process = subprocess.Popen(
                words, cwd=self.folder, env=_environment(variables), stdout=output, stderr=output
            )
            try:
                usage = self._watch(process)
            finally:
                process.kill()
                process.wait()
        ended_at, cpu = time.time(), _children_cpu() - cpu
        ledger = self.sandbox.ledger()
        mongod = self._mongod_cpu() - mongod
        complete, stored = self._take_stock(database)
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
            cpu=cpu,
            start_cpu=max((spent for at, spent in usage.spent if at <= ledger["first_at"]), default=0.0),
            mongod_cpu=mongod,
            peak=usage.peak,
            early=usage.early,
            stored=stored,
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
        elif crawler in {TUTORIAL, NOISY_TUTORIAL}:
            variables = {}
            arguments = {"base_url": base_url, "token": token, "max_authors": self.authors}
            settings = {"MONGO_URI": self.mongo_uri, "MONGO_DATABASE": database}
            if crawler == TUTORIAL:
                settings["LOG_LEVEL"] = "INFO"
            words = ["scrapy", "runspider", str(ROOT / "benchmarks" / "tutorial_project" / "xingtu.py")]
            words += [word for name, value in arguments.items() for word in ("-a", f"{name}={value}")]
            words += [word for name, value in settings.items() for word in ("-s", f"{name}={value}")]
        else:
            variables = {}
            module = {TUNED: "asyncio_tuned", SDK: "sdk_threads"}[crawler]
            words = [f"benchmarks.peers.{module}", base_url, token, self.mongo_uri, database]
            words += [] if self.star_ids_file is None else ["--star-ids-file", str(self.star_ids_file)]
        return [sys.executable, "-m", *words], variables

    def _watch(self, process: subprocess.Popen[bytes]) -> _Usage:
        """Sample the process until it has ended."""
        tenth = self.authors * len(DETAILS) // 10
        begun = read_at = time.monotonic()
        usage = _Usage()
        while process.poll() is None:
            now = time.monotonic()
            if now - begun > LONGEST_S:
                raise BenchmarkError(f"the crawl did not end within {LONGEST_S} s")
            usage.sample(process.pid)
            if usage.early is None and now - read_at >= _LEDGER_S:
                read_at = now
                if self.sandbox.ledger()["answered"] >= tenth:
                    usage.early = usage.peak
            time.sleep(_SAMPLE_S)
        return usage

    def _mongod_cpu(self) -> float:
        """Return the CPU seconds that mongod has used so far."""
        with MongoClient[dict[str, Any]](self.mongo_uri) as client:
            extra = client.admin.command("serverStatus")["extra_info"]
        return float(extra["user_time_us"] + extra["system_time_us"]) / 1e6

    def _take_stock(self, database: str) -> tuple[int, dict[str, int]]:
        """Return how many authors have all four details and the bytes of each collection, and drop the database."""
        with MongoClient[dict[str, Any]](self.mongo_uri) as client:
            stored = client[database]
            ids = [set(stored[name].distinct("star_id", {"data": {"$ne": None}})) for name in DETAILS]
            names = stored.list_collection_names(filter={"type": "collection"})
            sizes = {name: int(stored.command("collStats", name)["size"]) for name in names}
            client.drop_database(database)
        return len(set.intersection(*ids)), sizes


@dataclass(slots=True)
class _Usage:
    """Samples of one process: its largest memory in MB, and (Unix time, CPU seconds) pairs."""

    peak: float = 0.0
    early: float | None = None
    spent: list[tuple[float, float]] = field(default_factory=list)

    def sample(self, pid: int) -> None:
        """Read /proc; a process that has just ended leaves the samples as they are."""
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return
        peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), None)
        if peak is not None:  # a zombie has none
            self.peak = int(peak) * 1024 / _MB
            self.spent.append((time.time(), (int(times[11]) + int(times[12])) / _TICKS_PER_S))


@contextmanager
def contest(authors: int, *options: str) -> Iterator[Contest]:
    """Start a sandbox of `authors` authors with these options and an embedded MongoDB; stop both at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="xingtu-bench-") as folder,
        SandboxProcess.start(["--authors", str(authors), *options]) as sandbox,
        EmbeddedMongo(Path(folder) / "mongo", min_free_bytes=0) as mongo_uri,
    ):
        yield Contest(sandbox, mongo_uri, Path(folder), authors)


def rounds(place: Contest, crawlers: Sequence[str], count: int, *, must_complete: bool = True) -> Iterator[Run]:
    """Yield `count` runs of each crawler in turns; the first of each round alternates."""
    order = list(crawlers)
    for _ in range(count):
        for crawler in order:
            yield place.crawl(crawler, must_complete=must_complete)
        order.reverse()


def _children_cpu() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    foreign = ("JUSTONEAPI_", "MONGO_", "XINGTU_", "SCRAPY_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**inherited, "PYTHONPATH": str(ROOT), **variables}
