"""What history costs: crawls with it and without it (`XINGTU_HISTORY=0`), in turns, into one MongoDB at latency 0.

Each turn is one fresh crawl and one that fetches everything again, a day later. The figure is the ratio of the times
from the first call until the process has ended: much of history is written in between and at the end, and what is not
stored is not done. Each round has both kinds, who goes first alternates, and the median of the rounds is judged.
`python -m benchmarks.history_cost [--rounds 5] [--authors 2000]`
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.crawling import Place, place
from xingtu_crawler.api.endpoints import DETAILS

MOST = 1.15
KINDS = ("fresh", "again")


class BenchmarkError(Exception):
    """A crawl did not do what it was measured for. Raised by `measure`."""


@dataclass(frozen=True, slots=True)
class Run:
    """One crawl, in seconds: from its first call to its end, everything stored, from its first call to its last, and
    what it and mongod computed."""

    number: int
    kind: str
    history: bool
    stored_s: float
    asked_s: float
    crawler_cpu_s: float
    mongod_cpu_s: float
    calls: int


def measure(where: Place, number: int, kind: str, *, history: bool, authors: int) -> Run:
    """Crawl once, in round `number`; raise `BenchmarkError` where not every author was stored."""
    where.sandbox.control(reset_ledger=True, day=KINDS.index(kind))
    mongod, crawler = _mongod_cpu_s(where), _children_cpu_s()
    variables = {"XINGTU_HISTORY": str(int(history))}
    exit_code = where.crawl("author_square", variables, max_age=0, max_authors=authors)
    ended_at, crawler = time.time(), _children_cpu_s() - crawler
    ledger = where.sandbox.ledger()
    if exit_code or ledger["answered"] < authors * len(DETAILS):
        raise BenchmarkError(f"a crawl ended with {exit_code} after {ledger['answered']} answers: see {where.log}")
    return Run(
        number,
        kind,
        history,
        ended_at - ledger["first_at"],
        ledger["last_at"] - ledger["first_at"],
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
                    run = measure(fresh, number, kind, history=history, authors=authors)
                    if number >= 0:  # before: the sandbox renders each body once, and MongoDB opens its files
                        yield run
                with fresh.documents() as database:
                    database.client.drop_database(fresh.database)


FIGURES = {"stored": ("stored_s",), "asked": ("asked_s",), "computing": ("crawler_cpu_s", "mongod_cpu_s")}


def ratios(runs: Sequence[Run], kinds: Sequence[str] = KINDS) -> dict[str, float]:
    """Return time with history over time without, the median of the rounds: until all is stored, until the last call,
    and of computing."""

    def total(number: int, history: bool, fields: tuple[str, ...]) -> float:
        chosen = [run for run in runs if (run.number, run.history) == (number, history) and run.kind in kinds]
        return float(sum(getattr(run, name) for run in chosen for name in fields))

    rounds = {run.number for run in runs}
    return {
        name: median(total(number, True, fields) / total(number, False, fields) for number in rounds)
        for name, fields in FIGURES.items()
    }


def render(runs: Sequence[Run]) -> Table:
    """Return the medians as a table."""
    table = Table(title="Medians of all rounds", title_justify="left")
    for name in ("crawl", "history", "calls", "all stored s", "last call s", "crawler CPU s", "mongod CPU s"):
        table.add_column(name, justify="right")
    for kind in KINDS:
        for history in (False, True):
            of = [run for run in runs if (run.kind, run.history) == (kind, history)]
            figures = ("stored_s", "asked_s", "crawler_cpu_s", "mongod_cpu_s")
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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--authors", type=int, default=2_000)
    options = parser.parse_args()
    console = Console(width=120)
    runs: list[Run] = []
    for run in compare(rounds=options.rounds, authors=options.authors):
        runs.append(run)
        console.print(
            f"{run.kind}, history {'on' if run.history else 'off'}: {run.stored_s:.2f} s for {run.calls} calls, the "
            f"last after {run.asked_s:.2f} s",
            style="dim",
            highlight=False,
        )
    console.print(render(runs))
    found = ratios(runs)
    kinds = ", ".join(f"{kind} {ratios(runs, [kind])['stored']:.2f}" for kind in KINDS)
    console.print(
        f"With history over without: {found['stored']:.2f} from the first call until all is stored ({kinds}), at most "
        f"{MOST}; {found['asked']:.2f} to the last call, {found['computing']:.2f} in computing time",
        highlight=False,
    )
    if found["stored"] > MOST:
        console.print(f"does not hold: history costs at most {MOST - 1:.0%}", highlight=False)
    return int(found["stored"] > MOST)


if __name__ == "__main__":
    sys.exit(main())
