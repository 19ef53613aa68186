"""The missing, failed and stale details of a dataset."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage import worklist as module
from xingtu_crawler.storage.claims import DetailKey
from xingtu_crawler.storage.worklist import Worklist

Database = AsyncDatabase[dict[str, Any]]
NOW = datetime(2026, 3, 8, tzinfo=UTC)
ENDPOINTS = ("base_info", "rec_videos")
SHORT, LIVE = "SHORT_VIDEO", "LIVE_STREAMING"


@pytest.fixture
def worklist(mongo_db: Database, monkeypatch: pytest.MonkeyPatch) -> Worklist:
    monkeypatch.setattr(module, "_BATCH", 3)  # a few documents are several batches
    return Worklist(mongo_db, Outages(5))


async def _all(batches: AsyncIterator[list[Any]]) -> list[Any]:
    return [each async for batch in batches for each in batch]


async def _store(mongo_db: Database, collection: str, star_id: str, platform: str, age: timedelta) -> None:
    await mongo_db[collection].insert_one({"_id": f"{star_id}:{platform}", "crawl": {"fetched_at": NOW - age}})


async def test_missing_yields_authors_who_lack_any_document(worklist: Worklist, mongo_db: Database) -> None:
    await mongo_db.authors.insert_many([{"_id": str(number)} for number in range(10, 20)])
    for number in range(10, 20):
        for collection in ("author_base_info", "author_rec_videos"):
            if (number, collection) not in {(11, "author_base_info"), (18, "author_rec_videos")}:
                await _store(mongo_db, collection, str(number), SHORT, timedelta(days=400))
    assert await _all(worklist.missing([SHORT], ENDPOINTS)) == ["11", "18"]
    assert await _all(worklist.missing([SHORT], ["base_info"])) == ["11"]
    assert len(await _all(worklist.missing([SHORT, LIVE], ["base_info"]))) == 10
    # Empty batches are yielded, so that the caller can stop between them.
    batches = [batch async for batch in worklist.missing([SHORT], ["base_info"])]
    assert batches == [["11"], [], [], []]


async def test_failed_yields_the_details_in_failures(worklist: Worklist, mongo_db: Database) -> None:
    for number in range(8):
        endpoint, platform = ("rec_videos" if number % 2 else "base_info"), (LIVE if number == 5 else SHORT)
        failure = {"endpoint": endpoint, "star_id": str(number), "platform": platform, "terminal": number == 4}
        await mongo_db.failures.insert_one({"_id": f"{endpoint}:{number}:{platform}", **failure})
    await mongo_db.failures.insert_one({"_id": "search:s:1", "endpoint": "search", "page": 1, "terminal": False})
    found = await _all(worklist.failed([SHORT], ENDPOINTS, terminal=False))
    assert {detail.star_id for detail in found} == {"0", "1", "2", "3", "6", "7"}
    assert DetailKey("rec_videos", "3", SHORT) in found
    assert {q.star_id for q in await _all(worklist.failed([SHORT], ENDPOINTS, terminal=True))} == set("0123467")
    assert [q.star_id for q in await _all(worklist.failed([LIVE], ["rec_videos"], terminal=False))] == ["5"]


async def test_stale_yields_details_fetched_before_a_time_oldest_first(worklist: Worklist, mongo_db: Database) -> None:
    for number in range(10):
        await _store(mongo_db, "author_base_info", str(number), SHORT, timedelta(days=number))
    await _store(mongo_db, "author_base_info", "3", LIVE, timedelta(days=30))
    await _store(mongo_db, "author_rec_videos", "3", SHORT, timedelta(days=30))
    older_than = NOW - timedelta(days=5)
    found = await _all(worklist.stale([SHORT], ENDPOINTS, older_than=older_than))
    expected = [DetailKey("base_info", str(number), SHORT) for number in (9, 8, 7, 6)]
    assert found == [*expected, DetailKey("rec_videos", "3", SHORT)]


async def test_stale_yields_all_details_fetched_at_one_moment(worklist: Worklist, mongo_db: Database) -> None:
    for number in range(10, 20):
        await _store(mongo_db, "author_base_info", str(number), SHORT, timedelta(days=9))
    found = await _all(worklist.stale([SHORT], ["base_info"], older_than=NOW))
    assert [detail.star_id for detail in found] == [str(number) for number in range(10, 20)]


async def test_stale_goes_by_the_start_of_the_run_that_fetched(worklist: Worklist, mongo_db: Database) -> None:
    """A weekly job at the same minute refreshes what the last one fetched in its hours."""
    hour = timedelta(hours=1)
    run = {"_id": "r", "started_at": NOW - hour, "updated_at": NOW + 3 * hour}
    await mongo_db.runs.insert_one(run)
    for number in range(8):
        await _store(mongo_db, "author_base_info", str(number), SHORT, -number * hour / 2)
    own = {"_id": {"$ne": f"7:{SHORT}"}}
    await mongo_db.author_base_info.update_many(own, {"$set": {"crawl.run_started_at": NOW - hour}})
    await mongo_db.author_base_info.update_one({"_id": f"5:{SHORT}"}, {"$set": {"crawl.run_started_at": NOW + hour}})
    found = await _all(worklist.stale([SHORT], ["base_info"], older_than=NOW))
    assert [detail.star_id for detail in found] == ["0", "1", "2", "3", "4", "6"]
    assert await _all(worklist.stale([SHORT], ["base_info"], older_than=NOW - 2 * hour)) == []
