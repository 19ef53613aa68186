"""`make bench`: this crawler against its peers, by throughput, CPU time, memory, waste and storage.

All crawl the same synthetic authors of one sandbox into one MongoDB, in turns, within one run of this program. Compare
only figures of one run: absolute times depend on the machine. The exit code is 1 if a figure misses its floor.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.contest import (
    NOISY_TUTORIAL,
    OURS,
    SDK,
    TUNED,
    TUTORIAL,
    BenchmarkError,
    Run,
    contest,
    rounds,
)
from benchmarks.figure import Figure
from benchmarks.storage_cost import sent_per_author, stored_table
from xingtu_crawler.exceptions import UserError
from xingtu_crawler.sandbox.population import Population

console = Console(width=200)


@dataclass(frozen=True, slots=True)
class Size:
    """The number of authors, and of runs of each crawler."""

    authors: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """One comparison: how to run it, its size, and its size with `--quick`."""

    title: str
    play: Callable[[Size], tuple[list[Run], list[Figure]]]
    full: Size
    quick: Size


def _latency(size: Size) -> tuple[list[Run], list[Figure]]:
    with contest(size.authors, "--latency", "200") as place:
        runs = _show(rounds(place, [OURS, TUNED], size.rounds))
    return runs, [
        Figure("calls/s, ours / asyncio", _ratio(runs, TUNED, _rate), 0.95, 0.98),
        Figure("CPU per call, ours / asyncio", _ratio(runs, TUNED, _cpu), 3.2, 2.5, at_most=True),
        Figure("the same with the process start", _ratio(runs, TUNED, _process_cpu), 3.2, 2.5, at_most=True),
    ]


def _speed(size: Size) -> tuple[list[Run], list[Figure]]:
    with contest(size.authors) as place:
        place.crawl(TUNED)  # not counted: the sandbox renders each body once, and MongoDB opens its files
        runs = _show(rounds(place, [OURS, TUTORIAL], size.rounds))
        runs += _show(rounds(place, [TUNED, SDK], 1))
    return runs, [
        Figure("calls/s, ours / tutorial", _ratio(runs, TUTORIAL, _rate), 3.3, 4.0),
        Figure("CPU per call, tutorial / ours", 1 / _ratio(runs, TUTORIAL, _cpu), 3.0, 3.6),
        Figure("the same with the process start", 1 / _ratio(runs, TUTORIAL, _process_cpu), 3.0, 3.6),
    ]


def _tutorial(size: Size) -> tuple[list[Run], list[Figure]]:
    with contest(size.authors) as place:
        place.crawl(TUTORIAL)  # not counted, as above
        runs = _show(rounds(place, [OURS, NOISY_TUTORIAL, TUTORIAL], size.rounds))
    return runs, [Figure("calls/s, ours / tutorial at DEBUG", _ratio(runs, NOISY_TUTORIAL, _rate), 1.8, 3.0)]


def _storage(size: Size) -> tuple[list[Run], list[Figure]]:
    with contest(size.authors) as place:
        place.crawl(TUNED)  # not counted, as above
        runs = _show(rounds(place, [OURS, TUNED], size.rounds))
        sent = sent_per_author(place.sandbox, size.authors)
    ours = [run for run in runs if run.crawler == OURS]
    console.print(stored_table(ours[-1].stored, size.authors, sent))
    return runs, [
        Figure("stored, kB per author", median(run.stored_per_author for run in ours), 38, 34, at_most=True),
        Figure("mongod CPU, ms per author", median(run.mongod_per_author for run in ours), 1.6, 1.3, at_most=True),
    ]


def _memory(size: Size) -> tuple[list[Run], list[Figure]]:
    population = Population(seed=1, size=size.authors)
    with contest(size.authors) as place:
        ids = place.folder / "star_ids.txt"
        ids.write_text("\n".join(map(population.star_id, range(size.authors))))
        details_only = replace(place, star_ids_file=ids)
        runs = _show(rounds(details_only, [OURS, TUNED], size.rounds))
    return runs, _flatness(runs)


def _chain(size: Size) -> tuple[list[Run], list[Figure]]:
    with contest(size.authors) as place:
        runs = _show(rounds(place, [OURS], size.rounds))
    return runs, _flatness(runs)


def _flatness(runs: Sequence[Run]) -> list[Figure]:
    ours = [run for run in runs if run.crawler == OURS]
    return [
        Figure("peak resident memory, MB", max(run.peak for run in ours), 130, 120, at_most=True),
        Figure("growth after a tenth, %", 100 * max(run.growth for run in ours), 5, 3, at_most=True),
    ]


def _limit(size: Size) -> tuple[list[Run], list[Figure]]:
    with contest(size.authors, "--rate", "50", "--latency", "50", "--jitter", "50") as place:
        runs = _show(rounds(place, [OURS, TUNED, SDK, TUTORIAL], size.rounds, must_complete=False))
    ours = [run for run in runs if run.crawler == OURS]
    return runs, [
        Figure("useful calls of ours, %", 100 * min(run.useful for run in ours), 98, 99.5),
        Figure("complete authors of ours, %", 100 * min(run.complete / run.authors for run in ours), 100, 100),
    ]


SCENARIOS = {
    "latency": Scenario("answers take 200 ms, no limit, 64 in flight", _latency, Size(1_500, 3), Size(300, 1)),
    "speed": Scenario("answers take no time", _speed, Size(2_000, 3), Size(400, 1)),
    "storage": Scenario("what a first crawl costs in MongoDB", _storage, Size(2_000, 3), Size(400, 1)),
    "memory": Scenario("a long crawl without a search", _memory, Size(20_000, 1), Size(3_000, 1)),
    "chain": Scenario("a long crawl of all pages of a search", _chain, Size(10_000, 1), Size(2_000, 1)),
    "limit": Scenario("an undocumented limit of 50 calls/s", _limit, Size(300, 1), Size(200, 1)),
    "tutorial": Scenario("a short crawl, answers take no time", _tutorial, Size(400, 3), Size(100, 1)),
}


def _show(runs: Iterable[Run]) -> list[Run]:
    """Return the runs; print a line as each of them ends."""
    done: list[Run] = []
    for run in runs:
        done.append(run)
        console.print(
            f"{run.crawler}: {run.rate:.0f} calls/s, {run.cpu_per_call:.2f} ms CPU per call",
            style="dim",
            highlight=False,
        )
    return done


def _ratio(runs: Sequence[Run], peer: str, measure: Callable[[Run], float]) -> float:
    """Return ours over a peer's by the medians of their runs."""
    return _median(runs, OURS, measure) / _median(runs, peer, measure)


def _median(runs: Sequence[Run], crawler: str, measure: Callable[[Run], float]) -> float:
    return median(measure(run) for run in runs if run.crawler == crawler)


def _rate(run: Run) -> float:
    return run.rate


def _cpu(run: Run) -> float:
    return run.cpu_per_call


def _process_cpu(run: Run) -> float:
    return run.process_cpu_per_call


_COLUMNS: dict[str, tuple[Callable[[Run], float], str]] = {
    "useful": (lambda run: run.useful, ".1%"),
    "complete": (lambda run: run.complete / run.authors, ".1%"),
    "in flight": (lambda run: run.in_flight, ".0f"),
    "CPU ms/call": (_cpu, ".2f"),
    "with start": (_process_cpu, ".2f"),
    "mongod ms/author": (lambda run: run.mongod_per_author, ".2f"),
    "stored kB/author": (lambda run: run.stored_per_author, ".1f"),
    "peak MB": (lambda run: run.peak, ".0f"),
}
"""The medians that `runs_table` shows beside the rate: how to read each from a run, and its format."""


def runs_table(scenarios: Sequence[tuple[str, Sequence[Run]]]) -> Table:
    """Return one line per scenario and crawler: the medians of its runs; `of ours` is the ratio of the rates."""
    table = Table(title="Medians of the runs", title_justify="left")
    table.add_column("scenario")
    table.add_column("crawler")
    for name in ("runs", "calls/s", "range", "of ours", *_COLUMNS):
        table.add_column(name, justify="right")
    for scenario, runs in scenarios:
        for number, crawler in enumerate(dict.fromkeys(run.crawler for run in runs)):
            own = [run for run in runs if run.crawler == crawler]
            rates = [run.rate for run in own]
            table.add_row(
                "" if number else f"{scenario}, {own[0].authors} authors",
                crawler,
                str(len(own)),
                f"{median(rates):.0f}",
                f"{min(rates):.0f}-{max(rates):.0f}",
                f"{median(rates) / _median(runs, OURS, _rate):.2f}",
                *(format(median(map(measure, own)), style) for measure, style in _COLUMNS.values()),
            )
        table.add_section()
    return table


def verdicts_table(verdicts: Sequence[tuple[str, Figure]]) -> Table:
    """Return one line per figure with its floor and aim."""
    table = Table(title="Floors and aims", title_justify="left")
    table.add_column("scenario")
    table.add_column("figure")
    for name in ("value", "floor", "aim"):
        table.add_column(name, justify="right")
    table.add_column("reached")
    for name, each in verdicts:
        word = "<=" if each.at_most else ">="
        table.add_row(
            name,
            each.name,
            f"{each.value:.2f}",
            f"{word} {each.floor:g}",
            f"{word} {each.aim:g}",
            "aim" if each.meets_aim else "floor" if each.holds else "NO",
        )
    return table


def main() -> int:
    """Run the scenarios and print the tables; return 0 if every floor is reached, 2 if a crawl failed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"{', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a few hundred authors, one round")
    parser.add_argument("--rounds", type=int, help="runs of each crawler")
    typed = parser.parse_args()
    if unknown := [name for name in typed.scenarios if name not in SCENARIOS]:
        parser.error(f"unknown scenario {unknown[0]!r}: choose from {', '.join(SCENARIOS)}.")
    verdicts: list[tuple[str, Figure]] = []
    played: list[tuple[str, list[Run]]] = []
    try:
        for name in typed.scenarios or SCENARIOS:
            scenario = SCENARIOS[name]
            size = scenario.quick if typed.quick else scenario.full
            size = Size(size.authors, typed.rounds or size.rounds)
            console.print(f"{name}: {scenario.title}, {size.authors} authors")
            runs, judged = scenario.play(size)
            played.append((name, runs))
            verdicts += [(name, verdict) for verdict in judged]
    except (BenchmarkError, UserError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    console.print(runs_table(played))
    console.print(verdicts_table(verdicts))
    return 0 if all(verdict.holds for _, verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
