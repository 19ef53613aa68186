"""How many calls per second end in MongoDB: our crawler against the one that a tutorial would write.

Both crawl the same authors of the same sandbox process into the same MongoDB, in turns, within one run of this
program. The figure is their ratio; no absolute time means anything, for it is the machine's. The ratio that is judged
is that to the tutorial as it stands, whose log is at DEBUG; `bench` judges that to a quiet tutorial, which is harder.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from xingtu_crawler.exceptions import UserError
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.sandbox.process import SandboxProcess

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL_SPIDER = ROOT / "benchmarks" / "tutorial_project" / "xingtu.py"

OURS = "xingtu-crawler"
TUTORIAL = "tutorial project"
"""With Scrapy's default settings, as a tutorial leaves them: the log is at DEBUG and shows every item."""
QUIET_TUTORIAL = "tutorial project, LOG_LEVEL=INFO"
COLLECTIONS = (
    "authors",
    "author_base_info",
    "author_marketing_info",
    "author_rec_videos",
    "author_video_distribution",
)
"""One document per author in each: what both crawlers have to have stored in the end."""

AUTHORS = 400
"""Whole pages of twenty: ours stores everything on a page that it has read, the other stops in the middle of it."""
ROUNDS = 3
LEAST_RATIO = 1.8
_LONGEST_CRAWL_S = 300


class BenchmarkError(Exception):
    """A crawl did not do what it was measured for. Raised by `measure`."""


@dataclass(frozen=True, slots=True)
class Run:
    """One crawl: `crawl_s` from its first call to its last, `process_s` the whole process, `cpu_s` what it computed.

    All in seconds. The computing time is what a busy machine distorts least.
    """

    crawler: str
    calls: int
    crawl_s: float
    process_s: float
    cpu_s: float

    @property
    def crawl_rate(self) -> float:
        """Calls per second between the first and the last call."""
        return self.calls / self.crawl_s

    @property
    def process_rate(self) -> float:
        """Calls per second of the process's life, its start and its end included."""
        return self.calls / self.process_s


@dataclass(frozen=True, slots=True)
class Bench:
    """Where both crawlers crawl, and where they write to."""

    sandbox: SandboxProcess
    mongo_uri: str
    folder: Path
    authors: int

    def measure(self, crawler: str) -> Run:
        """Crawl into an empty database and return what it took; raise `BenchmarkError` where rows are missing."""
        database = f"bench_{time.monotonic_ns()}"
        words, variables, cwd = self._ours(database) if crawler == OURS else self._tutorial(crawler, database)
        self.sandbox.control(reset_ledger=True)
        log = self.folder / f"{database}.log"
        with log.open("w", encoding="utf-8") as output:
            begun, cpu_before = time.monotonic(), _children_cpu_s()
            done = subprocess.run(
                words,
                cwd=cwd,
                env=_environment(variables),
                stdout=output,
                stderr=output,
                timeout=_LONGEST_CRAWL_S,
                check=False,
            )
            process_s, cpu_s = time.monotonic() - begun, _children_cpu_s() - cpu_before
        self._check(crawler, database, done.returncode, log)
        ledger = self.sandbox.ledger()
        return Run(crawler, ledger["calls"], ledger["last_at"] - ledger["first_at"], process_s, cpu_s)

    def _ours(self, database: str) -> tuple[list[str], dict[str, str], Path]:
        variables = {
            "SCRAPY_SETTINGS_MODULE": "xingtu_crawler.settings",
            "PYTHONPATH": str(ROOT),
            "JUSTONEAPI_ENV": "sandbox",
            "JUSTONEAPI_BASE_URL": self.sandbox.base_url,
            "JUSTONEAPI_TOKEN": "benchmark",
            "MONGO_URI": self.mongo_uri,
            "MONGO_DATABASE": database,
        }
        words = ["crawl", "author_square", "-a", f"max_authors={self.authors}"]
        return [sys.executable, "-m", "scrapy", *words], variables, self.folder

    def _tutorial(self, crawler: str, database: str) -> tuple[list[str], dict[str, str], Path]:
        arguments = {"base_url": self.sandbox.base_url, "token": "benchmark", "max_authors": self.authors}
        settings = {"MONGO_URI": self.mongo_uri, "MONGO_DATABASE": database}
        if crawler == QUIET_TUTORIAL:
            settings["LOG_LEVEL"] = "INFO"
        words = ["runspider", str(TUTORIAL_SPIDER)]
        words += [word for name, value in arguments.items() for word in ("-a", f"{name}={value}")]
        words += [word for name, value in settings.items() for word in ("-s", f"{name}={value}")]
        return [sys.executable, "-m", "scrapy", *words], {}, self.folder

    def _check(self, crawler: str, database: str, exit_code: int, log: Path) -> None:
        with MongoClient[dict[str, Any]](self.mongo_uri) as client:
            stored = {name: client[database][name].count_documents({}) for name in COLLECTIONS}
            client.drop_database(database)
        if exit_code or set(stored.values()) != {self.authors}:
            sys.stderr.write(log.read_text(encoding="utf-8"))
            raise BenchmarkError(f"{crawler} ended with {exit_code}; stored: {stored}, {self.authors} each expected")


def compare(*, authors: int, rounds: int) -> Iterator[Run]:
    """Yield one run after the other: each round has one of each crawler, who goes first alternates.

    `authors` is a multiple of twenty, the size of a page.

    Raises `BenchmarkError` where a crawl did not store every author.
    """
    with (
        tempfile.TemporaryDirectory(prefix="xingtu-bench-") as folder,
        SandboxProcess.start(["--authors", str(authors * 2)]) as sandbox,
        EmbeddedMongo(Path(folder) / "mongo") as mongo_uri,
    ):
        bench = Bench(sandbox, mongo_uri, Path(folder), authors)
        # Not counted: the sandbox renders each body once, and MongoDB opens its files.
        bench.measure(TUTORIAL)
        order = [OURS, TUTORIAL, QUIET_TUTORIAL]
        for _ in range(rounds):
            yield from map(bench.measure, order)
            order.reverse()


def ratios(runs: Sequence[Run], peer: str = TUTORIAL) -> tuple[float, float]:
    """Return ours over the peer's, by median: calls per second of the crawl, and of the whole process."""

    def of(crawler: str) -> list[Run]:
        return [run for run in runs if run.crawler == crawler]

    crawl = median(run.crawl_rate for run in of(OURS)) / median(run.crawl_rate for run in of(peer))
    process = median(run.process_rate for run in of(OURS)) / median(run.process_rate for run in of(peer))
    return crawl, process


def render(runs: Sequence[Run]) -> Table:
    """Return the runs as a table."""
    table = Table(title=f"{AUTHORS} authors, latency 0, one process each", title_justify="left")
    table.add_column("crawler")
    for name in ("calls", "crawl s", "calls/s", "process s", "calls/s", "CPU ms/call"):
        table.add_column(name, justify="right")
    for run in sorted(runs, key=lambda run: run.crawler):
        crawl = (f"{run.crawl_s:.2f}", f"{run.crawl_rate:.0f}")
        process = (f"{run.process_s:.2f}", f"{run.process_rate:.0f}", f"{1000 * run.cpu_s / run.calls:.2f}")
        table.add_row(run.crawler, str(run.calls), *crawl, *process)
    return table


def _children_cpu_s() -> float:
    """Return the computing time of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    foreign = ("JUSTONEAPI_", "MONGO_", "XINGTU_", "SCRAPY_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | dict(variables)


def main() -> int:
    """Measure, print, and return 0 where the ratio is at least `LEAST_RATIO`."""
    console = Console()
    runs: list[Run] = []
    try:
        for run in compare(authors=AUTHORS, rounds=ROUNDS):
            runs.append(run)
            console.print(f"{run.crawler}: {run.crawl_rate:.0f} calls/s", highlight=False)
    except (BenchmarkError, UserError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    console.print(render(runs))
    for peer, least in ((QUIET_TUTORIAL, ""), (TUTORIAL, f"; at least {LEAST_RATIO} by crawl")):
        crawl, process = ratios(runs, peer)
        console.print(f"Against the {peer}: {crawl:.2f} by crawl, {process:.2f} by process{least}", highlight=False)
    return 0 if crawl >= LEAST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
