"""A call that is not made costs no budget."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from scrapy import Request
from scrapy.http import Response
from scrapy.statscollectors import MemoryStatsCollector
from scrapy.utils.test import get_crawler

from tests.middlewares.sessions import Session
from xingtu_crawler.api.budget import Budget
from xingtu_crawler.api.tokens import TokenPool
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError, NotSentError
from xingtu_crawler.middlewares.budget import BudgetMiddleware
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.daily_calls import DailyCalls

Database = AsyncDatabase[dict[str, Any]]


RESPONSE = Response("https://api.example.com")


class Gate(DailyCalls):
    """Daily calls that are taken only when the test opens the gate, as if MongoDB were away before."""

    def __init__(self, database: Database, cap: int) -> None:
        super().__init__(database, Outages(1), cap)
        self.database = database
        self.opened = asyncio.Event()
        self.error: Exception | None = None

    async def take(self, now: datetime) -> bool:
        await self.opened.wait()
        if self.error:
            raise self.error
        return await super().take(now)


class Bench:
    """The middleware behind a gate."""

    def __init__(self, database: Database, *, max_calls: int | None = None, cap: int = 100) -> None:
        self.gate = Gate(database, cap)
        self.session = Session(TokenPool.from_text("one"), Budget(max_calls), daily_calls=self.gate)
        self.stats = MemoryStatsCollector(get_crawler())
        stand_in: Any = self.session
        self.middleware = BudgetMiddleware(stand_in, self.stats)

    async def waiting(self, count: int) -> list[asyncio.Task[None]]:
        """Return the tasks of this many requests, which wait at the gate."""
        tasks = [asyncio.ensure_future(self.call()) for _ in range(count)]
        await asyncio.sleep(0)
        return tasks

    async def call(self, result: Response | Exception = RESPONSE) -> None:
        """Send one request, which has this result."""
        request = Request("https://api.example.com", meta={meta.ENDPOINT: "search"})
        await self.middleware.process_request(request)
        await asyncio.sleep(0)
        if isinstance(result, Exception):
            self.middleware.process_exception(request, result)
        else:
            self.middleware.process_response(request, result)

    async def sent(self, tasks: list[asyncio.Task[None]]) -> list[bool]:
        """Open the gate; return for each request whether it is sent."""
        self.gate.opened.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), CrawlClosingError}
        return [result is None for result in results]

    async def calls_of_the_day(self) -> int:
        await self.gate.settle()
        day = await self.gate.database.daily_calls.find_one({})
        assert day is not None
        return int(day["calls"])


async def test_requests_that_waited_for_mongodb_are_not_sent_when_the_crawl_is_closing(
    mongo_db: Database,
) -> None:
    bench = Bench(mongo_db)
    tasks = await bench.waiting(5)
    bench.session.closing.is_over = True
    assert await bench.sent(tasks) == [False] * 5
    assert bench.session.closing.reasons == []
    assert bench.session.budget.calls == 0
    assert bench.stats.get_value("xingtu/calls") is None
    assert await bench.calls_of_the_day() == 0


async def test_max_calls_is_used_up_by_requests_that_waited_for_mongodb(
    mongo_db: Database,
) -> None:
    bench = Bench(mongo_db, max_calls=21)
    assert await bench.sent(await bench.waiting(64)) == [True] * 21 + [False] * 43
    assert bench.session.closing.reasons == ["max_calls"]
    assert bench.stats.get_value("xingtu/calls") == bench.session.budget.calls == 21
    assert await bench.calls_of_the_day() == 21


@pytest.mark.parametrize(("max_calls", "reason"), [(None, "daily_calls"), (31, "daily_calls"), (30, "max_calls")])
async def test_the_daily_limit_closes_the_crawl_unless_its_own_is_reached(
    max_calls: int | None, reason: str, mongo_db: Database
) -> None:
    bench = Bench(mongo_db, max_calls=max_calls, cap=30)
    assert await bench.sent(await bench.waiting(32)) == [True] * 30 + [False] * 2
    assert bench.session.closing.reasons == [reason]
    assert await bench.calls_of_the_day() == 30


async def test_a_request_that_could_not_be_sent_leaves_its_call_to_the_next_one(mongo_db: Database) -> None:
    bench = Bench(mongo_db, max_calls=2, cap=2)
    bench.gate.opened.set()
    results: list[Response | Exception] = [RESPONSE, NotSentError("refused"), RESPONSE, RESPONSE]
    outcomes = await asyncio.gather(*map(bench.call, results), return_exceptions=True)
    assert [outcome is None for outcome in outcomes] == [True, True, True, False]
    assert bench.session.closing.reasons == ["max_calls"]
    assert bench.stats.get_value("xingtu/calls") == bench.session.budget.calls == 2
    assert await bench.calls_of_the_day() == 2


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_request_that_fails_before_it_is_sent_costs_no_budget(is_cancelled: bool, mongo_db: Database) -> None:
    bench = Bench(mongo_db)
    (task,) = await bench.waiting(1)
    if is_cancelled:
        task.cancel()
    bench.gate.error = RuntimeError("a defect")
    bench.gate.opened.set()
    with pytest.raises(asyncio.CancelledError if is_cancelled else RuntimeError):
        await task
    assert bench.session.budget.calls == 0


async def test_a_call_of_yesterday_is_not_put_back_today(mongo_db: Database) -> None:
    daily = DailyCalls(mongo_db, Outages(1), 1)
    yesterday, today = datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)
    assert await daily.take(yesterday)
    assert await daily.take(today)
    daily.put_back(yesterday)
    assert not await daily.take(today)
    daily.put_back(today)
    assert await daily.take(today)


async def test_the_calls_of_a_request_are_counted(mongo_db: Database) -> None:
    bench = Bench(mongo_db)
    bench.gate.opened.set()
    request = Request("https://api.example.com", meta={meta.ENDPOINT: "search"})
    for _ in range(3):
        await bench.middleware.process_request(request)
    assert request.meta[meta.CALLS] == 3
