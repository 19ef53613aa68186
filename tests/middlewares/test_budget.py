"""Only calls that are made cost budget, and all calls that `max_calls` covers are made."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from middlewares.sessions import Closing, Session
from pymongo.asynchronous.database import AsyncDatabase
from scrapy import Request
from scrapy.statscollectors import MemoryStatsCollector
from scrapy.utils.test import get_crawler

from xingtu_crawler.api.budget import Budget
from xingtu_crawler.api.tokens import TokenPool
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError
from xingtu_crawler.middlewares.budget import BudgetMiddleware
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.daily_calls import DailyCalls


class Gate(DailyCalls):
    """Daily calls that wait at a gate, as if MongoDB was away."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        super().__init__(database, Outages(1), 100)
        self.opened = asyncio.Event()
        self.error: Exception | None = None

    async def take(self, now: datetime) -> bool:
        await self.opened.wait()
        if self.error:
            raise self.error
        return await super().take(now)


class EffectiveClosing(Closing):
    """Closes the crawl at once."""

    def close(self, reason: str) -> None:
        super().close(reason)
        self.is_over = True


class Bench:
    """The middleware behind a gate."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], max_calls: int | None = None) -> None:
        self.gate = Gate(database)
        self.session = Session(
            TokenPool.from_text("one"), Budget(max_calls), daily_calls=self.gate, closing=EffectiveClosing()
        )
        self.stats = MemoryStatsCollector(get_crawler())
        stand_in: Any = self.session
        self.middleware = BudgetMiddleware(stand_in, self.stats)

    async def waiting(self, count: int) -> list[asyncio.Task[None]]:
        """Return the tasks of calls that wait at the gate."""
        request = Request("https://api.example.com", meta={meta.ENDPOINT: "search"})
        tasks = [asyncio.ensure_future(self.middleware.process_request(request.copy())) for _ in range(count)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        return tasks


async def test_calls_that_waited_for_mongodb_do_not_leave_when_the_crawl_is_closing(
    mongo_db: AsyncDatabase[dict[str, Any]],
) -> None:
    bench = Bench(mongo_db)
    tasks = await bench.waiting(5)
    bench.session.closing.is_over = True
    bench.gate.opened.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [CrawlClosingError] * 5
    assert bench.session.budget.calls == 0
    assert bench.stats.get_value("xingtu/calls") is None
    await bench.gate.settle()
    day = await mongo_db.daily_calls.find_one({})
    assert day is not None
    assert day["calls"] == 0


async def test_calls_that_wait_for_mongodb_are_made_before_max_calls_closes_the_crawl(
    mongo_db: AsyncDatabase[dict[str, Any]],
) -> None:
    bench = Bench(mongo_db, max_calls=2)
    tasks = await bench.waiting(3)
    bench.gate.opened.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [type(None), type(None), CrawlClosingError]
    assert bench.session.closing.reasons == ["max_calls"]
    await bench.gate.settle()
    day = await mongo_db.daily_calls.find_one({})
    assert day is not None
    assert day["calls"] == bench.session.budget.calls == bench.stats.get_value("xingtu/calls") == 2


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_call_that_is_not_made_costs_no_budget(
    cancelled: bool, mongo_db: AsyncDatabase[dict[str, Any]]
) -> None:
    bench = Bench(mongo_db)
    (task,) = await bench.waiting(1)
    if cancelled:
        task.cancel()
    bench.gate.error = RuntimeError("a defect")
    bench.gate.opened.set()
    with pytest.raises(asyncio.CancelledError if cancelled else RuntimeError):
        await task
    assert bench.session.budget.calls == 0


async def test_a_call_of_yesterday_is_not_put_back_today(mongo_db: AsyncDatabase[dict[str, Any]]) -> None:
    daily = DailyCalls(mongo_db, Outages(1), 1)
    yesterday, today = datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)
    assert await daily.take(yesterday)
    assert await daily.take(today)
    daily.put_back(yesterday)
    assert not await daily.take(today)
    daily.put_back(today)
    assert await daily.take(today)


async def test_the_calls_of_a_request_are_counted(mongo_db: AsyncDatabase[dict[str, Any]]) -> None:
    bench = Bench(mongo_db)
    bench.gate.opened.set()
    request = Request("https://api.example.com", meta={meta.ENDPOINT: "search"})
    for _ in range(3):
        await bench.middleware.process_request(request)
    assert request.meta[meta.CALLS] == 3
