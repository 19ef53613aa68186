"""`make bench`: this crawler against three peers, by throughput, memory and waste; non-zero where a floor is missed.

All crawl the same synthetic authors of one sandbox into one MongoDB, in turns, within one run of this program. What is
judged is ratios (and memory); no absolute time means anything, for it is the machine's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.contest import OURS, SDK, TUNED, TUTORIAL, BenchmarkError, Run, contest, rounds
from benchmarks.figure import Figure
from xingtu_crawler.exceptions import UserError
from xingtu_crawler.sandbox.population import Population

console = Console(width=140)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is."""

    authors: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """One comparison: how it is run, how large, and how large with `--quick`."""

    title: str
    play: Callable[[Size], tuple[list[Run], list[Figure]]]
    full: Size
    quick: Size


def _latency(size: Size) -> tuple[list[Run], list[Figure]]:
    with contest(size.authors, "--latency", "150", "--jitter", "100") as place:
        runs = _show(rounds(place, [OURS, TUNED], size.rounds))
    return runs, [Figure("calls/s, ours / asyncio by hand", _ratio(runs, TUNED), 0.85, 0.95)]


def _speed(size: Size) -> tuple[list[Run], list[Figure]]:
    with contest(size.authors) as place:
        place.crawl(TUNED)  # not counted: the sandbox renders each body once, and MongoDB opens its files
        runs = _show(rounds(place, [OURS, TUTORIAL], size.rounds))
        runs += _show(rounds(place, [TUNED, SDK], 1))
    return runs, [Figure("calls/s, ours / Scrapy tutorial", _ratio(runs, TUTORIAL), 2.5, 5.0)]


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
        Figure("peak resident memory, MB", max(run.peak for run in ours), 160, 130, at_most=True),
        Figure("growth after a tenth, %", 100 * max(run.growth for run in ours), 15, 5, at_most=True),
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
    "latency": Scenario("answers take 200 +- 50 ms, no limit, 64 in flight", _latency, Size(1_000, 3), Size(300, 1)),
    "speed": Scenario("answers take no time", _speed, Size(2_000, 3), Size(400, 1)),
    "memory": Scenario("a long crawl without a search", _memory, Size(20_000, 1), Size(3_000, 1)),
    "chain": Scenario("a long crawl of all pages of a search", _chain, Size(10_000, 1), Size(2_000, 1)),
    "limit": Scenario("a limit of 50 calls/s that nobody knows", _limit, Size(300, 1), Size(200, 1)),
}


def _show(runs: Iterable[Run]) -> list[Run]:
    """Return the runs, each told of as it ends."""
    done: list[Run] = []
    for run in runs:
        done.append(run)
        console.print(f"{run.crawler}: {run.rate:.0f} calls/s", style="dim", highlight=False)
    return done


def _ratio(runs: Sequence[Run], peer: str) -> float:
    """Return the rate of ours over a peer's, by their medians."""
    return _rate(runs, OURS) / _rate(runs, peer)


def _rate(runs: Sequence[Run], crawler: str) -> float:
    return median(run.rate for run in runs if run.crawler == crawler)


def runs_table(scenarios: Sequence[tuple[str, Sequence[Run]]]) -> Table:
    """Return one line per scenario and crawler, the medians of its runs; `of ours` is the ratio of the rates."""
    table = Table(title="Medians of the runs", title_justify="left")
    table.add_column("scenario")
    table.add_column("crawler")
    for name in ("runs", "calls/s", "range", "of ours", "useful", "complete", "in flight", "CPU ms/call", "peak MB"):
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
                f"{median(rates) / _rate(runs, OURS):.2f}",
                f"{median(run.useful for run in own):.1%}",
                f"{median(run.complete / run.authors for run in own):.1%}",
                str(max(run.in_flight for run in own)),
                f"{median(1000 * run.cpu / run.calls for run in own):.2f}",
                f"{max(run.peak for run in own):.0f}",
            )
        table.add_section()
    return table


def verdicts_table(verdicts: Sequence[tuple[str, Figure]]) -> Table:
    """Return one line per figure that is judged."""
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
    """Run the scenarios, print the tables; 0 where every floor is reached, 2 where a crawl did not do its job."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"{', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a few hundred authors, one round")
    parser.add_argument("--rounds", type=int, help="runs of each crawler")
    typed = parser.parse_args()
    if unknown := [name for name in typed.scenarios if name not in SCENARIOS]:
        parser.error(f"there is no scenario {unknown[0]!r}: it is one of {', '.join(SCENARIOS)}.")
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
