"""`authors -a missing=1` over a large dataset: what it asks, how much memory it takes, how soon it begins.

`python -m benchmarks.missing [--authors 1000000] [--missing 50]`
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.database import Database

from benchmarks.crawling import Place, place
from xingtu_crawler.api.endpoints import DETAILS, SEARCH, Platform
from xingtu_crawler.sandbox.population import Population
from xingtu_crawler.storage.collections import indexes

MOST_GROWTH_MB = 50
FEW = 1_000
_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Streamed:
    """One crawl: what it asked and stored, its peak memory, and the seconds from its start to its first call."""

    authors: int
    exit_code: int
    calls: int
    left: int
    peak_mb: float
    first_call_s: float

    def __str__(self) -> str:
        return (
            f"{self.authors} authors: {self.calls} calls, {self.left} details still missing, peak memory "
            f"{self.peak_mb:.0f} MB, first call after {self.first_call_s:.1f} s"
        )


def fill(where: Place, authors: int) -> None:
    """Store so many authors of the sandbox with all of their details, as small as documents can be."""
    population = Population(seed=1, size=authors)
    now = datetime.now(UTC) - timedelta(hours=1)
    fetched = {"fetched_at": now, "changed_at": now, "spell": 1, "observations": 1, "content_hash": "0"}
    with where.documents() as database:
        for at in range(0, authors, _BATCH):
            some = range(at, min(at + _BATCH, authors))
            star_ids = map(population.star_id, some)
            database[SEARCH.collection].insert_many(
                [{"_id": star_id, "star_id": star_id, "crawl": fetched, "data": {}} for star_id in star_ids],
                ordered=False,
            )
        for endpoint in DETAILS.values():
            key = {"$concat": ["$_id", f":{Platform.SHORT_VIDEO}"]}
            fields = {"_id": key, "star_id": "$_id", "platform": Platform.SHORT_VIDEO.value, "crawl": 1, "data": 1}
            database[SEARCH.collection].aggregate([{"$project": fields}, {"$out": endpoint.collection}])
        for name, models in indexes().items():
            database[name].create_indexes(models)


def take_out(database: Database[dict[str, Any]], authors: int, count: int, *, seed: int) -> None:
    """Remove so many details, of so many authors at random places."""
    chance, population = random.Random(seed), Population(seed=1, size=authors)
    for index in chance.sample(range(authors), count):
        endpoint = chance.choice(list(DETAILS.values()))
        key = f"{population.star_id(index)}:{Platform.SHORT_VIDEO}"
        assert database[endpoint.collection].delete_one({"_id": key}).deleted_count == 1


def crawl(where: Place, authors: int, **arguments: Any) -> Streamed:
    """Crawl the spider `authors` and measure."""
    where.sandbox.control(reset_ledger=True)
    process = where.start("authors", **arguments)
    _, status, usage = os.wait4(process.pid, 0)
    ledger = where.sandbox.ledger()
    with where.documents() as database:
        run = database.runs.find_one(sort=[("started_at", -1)])
        assert run is not None
        there = sum(database[endpoint.collection].count_documents({}) for endpoint in DETAILS.values())
    return Streamed(
        authors,
        os.waitstatus_to_exitcode(status),
        ledger["calls"],
        authors * len(DETAILS) - there,
        usage.ru_maxrss / 1024,
        (ledger["first_at"] or float("inf")) - run["started_at"].timestamp(),
    )


def missing(where: Place, authors: int, count: int) -> Streamed:
    """Fill the database, take details out, and let the crawler find them."""
    fill(where, authors)
    with where.documents() as database:
        take_out(database, authors, count, seed=authors)
    return crawl(where, authors, missing=1)


def broken(few: Streamed, many: Streamed, count: int) -> list[str]:
    """Return what does not hold."""
    claims = {
        "both crawls did their job": few.exit_code == many.exit_code == 0,
        "exactly what was missing is asked": few.calls == many.calls == count,
        "nothing is missing": few.left == many.left == 0,
        f"memory grows by less than {MOST_GROWTH_MB} MB": many.peak_mb - few.peak_mb < MOST_GROWTH_MB,
    }
    return [claim for claim, holds in claims.items() if not holds]


def main() -> int:
    """Measure a small and a large dataset, print both, and return 0 where everything holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--authors", type=int, default=1_000_000)
    parser.add_argument("--missing", type=int, default=50)
    options = parser.parse_args()
    found = []
    for authors in (FEW, options.authors):
        with place("--authors", str(authors)) as where:
            found.append(missing(replace(where, database="many"), authors, options.missing))
            print(found[-1])
    few, many = found
    print(f"memory grows by {many.peak_mb - few.peak_mb:.0f} MB")
    claims = broken(few, many, options.missing)
    for claim in claims:
        print(f"does not hold: {claim}")
    return bool(claims)


if __name__ == "__main__":
    sys.exit(main())
