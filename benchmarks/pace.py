"""Full speed at a limit that nobody told: what crawls make of the sandbox's limits, by its ledger.

`make bench-pace`, or `python -m benchmarks.pace [--seconds 60] [--only NAME]`: exits with 1 where a floor is not
reached.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.crawling import Place, place, wait_until
from benchmarks.figure import Figure
from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.sandbox.population import Population

SEED, AUTHORS = 1, 20_000
"""Four calls for every author: more than any scenario comes to."""
TOKEN = "token-of-the-pace-benchmark"
"""Long: whatever looks like the token is taken out of every answer."""
COLLECTIONS = [endpoint.collection for endpoint in DETAILS.values()]
LATENCY_MS = 100
FAST, CEILING_S = 500, 20
"""The highest limit in calls per second, and for how long the machine is asked what it can do without one."""
USED, SUSTAINED_S, MOST_REFUSED = 0.95, 5.0, 0.02
"""A limit is used where so much of it is, for so many seconds, with so small a share of 302."""
ROOM = 0.8
"""The share of the machine's ceiling that stands for the highest limit, where the machine cannot do that."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of a scenario between two moments, by the Unix times at which they came in order."""

    taken: list[float]
    refused: list[float]

    @classmethod
    def of(cls, ledger: Sequence[dict[str, Any]], seconds: float, *, since: float | None = None) -> Calls:
        """Read them from the ledger's single calls: those of so many `seconds` from the first, or from `since`."""
        first = min(call["at"] for call in ledger) if since is None else since
        within = sorted((call["at"], call["outcome"]) for call in ledger if first <= call["at"] < first + seconds)
        return cls(
            [at for at, outcome in within if outcome != "302"], [at for at, outcome in within if outcome == "302"]
        )

    @property
    def share_refused(self) -> float:
        """The share of the calls that were answered 302."""
        return len(self.refused) / (len(self.taken) + len(self.refused))

    def reached(self, limit: float, since: float, until: float, *, most_refused: float = 1.0) -> float:
        """Return the seconds from `since` to the moment from which on the limit is used; infinity where there is none.

        It is used where, in the `SUSTAINED_S` seconds that follow, the useful calls come to `USED` of it and no larger
        share than `most_refused` is answered 302. `until`: when the limit was another again.
        """
        for moment in (since, *(at for at in sorted((*self.taken, *self.refused)) if at >= since)):
            end = moment + min(SUSTAINED_S, until - since)
            if end > until:
                break
            useful, refused = _within(self.taken, moment, end), _within(self.refused, moment, end)
            if useful >= USED * limit * (end - moment) and refused <= most_refused * (useful + refused):
                return moment - since
        return float("inf")


def _within(times: Sequence[float], since: float, until: float) -> int:
    return bisect_left(times, until) - bisect_left(times, since)


@contextmanager
def crawling(where: Place, *tokens: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Crawl, each process with its tokens and a database of its own; interrupt them at the end.

    All authors are named beforehand: a crawl that pages a search has to wait for its pages now and then.
    """
    names = where.folder / "star_ids.txt"
    population = Population(seed=SEED, size=AUTHORS)
    names.write_text("\n".join(map(population.star_id, range(AUTHORS))), encoding="utf-8")
    crawls = [
        where.start(
            "authors",
            {"JUSTONEAPI_TOKEN": token, "MONGO_DATABASE": f"bench_{number}", "XINGTU_HISTORY": "0"},
            star_ids_file=names,
        )
        for number, token in enumerate(tokens)
    ]
    try:
        wait_until(lambda: where.sandbox.ledger()["calls"] > 0 or any(crawl.poll() is not None for crawl in crawls))
        if any(crawl.poll() is not None for crawl in crawls):
            raise RuntimeError(where.log.read_text(encoding="utf-8")[-2000:])
        yield crawls
    finally:
        for crawl in crawls:
            crawl.send_signal(signal.SIGINT)
        for crawl in crawls:
            try:
                crawl.wait(60)
            except subprocess.TimeoutExpired:
                crawl.kill()
                crawl.wait()


@contextmanager
def server(*options: str) -> Iterator[Place]:
    """Start a sandbox with the benchmark's population and latency."""
    with place("--seed", str(SEED), "--authors", str(AUTHORS), "--latency", str(LATENCY_MS), *options) as where:
        yield where


def _pass(seconds: float) -> None:
    threading.Event().wait(seconds)


def _crawl(seconds: float, token: str, *options: str) -> Calls:
    with server(*options) as where:
        with crawling(where, token):
            _pass(seconds + 0.5)
        return Calls.of(where.sandbox.calls(), seconds)


def unknown(seconds: float) -> list[Figure]:
    """One token, 50 calls per second, nobody says so."""
    calls = _crawl(seconds, TOKEN, "--rate", "50")
    return [
        Figure("limit 50/s, unknown: useful calls against it", len(calls.taken) / (50 * seconds), 0.95, 0.98),
        Figure("the same: share of calls answered 302", calls.share_refused, MOST_REFUSED, 0.005, at_most=True),
    ]


def moving(seconds: float) -> list[Figure]:
    """The limit is halved a third through the crawl and doubled two thirds through.

    A crawl that went on as before would use the halved limit at once, and be refused every second call: what counts is
    that few are.
    """
    with server("--rate", "100") as where:
        with crawling(where, TOKEN):
            _pass(seconds / 3)
            where.sandbox.control(rate=50)
            halved = time.time()
            _pass(seconds / 3)
            where.sandbox.control(rate=100)
            doubled = time.time()
            _pass(seconds / 3)
            ended = time.time()
        calls = Calls.of(where.sandbox.calls(), 2 * seconds)
    return [
        Figure(
            f"limit halved: seconds until {USED} of the new one is used, with at most {MOST_REFUSED:.0%} of 302",
            calls.reached(50, halved, doubled, most_refused=MOST_REFUSED),
            15.0,
            8.0,
            at_most=True,
        ),
        Figure(
            f"limit then doubled: seconds until {USED} of the new one is used",
            calls.reached(100, doubled, ended),
            15.0,
            8.0,
            at_most=True,
        ),
    ]


def slow(seconds: float) -> list[Figure]:
    """A limit far below the rate at which a crawl begins."""
    calls = _crawl(seconds, TOKEN, "--rate", "2")
    return [Figure("limit 2/s, unknown", len(calls.taken) / (2 * seconds), 0.9, 0.95)]


def fast(seconds: float) -> list[Figure]:
    """A limit far above the rate at which a crawl begins, but within what this machine can do."""
    ceiling = len(_crawl(CEILING_S, TOKEN).taken) / CEILING_S
    limit = FAST if ceiling * ROOM >= FAST else int(ceiling * ROOM)
    calls = _crawl(seconds / 2, TOKEN, "--rate", str(limit))
    return [
        Figure(
            f"limit {limit}/s, unknown (this machine without a limit: {ceiling:.0f}/s)",
            len(calls.taken) / (limit * seconds / 2),
            0.9,
            0.95,
        )
    ]


def shared(seconds: float) -> list[Figure]:
    """Two processes with one token, each of which knows nothing of the other."""
    with server("--rate", "50") as where:
        with crawling(where, TOKEN, TOKEN):
            # Which process asked shows in no ledger: each has a database of its own, and counts are taken there.
            wait_until(lambda: min(_stored(where)) > 0)
            since, before = time.time(), _stored(where)
            _pass(seconds)
            after = _stored(where)
        calls = Calls.of(where.sandbox.calls(), seconds, since=since)
    shares = [late - early for early, late in zip(before, after, strict=True)]
    return [
        Figure("two processes, one token, limit 50/s", len(calls.taken) / (50 * seconds), 0.92, 0.97),
        Figure("the same: the smaller share", min(shares) / sum(shares), 0.35, 0.45),
    ]


def _stored(where: Place) -> list[int]:
    with where.documents() as database:
        return [
            sum(database.client[f"bench_{number}"][name].estimated_document_count() for name in COLLECTIONS)
            for number in (0, 1)
        ]


def several(seconds: float) -> list[Figure]:
    """Three tokens that bear very different rates."""
    tokens = [f"{TOKEN}-{number}" for number in range(3)]
    options = [
        word for name, rate in zip(tokens, (50, 20, 5), strict=True) for word in ("--token", f"{name}=rate:{rate}")
    ]
    calls = _crawl(seconds, ",".join(tokens), *options)
    return [Figure("3 tokens with limits 50, 20, 5/s: against the sum", len(calls.taken) / (75 * seconds), 0.93, 0.97)]


SCENARIOS: tuple[Callable[[float], list[Figure]], ...] = (unknown, moving, slow, fast, shared, several)


def main() -> int:
    """Run the scenarios, print what they came to, and return 0 where every floor is reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long a crawl is (default: 60)")
    parser.add_argument("--only", choices=[scenario.__name__ for scenario in SCENARIOS], help="one scenario")
    options = parser.parse_args()
    chosen = [each for each in SCENARIOS if options.only in (None, each.__name__)]
    figures = [figure for scenario in chosen for figure in scenario(options.seconds)]
    table = Table("scenario", "measured", "floor", "aim", "reached")
    for figure in figures:
        reached = "aim" if figure.meets_aim else "floor" if figure.holds else "NO"
        word = "<=" if figure.at_most else ">="
        bounds = (f"{word} {figure.floor:g}", f"{word} {figure.aim:g}")
        table.add_row(figure.name, f"{figure.value:.3f}", *bounds, reached)
    Console(width=120).print(table)
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
