"""How well crawls use rate limits that they do not know, measured by the sandbox's ledger.

`make bench-pace`, or `python -m benchmarks.pace [--seconds 60] [--only NAME]`. The exit code is 1 if a floor is missed.
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
"""The population; its 80,000 detail calls are more than any scenario makes."""
TOKEN = "token-of-the-pace-benchmark"
"""Long, because the crawler removes every occurrence of the token from every response."""
COLLECTIONS = [endpoint.collection for endpoint in DETAILS.values()]
LATENCY_MS = 100
FAST, CEILING_S = 500, 20
"""The highest limit in calls per second, and the seconds for which the machine's own ceiling is measured."""
USED, SUSTAINED_S, MOST_REFUSED = 0.95, 5.0, 0.02
"""A limit counts as used from the moment after which this share of it is used for this many seconds, with at most this
share of 302s after a limit was halved."""
ROOM = 0.8
"""Share of the machine's ceiling that replaces the highest limit if the machine is too slow for it."""
LONGEST_S = 3600.0
"""Longer than any scenario, in seconds."""
MOMENTS = 5
"""Number of times that a limit is halved and doubled, each time at another moment of the controller's probes."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The Unix times of a scenario's calls, in order: useful ones (`taken`) and those that got a 302 (`refused`)."""

    taken: list[float]
    refused: list[float]

    @classmethod
    def of(cls, ledger: Sequence[dict[str, Any]], seconds: float, *, since: float | None = None) -> Calls:
        """Return the calls in the `seconds` after the first call, or after `since`, from the ledger's list of calls."""
        first = min(call["at"] for call in ledger) if since is None else since
        within = sorted((call["at"], call["outcome"]) for call in ledger if first <= call["at"] < first + seconds)
        return cls(
            [at for at, outcome in within if outcome != "302"], [at for at, outcome in within if outcome == "302"]
        )

    @property
    def share_refused(self) -> float:
        """The share of the calls that got a 302."""
        return len(self.refused) / (len(self.taken) + len(self.refused))

    def reached(self, limit: float, since: float, until: float, *, most_refused: float = 1.0) -> float:
        """Return the seconds from `since` until the limit is used; infinity if that did not happen before `until`.

        The limit is used if, in the following `SUSTAINED_S` seconds, the useful calls reach `USED` of it and at most
        the share `most_refused` of the calls gets a 302.
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
    """Start one crawl per element of `tokens`, each with a database of its own; interrupt them at the end.

    The crawls get the ids of all authors, because a crawl that pages a search sometimes waits for its next page.
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
    """Start a sandbox with this benchmark's population and latency."""
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
    """One token with an unknown limit of 50 calls/s."""
    calls = _crawl(seconds, TOKEN, "--rate", "50")
    return [
        Figure("limit 50/s, unknown: useful calls against it", len(calls.taken) / (50 * seconds), 0.95, 0.98),
        Figure("the same: share of calls answered 302", calls.share_refused, MOST_REFUSED, 0.005, at_most=True),
    ]


def moving(seconds: float) -> list[Figure]:
    """The limit is halved and doubled again at several moments; the worst of them counts.

    How soon a doubled limit is found depends on how far the controller is in holding or probing, which repeats about
    every ten seconds. The limit therefore stays halved for a different time in each round. A crawl that does not slow
    down uses the halved limit too, but gets a 302 for every second call: only few 302s count as success.
    """
    moves: list[tuple[float, float, float]] = []
    with server("--rate", "100") as where:
        with crawling(where, TOKEN):
            _pass(seconds / 3)
            for moment in range(MOMENTS):
                halved = _set_rate(where, 50)
                _pass(seconds / 3 + moment * 10 / MOMENTS)
                doubled = _set_rate(where, 100)
                _pass(seconds / 3)
                moves.append((halved, doubled, time.time()))
        calls = Calls.of(where.sandbox.calls(), LONGEST_S)
    after_halving = [calls.reached(50, halved, doubled, most_refused=MOST_REFUSED) for halved, doubled, _ in moves]
    after_doubling = [calls.reached(100, doubled, end) for _, doubled, end in moves]
    print("seconds until a doubled limit is used:", ", ".join(f"{each:.1f}" for each in after_doubling))
    return [
        Figure(f"limit halved, worst of {MOMENTS}: seconds until it is used", max(after_halving), 15, 8, at_most=True),
        Figure(
            f"limit doubled, worst of {MOMENTS}: seconds until it is used", max(after_doubling), 15, 8, at_most=True
        ),
    ]


def _set_rate(where: Place, rate: int) -> float:
    """Change the limit of the running sandbox and return the Unix time."""
    where.sandbox.control(rate=rate)
    return time.time()


def slow(seconds: float) -> list[Figure]:
    """A limit far below the rate at which a crawl starts."""
    calls = _crawl(seconds, TOKEN, "--rate", "2")
    return [Figure("limit 2/s, unknown", len(calls.taken) / (2 * seconds), 0.9, 0.95)]


def fast(seconds: float) -> list[Figure]:
    """A limit far above the rate at which a crawl starts, but within the capacity of this machine."""
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
    """Two processes that use one token without knowing of each other."""
    with server("--rate", "50") as where:
        with crawling(where, TOKEN, TOKEN):
            # The ledger does not know which process made a call, so the documents in their databases are counted.
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
    """Three tokens with very different limits."""
    tokens = [f"{TOKEN}-{number}" for number in range(3)]
    options = [
        word for name, rate in zip(tokens, (50, 20, 5), strict=True) for word in ("--token", f"{name}=rate:{rate}")
    ]
    calls = _crawl(seconds, ",".join(tokens), *options)
    return [Figure("3 tokens with limits 50, 20, 5/s: against the sum", len(calls.taken) / (75 * seconds), 0.93, 0.97)]


SCENARIOS: tuple[Callable[[float], list[Figure]], ...] = (unknown, moving, slow, fast, shared, several)


def main() -> int:
    """Run the scenarios, print their figures, and return 0 if every floor is reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a crawl in seconds (default: 60)")
    parser.add_argument("--only", choices=[scenario.__name__ for scenario in SCENARIOS], help="run one scenario")
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
