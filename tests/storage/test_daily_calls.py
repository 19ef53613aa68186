"""The daily cap, claimed by several at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.daily_calls import DailyCalls

Database = AsyncDatabase[dict[str, Any]]
NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)
NEXT_DAY_IN_BEIJING = datetime(2026, 3, 8, 16, tzinfo=UTC)


async def _take_all(calls: DailyCalls, at: datetime, most: int) -> int:
    return sum(await asyncio.gather(*(calls.take(at) for _ in range(most))))


@pytest.mark.parametrize("cap", [1, 7, 16, 17, 100])
async def test_the_cap_is_reached_and_not_exceeded_by_two(cap: int, mongo_db: Database) -> None:
    one, two = (DailyCalls(mongo_db, Outages(5), cap) for _ in range(2))
    taken = await asyncio.gather(_take_all(one, NOON, 80), _take_all(two, NOON, 80))
    await one.settle()
    await two.settle()
    assert sum(taken) <= cap
    # What was claimed in advance and not used is there for the next one.
    rest = await _take_all(DailyCalls(mongo_db, Outages(5), cap), NOON, 200)
    assert sum(taken) + rest == cap


async def test_the_day_begins_in_beijing(mongo_db: Database) -> None:
    calls = DailyCalls(mongo_db, Outages(5), 3)
    assert await _take_all(calls, NOON, 5) == 3
    assert await _take_all(calls, NEXT_DAY_IN_BEIJING, 5) == 3
    assert {day["_id"]: day["calls"] async for day in mongo_db.daily_calls.find()} == {"2026-03-08": 3, "2026-03-09": 3}


async def test_nothing_is_given_back_that_was_used(mongo_db: Database) -> None:
    calls = DailyCalls(mongo_db, Outages(5), 100)
    assert await _take_all(calls, NOON, 20) == 20
    await calls.settle()
    await calls.settle()
    day = await mongo_db.daily_calls.find_one({})
    assert day == {"_id": "2026-03-08", "calls": 20}


async def test_calls_without_a_cap_count_for_one_that_is_set_later(mongo_db: Database) -> None:
    free = DailyCalls(mongo_db, Outages(5), None)
    assert await _take_all(free, NOON, 30) == 30
    assert await _take_all(free, NEXT_DAY_IN_BEIJING, 5) == 5
    assert await mongo_db.daily_calls.count_documents({}) == 0  # no call waits for MongoDB
    await free.count()
    assert await _take_all(free, NOON, 10) == 10
    await free.settle()
    await free.settle()
    assert {day["_id"]: day["calls"] async for day in mongo_db.daily_calls.find()} == {
        "2026-03-08": 40,
        "2026-03-09": 5,
    }
    capped = DailyCalls(mongo_db, Outages(5), 50)
    assert await _take_all(capped, NOON, 80) == 10
    assert await _take_all(DailyCalls(mongo_db, Outages(5), 39), NOON, 80) == 0


async def test_calls_that_could_not_be_counted_are_counted_later(mongo_db: Database) -> None:
    calls = DailyCalls(mongo_db, Outages(5), None)
    await _take_all(calls, NOON, 3)
    counting = asyncio.create_task(calls.count())
    await asyncio.sleep(0)
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)
    await calls.settle()
    day = await mongo_db.daily_calls.find_one({})
    assert day is not None
    assert 3 <= day["calls"] <= 6  # too many at most: whether the first has arrived, nobody knows
