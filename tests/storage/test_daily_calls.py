"""The count of each day and its cap, with several processes at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import WriteError
from pymongo.monitoring import CommandListener, CommandStartedEvent, CommandSucceededEvent

from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.daily_calls import DailyCalls

Database = AsyncDatabase[dict[str, Any]]
NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)
NEXT_DAY_IN_BEIJING = datetime(2026, 3, 8, 16, tzinfo=UTC)


async def _take_all(calls: DailyCalls, at: datetime, most: int) -> int:
    return sum(await asyncio.gather(*(calls.take(at) for _ in range(most))))


@pytest.mark.parametrize("cap", [1, 7, 16, 17, 100])
async def test_two_processes_reach_the_cap_and_do_not_exceed_it(cap: int, mongo_db: Database) -> None:
    one, two = (DailyCalls(mongo_db, Outages(5), cap) for _ in range(2))
    taken = await asyncio.gather(_take_all(one, NOON, 80), _take_all(two, NOON, 80))
    await one.settle()
    await two.settle()
    assert sum(taken) <= cap
    # Reserved calls that were not made are available again.
    rest = await _take_all(DailyCalls(mongo_db, Outages(5), cap), NOON, 200)
    assert sum(taken) + rest == cap


async def test_the_day_begins_in_beijing(mongo_db: Database) -> None:
    calls = DailyCalls(mongo_db, Outages(5), 3)
    assert await _take_all(calls, NOON, 5) == 3
    assert await _take_all(calls, NEXT_DAY_IN_BEIJING, 5) == 3
    assert {day["_id"]: day["calls"] async for day in mongo_db.daily_calls.find()} == {"2026-03-08": 3, "2026-03-09": 3}


async def test_settling_twice_returns_no_calls_that_were_made(mongo_db: Database) -> None:
    calls = DailyCalls(mongo_db, Outages(5), 100)
    assert await _take_all(calls, NOON, 20) == 20
    await calls.settle()
    await calls.settle()
    day = await mongo_db.daily_calls.find_one({})
    assert day == {"_id": "2026-03-08", "calls": 20}


async def test_a_cap_set_later_includes_the_calls_made_without_one(mongo_db: Database) -> None:
    free = DailyCalls(mongo_db, Outages(5), None)
    assert await _take_all(free, NOON, 30) == 30
    assert await _take_all(free, NEXT_DAY_IN_BEIJING, 5) == 5
    assert await mongo_db.daily_calls.count_documents({}) == 0  # taking a call does not wait for MongoDB
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


class CancelOnReply(CommandListener):
    """Cancels a task at the moment the reply to the first update arrives: MongoDB has applied it by then."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.updates = 0

    def started(self, event: CommandStartedEvent) -> None:
        self.updates += event.command_name == "update"

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name == "update" and self.task is not None:
            self.task.cancel()

    def failed(self, event: object) -> None: ...


async def test_cancelling_an_update_that_mongodb_has_applied_counts_its_calls_once(
    mongo_uri: str, mongo_db: Database
) -> None:
    listener = CancelOnReply()
    async with AsyncMongoClient[dict[str, Any]](mongo_uri, event_listeners=[listener]) as client:
        calls = DailyCalls(client[mongo_db.name], Outages(5), None)
        await _take_all(calls, NOON, 3)
        listener.task = asyncio.create_task(calls.count())
        with pytest.raises(asyncio.CancelledError):
            await listener.task
        listener.task = None
        await _take_all(calls, NOON, 4)
        await calls.settle()
    assert listener.updates == 2
    assert await mongo_db.daily_calls.find().to_list() == [{"_id": "2026-03-08", "calls": 7}]


async def test_cancelling_before_the_update_is_sent_loses_no_calls(mongo_db: Database) -> None:
    calls = DailyCalls(mongo_db, Outages(5), None)
    await _take_all(calls, NOON, 3)
    counting = asyncio.create_task(calls.count())
    await asyncio.sleep(0)
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)
    await calls.settle()
    assert await mongo_db.daily_calls.find().to_list() == [{"_id": "2026-03-08", "calls": 3}]


async def test_calls_that_mongodb_refuses_to_count_are_counted_later(mongo_db: Database) -> None:
    await mongo_db.create_collection("daily_calls", validator={"never": {"$exists": True}})
    calls = DailyCalls(mongo_db, Outages(5), None)
    await _take_all(calls, NOON, 3)
    with pytest.raises(WriteError):
        await calls.count()
    await mongo_db.command("collMod", "daily_calls", validator={})
    await calls.settle()
    assert await mongo_db.daily_calls.find().to_list() == [{"_id": "2026-03-08", "calls": 3}]
