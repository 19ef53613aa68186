"""Documents that are dated in the future: their dates are corrected, and their details are fetched again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.claims import Claims, DetailKey
from xingtu_crawler.storage.dates import AHEAD, correct_dates

Database = AsyncDatabase[dict[str, Any]]

NOW = datetime.now(UTC).replace(microsecond=0)
YEAR = timedelta(days=365)
BEFORE = NOW - timedelta(milliseconds=1)
KEY = DetailKey("base_info", "1", "SHORT_VIDEO")


def crawl(at: datetime, **more: Any) -> dict[str, Any]:
    return {"fetched_at": at, "changed_at": at, "first_seen_at": at, "spell": 1, **more}


async def claimed(database: Database) -> bool:
    found = await Claims(database, Outages(5)).claim([KEY], newer_than=NOW - YEAR, settled_since=NOW - YEAR)
    return bool(found)


@pytest.mark.parametrize(("at", "is_fetched"), [(NOW, False), (NOW + AHEAD / 2, False), (NOW + YEAR, True)])
async def test_a_detail_that_is_dated_in_the_future_is_fetched_again(
    mongo_db: Database, at: datetime, is_fetched: bool
) -> None:
    await mongo_db.author_base_info.insert_one({"_id": "1:SHORT_VIDEO", "crawl": crawl(at)})
    assert await claimed(mongo_db) is is_fetched  # before the correction too: a plan corrects nothing
    assert await correct_dates(mongo_db, Outages(5), now=NOW) == is_fetched
    assert await claimed(mongo_db) is is_fetched
    assert await correct_dates(mongo_db, Outages(5), now=NOW) == 0
    assert await claimed(mongo_db) is is_fetched


async def test_every_date_is_corrected_and_the_wrong_one_kept(mongo_db: Database) -> None:
    seen = [NOW - YEAR, NOW + YEAR]
    await mongo_db.author_base_info.insert_one(
        {
            "_id": "1:SHORT_VIDEO",
            "crawl": {
                **crawl(NOW + YEAR, observed_between=seen, run_started_at=NOW + YEAR),
                "first_seen_at": NOW - YEAR,
            },
        }
    )
    await mongo_db.author_base_info.insert_one({"_id": "2:SHORT_VIDEO", "crawl": crawl(NOW - YEAR)})
    await mongo_db.authors.insert_one({"_id": "1", "crawl": crawl(NOW + YEAR)})
    await mongo_db.videos.insert_one({"_id": "1", "crawl": crawl(NOW + YEAR)})
    await mongo_db.failures.insert_one({"_id": "x", "failed_at": NOW + YEAR, "first_failed_at": NOW - YEAR})
    await mongo_db.sweeps.insert_one({"_id": "s", "started_at": NOW + YEAR, "finished_at": None})
    await mongo_db.runs.insert_one({"_id": "r", "started_at": NOW + YEAR, "updated_at": NOW + YEAR, "ended_at": None})
    assert await correct_dates(mongo_db, Outages(5), now=NOW) == 3
    detail = await mongo_db.author_base_info.find_one({"_id": "1:SHORT_VIDEO"})
    assert detail is not None
    assert detail["crawl"] == {
        **crawl(BEFORE, run_started_at=BEFORE, dated_ahead=NOW + YEAR, observed_between=[NOW - YEAR]),
        "first_seen_at": NOW - YEAR,
    }
    for name in ("authors", "videos"):
        found = await mongo_db[name].find_one({"_id": "1"})
        assert found is not None
        assert found["crawl"] == crawl(BEFORE, dated_ahead=NOW + YEAR)
    assert await mongo_db.failures.find_one({}) == {
        "_id": "x",
        "failed_at": BEFORE,
        "first_failed_at": NOW - YEAR,
        "dated_ahead": NOW + YEAR,
    }
    assert await mongo_db.sweeps.find_one({}) == {
        "_id": "s",
        "started_at": BEFORE,
        "finished_at": None,
        "dated_ahead": NOW + YEAR,
    }
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["started_at"], run["updated_at"], run["ended_at"]) == (BEFORE, BEFORE, None)
    other = await mongo_db.author_base_info.find_one({"_id": "2:SHORT_VIDEO"})
    assert other == {"_id": "2:SHORT_VIDEO", "crawl": crawl(NOW - YEAR)}


@pytest.mark.parametrize("collection", [each.collection for each in DETAILS.values()])
async def test_each_detail_collection_shows_that_a_clock_was_wrong(mongo_db: Database, collection: str) -> None:
    await mongo_db[collection].insert_one({"_id": "1:SHORT_VIDEO", "crawl": crawl(NOW + YEAR)})
    assert await correct_dates(mongo_db, Outages(5), now=NOW) == 1
