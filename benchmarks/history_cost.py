"""What history costs: crawls with it and without it (`XINGTU_HISTORY=0`), in turns, into one MongoDB at latency 0.

Each turn is one fresh crawl and one that fetches everything again, a day later. The figure is the ratio of the times
between the first and the last call; the time of the whole process, at whose end history is completed, stands beside it.
`python -m benchmarks.history_cost [--rounds 3] [--authors 400]`
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.crawling import Place, place

MOST = 1.15
KINDS = ("fresh", "again")


class BenchmarkError(Exception):
    """A crawl did not do what it was measured for. Raised by `measure`."""


@dataclass(frozen=True, slots=True)
class Run:
    """One crawl, in seconds: from its first call to its last, its whole process, what it and mongod computed."""

    kind: str
    history: bool
    crawl_s: float
    process_s: float
    crawler_cpu_s: float
    mongod_cpu_s: float
    calls: int


def measure(where: Place, kind: str, *, history: bool, authors: int) -> Run:
    """Crawl once; raise `BenchmarkError` where not every author was stored."""
    where.sandbox.control(reset_ledger=True, day=KINDS.index(kind))
    mongod, crawler, begun = _mongod_cpu_s(where), _children_cpu_s(), time.monotonic()
    variables = {"XINGTU_HISTORY": str(int(history))}
    exit_code = where.crawl("author_square", variables, max_age=0, max_authors=authors)
    process_s, crawler = time.monotonic() - begun, _children_cpu_s() - crawler
    ledger = where.sandbox.ledger()
    if exit_code or ledger["answered"] < authors * 4:
        raise BenchmarkError(f"a crawl ended with {exit_code} after {ledger['answered']} answers: see {where.log}")
    return Run(
        kind,
        history,
        ledger["last_at"] - ledger["first_at"],
        process_s,
        crawler,
        _mongod_cpu_s(where) - mongod,
        ledger["calls"],
    )


def compare(*, rounds: int, authors: int) -> Iterator[Run]:
    """Yield one run after the other; who goes first alternates."""
    with place("--authors", str(authors * 2)) as where:
        for number in range(-1, rounds):
            for history in (True, False) if number % 2 else (False, True):
                fresh = replace(where, database=f"bench_{number + 1}_{history:d}")
                for kind in KINDS:
                    run = measure(fresh, kind, history=history, authors=authors)
                    if number >= 0:  # before: the sandbox renders each body once, and MongoDB opens its files
                        yield run
                with fresh.documents() as database:
                    database.client.drop_database(fresh.database)


def ratios(runs: list[Run]) -> dict[str, float]:
    """Return time with history over time without, all crawls together: of the crawl, the process, and computing."""

    def total(history: bool, *names: str) -> float:
        return float(sum(getattr(run, name) for run in runs if run.history == history for name in names))

    figures = {"crawl": ("crawl_s",), "process": ("process_s",), "computing": ("crawler_cpu_s", "mongod_cpu_s")}
    return {name: total(True, *fields) / total(False, *fields) for name, fields in figures.items()}


def render(runs: list[Run]) -> Table:
    """Return the medians as a table."""
    table = Table(title="Medians of all rounds", title_justify="left")
    for name in ("crawl", "history", "calls", "crawl s", "process s", "crawler CPU s", "mongod CPU s"):
        table.add_column(name, justify="right")
    for kind in KINDS:
        for history in (False, True):
            of = [run for run in runs if (run.kind, run.history) == (kind, history)]
            figures = ("crawl_s", "process_s", "crawler_cpu_s", "mongod_cpu_s")
            medians = [f"{median(getattr(run, name) for run in of):.2f}" for name in figures]
            table.add_row(kind, "on" if history else "off", str(of[0].calls), *medians)
    return table


def _mongod_cpu_s(where: Place) -> float:
    with where.documents() as database:
        extra = database.client.admin.command("serverStatus")["extra_info"]
    return float(extra["user_time_us"] + extra["system_time_us"]) / 1e6


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Measure, print, and return 0 where history costs at most 15 % of the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--authors", type=int, default=400)
    options = parser.parse_args()
    console = Console(width=120)
    runs: list[Run] = []
    for run in compare(rounds=options.rounds, authors=options.authors):
        runs.append(run)
        console.print(
            f"{run.kind}, history {'on' if run.history else 'off'}: {run.crawl_s:.2f} s for {run.calls} calls, "
            f"process {run.process_s:.2f} s",
            highlight=False,
        )
    console.print(render(runs))
    found = ratios(runs)
    console.print(
        f"With history over without: {found['crawl']:.2f} from first to last call, {found['process']:.2f} of the whole "
        f"process, {found['computing']:.2f} in computing time; at most {MOST} from first to last call",
        highlight=False,
    )
    return int(found["crawl"] > MOST)


if __name__ == "__main__":
    sys.exit(main())
