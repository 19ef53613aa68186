"""`authors -a missing=1`, `failed=1` and `stale=7d` find their details in more authors than one batch holds.

benchmarks/missing.py does the same with a million authors and measures memory and time.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.crawling import Place
from benchmarks.missing import at_random, at_the_end, fill, take_out
from tests.harness import StartSandbox
from xingtu_crawler.api.endpoints import DETAILS, Platform

AUTHORS = 5_000
WANTED = 50


def test_missing_failed_and_stale_details_are_found_among_many_authors(
    start_sandbox: StartSandbox, mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    where = Place(start_sandbox("--authors", str(AUTHORS)), mongo_uri, mongo_db.name, tmp_path)
    fill(where, AUTHORS)

    def calls(**arguments: Any) -> int:
        where.sandbox.control(reset_ledger=True)
        assert where.crawl("authors", **arguments) == 0
        return int(where.sandbox.ledger()["calls"])

    with where.documents() as database:
        for star_ids in (at_the_end(database, WANTED), at_random(AUTHORS, WANTED)):
            take_out(database, star_ids)
            assert calls(missing=1) == WANTED
            assert [database[each.collection].count_documents({}) for each in DETAILS.values()] == [AUTHORS] * 4

        chance = random.Random(1)
        chosen = at_random(AUTHORS, 2 * WANTED)
        failures = [
            {
                "_id": f"{endpoint}:{star_id}:{Platform.SHORT_VIDEO}",
                "endpoint": endpoint,
                "star_id": star_id,
                "platform": Platform.SHORT_VIDEO.value,
                "reason": "collection failed, please retry",
                "terminal": number >= WANTED,
                "failed_at": datetime.now(UTC),  # later than the stored documents
            }
            for number, star_id in enumerate(chosen)
            for endpoint in [chance.choice(list(DETAILS))]
        ]
        database.failures.insert_many(failures)
        assert calls(failed=1) == WANTED
        assert database.failures.count_documents({}) == database.failures.count_documents({"terminal": True}) == WANTED

        for star_id in chosen[:WANTED]:
            endpoint = chance.choice(list(DETAILS.values()))
            old = {"$set": {"crawl.fetched_at": datetime.now(UTC) - timedelta(days=8)}}
            database[endpoint.collection].update_one({"_id": f"{star_id}:{Platform.SHORT_VIDEO}"}, old)
        assert calls(stale="7d") == WANTED
        assert calls(stale="7d") == 0
