"""`authors -a missing=1` over a large dataset: what it asks, how much memory it takes, how soon it begins.

What is missing lies at the end of the order of the keys, so that everything is looked through before the first call;
then at random places.
`python -m benchmarks.missing [--authors 1000000] [--missing 50]`
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

from pymongo.database import Database

from benchmarks.crawling import Place, place
from xingtu_crawler.api.endpoints import DETAILS, SEARCH, Platform
from xingtu_crawler.sandbox.population import Population
from xingtu_crawler.storage.collections import indexes

MOST_GROWTH_MB = 50
LATEST_FIRST_CALL_S = 10
FEW = 1_000
_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Streamed:
    """One crawl: what it asked and stored, its peak memory, and the seconds from the start of its process to its
    first call."""

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


def take_out(database: Database[dict[str, Any]], star_ids: Iterable[str]) -> None:
    """Remove one of the details of each of these authors."""
    for star_id, endpoint in zip(star_ids, cycle(DETAILS.values()), strict=False):
        key = f"{star_id}:{Platform.SHORT_VIDEO}"
        assert database[endpoint.collection].delete_one({"_id": key}).deleted_count == 1


def at_the_end(database: Database[dict[str, Any]], count: int) -> list[str]:
    """Return the authors whose keys are the last ones."""
    return [author["_id"] for author in database.authors.find({}, {"_id": 1}, sort=[("_id", -1)], limit=count)]


def at_random(authors: int, count: int) -> list[str]:
    """Return so many of the authors, the same ones at every call."""
    population = Population(seed=1, size=authors)
    return [population.star_id(index) for index in random.Random(authors).sample(range(authors), count)]


def crawl(where: Place, authors: int, **arguments: Any) -> Streamed:
    """Crawl the spider `authors` and measure."""
    where.sandbox.control(reset_ledger=True)
    begun = time.time()
    process = where.start("authors", **arguments)
    _, status, usage = os.wait4(process.pid, 0)
    ledger = where.sandbox.ledger()
    with where.documents() as database:
        there = sum(database[endpoint.collection].count_documents({}) for endpoint in DETAILS.values())
    return Streamed(
        authors,
        os.waitstatus_to_exitcode(status),
        ledger["calls"],
        authors * len(DETAILS) - there,
        usage.ru_maxrss / 1024,
        (ledger["first_at"] or float("inf")) - begun,
    )


def missing(where: Place, authors: int, count: int) -> list[Streamed]:
    """Fill the database, take details out, and let the crawler find them: at the end, then at random places."""
    fill(where, authors)
    found = []
    with where.documents() as database:
        for star_ids in (at_the_end(database, count), at_random(authors, count)):
            take_out(database, star_ids)
            found.append(crawl(where, authors, missing=1))
    return found


def broken(few: Streamed, many: Sequence[Streamed], count: int) -> list[str]:
    """Return what does not hold of the crawls of a large dataset, compared with one of a small one."""
    crawls = (few, *many)
    growth = max(each.peak_mb for each in many) - few.peak_mb
    claims = {
        "every crawl did its job": all(each.exit_code == 0 for each in crawls),
        "exactly what was missing is asked": all(each.calls == count for each in crawls),
        "nothing is missing": not any(each.left for each in crawls),
        f"memory grows by less than {MOST_GROWTH_MB} MB": growth < MOST_GROWTH_MB,
        f"the first call comes within {LATEST_FIRST_CALL_S} s": all(
            each.first_call_s <= LATEST_FIRST_CALL_S for each in many
        ),
    }
    return [claim for claim, holds in claims.items() if not holds]


def main() -> int:
    """Measure a small and a large dataset, print both, and return 0 where everything holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--authors", type=int, default=1_000_000)
    parser.add_argument("--missing", type=int, default=50)
    options = parser.parse_args()
    found = {}
    for authors in (FEW, options.authors):
        with place("--authors", str(authors)) as where:
            found[authors] = missing(where, authors, options.missing)
    (few, *_), many = found[FEW], found[options.authors]
    print("few:", few)
    for name, each in zip(("at the end", "at random places"), many, strict=True):
        print(f"{options.missing} missing {name} of {each}, {each.peak_mb - few.peak_mb:+.0f} MB")
    claims = broken(few, many, options.missing)
    for claim in claims:
        print(f"does not hold: {claim}")
    return bool(claims)


if __name__ == "__main__":
    sys.exit(main())
