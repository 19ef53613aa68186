"""`max_calls` with 64 in flight and a fifth of the calls failing: how many calls the sandbox's ledger has in the end.

`python -m benchmarks.budget [--caps 1 7 100 1000] [--authors 400]`
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.crawling import IN_FLIGHT, Place, faults, place, wait_until
from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.sandbox.population import Population
from xingtu_crawler.sandbox.process import SandboxProcess

CAPS = (1, 7, 100, 1_000)
SPIDERS = ("author_square", "authors")
FAULTS = faults(code_301=0.1, code_500=0.04, reset=0.03, cut=0.02, timeout=0.01)
SLOW = ("--latency", "1500", "--jitter", "100")
"""Milliseconds: a crawl has as much in flight as it may before the first answers come."""
TIMEOUT_S = 4
MOST_PAGE_CALLS = 8
"""`XINGTU_MAX_ATTEMPTS`."""


@dataclass(frozen=True, slots=True)
class Spent:
    """One crawl under a cap: its calls by the ledger and by its own record, and the most that were in flight."""

    spider: str
    cap: int
    calls: int
    recorded: int
    failed: int
    in_flight: int
    close_reason: str
    exit_code: int

    def __str__(self) -> str:
        return (
            f"{self.spider}, max_calls {self.cap}: {self.calls} calls ({self.failed} without an answer), at most "
            f"{self.in_flight} in flight, {self.close_reason}"
        )

    @property
    def least_in_flight(self) -> int:
        """What must have been in flight at some time; a search page, and its retries, come before any details."""
        details = self.cap if self.spider == "authors" else self.cap - MOST_PAGE_CALLS
        return max(1, min(IN_FLIGHT, details))

    def broken(self) -> list[str]:
        """Return what does not hold."""
        claims = {
            "the calls are exactly max_calls": self.calls == self.cap,
            "the run's record has as many": self.recorded == self.calls,
            f"{self.least_in_flight} were in flight": self.least_in_flight <= self.in_flight <= IN_FLIGHT,
            "the crawl closed for it": (self.close_reason, self.exit_code) == ("max_calls", 0),
        }
        return [f"{self.spider}, max_calls {self.cap}: {claim}" for claim, holds in claims.items() if not holds]


def settled(sandbox: SandboxProcess) -> dict[str, Any]:
    """Return the ledger when every call has ended: one that timed out ends when its client has left."""
    seen: list[int] = [-1]

    def unchanged() -> bool:
        seen.append(sandbox.ledger()["calls"])
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    wait_until(unchanged)
    return sandbox.ledger()


def spend(where: Place, spider: str, cap: int, *, authors: int) -> Spent:
    """Crawl into an empty database until the cap ends it."""
    where.sandbox.control(reset_ledger=True)
    arguments: dict[str, Any] = {"max_calls": cap}
    if spider == "authors":
        arguments["star_ids_file"] = _names(where.folder, authors)
    exit_code = where.crawl(spider, settings={"DOWNLOAD_TIMEOUT": TIMEOUT_S}, **arguments)
    ledger = settled(where.sandbox)
    with where.documents() as database:
        run = database.runs.find_one()
        assert run is not None
        database.client.drop_database(database.name)
    return Spent(
        spider,
        cap,
        ledger["calls"],
        run["calls"]["total"],
        ledger["calls"] - ledger["answered"],
        ledger["max_in_flight"],
        run["close_reason"],
        exit_code,
    )


def _names(folder: Path, authors: int) -> Path:
    population = Population(seed=1, size=authors)
    path = folder / "star_ids.txt"
    path.write_text("\n".join(map(population.star_id, range(authors))), encoding="utf-8")
    return path


def main() -> int:
    """Crawl under each cap with each spider, print the counts, and return 0 where everything holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--caps", type=int, nargs="+", default=CAPS)
    parser.add_argument("--authors", type=int, default=400)
    options = parser.parse_args()
    if max(options.caps) > options.authors * len(DETAILS):
        parser.error("a cap is more than all details of the authors come to.")
    broken: list[str] = []
    with place("--authors", str(options.authors), *SLOW, *FAULTS) as where:
        for spider in SPIDERS:
            for cap in options.caps:
                spent = spend(where, spider, cap, authors=options.authors)
                print(spent)
                broken += spent.broken()
    for claim in broken:
        print(f"does not hold: {claim}")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
