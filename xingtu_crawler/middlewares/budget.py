"""Counts the calls and stops the crawl at `max_calls` and at the daily limit.

It is the last middleware before the download, so it counts every attempt, retries included.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.statscollectors import StatsCollector

from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError, NotSentError
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.extensions.api_session import ApiSession
from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.storage.daily_calls import DailyCalls


class BudgetMiddleware:
    """Closes the crawl (`max_calls`, `daily_calls`) at the first call beyond a limit.

    A request that could not be sent, because no connection was made, is no call: it is put back.
    """

    def __init__(self, session: ApiSession, stats: StatsCollector) -> None:
        self._session = session
        self._stats = stats
        self._on_the_way = 0
        self._one_is_back = asyncio.Event()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Take the budgets of the crawl's API session."""
        return cls(Crawl.of(crawler).session, crawler.stats)

    async def process_request(self, request: Request) -> None:
        """Take one call from the budgets of the day and of the run; raise `CrawlClosingError` if one is empty."""
        if meta.ENDPOINT not in request.meta:
            return
        while not await self._take(request):
            if self._session.closing.is_over or not self._on_the_way:
                self._close()
                raise CrawlClosingError("the crawl is closing")
            # A call on the way may turn out not to have been made.
            self._one_is_back.clear()
            await self._one_is_back.wait()

    def process_response(self, request: Request, response: Response) -> Response:
        """Register that a call was made."""
        self._is_back(request)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Put a call back that was not made, and register any other."""
        taken_at = self._is_back(request)
        if taken_at is None or not isinstance(exception, NotSentError):
            return
        self._session.budget.put_back()
        if self._session.daily_calls is not None:
            self._session.daily_calls.put_back(taken_at)
        self._count(request, -1)
        self._one_is_back.set()

    async def _take(self, request: Request) -> bool:
        self._on_the_way += 1  # now: another request that finds no call left has to wait for this one
        taken_at = None
        try:
            taken_at = await self._take_from_both()
        finally:
            if taken_at is None:
                self._one_is_less()
        if taken_at is None:
            return False
        request.meta[meta.TAKEN_AT] = taken_at
        self._count(request, 1)
        return True

    async def _take_from_both(self) -> datetime | None:
        """Return when a call was taken from the budgets of the day and of the run, None if one of them is empty."""
        now, daily = datetime.now(UTC), self._session.daily_calls
        is_within_day = daily is None or await _take(daily, now)
        # The run's budget comes second, because the other may wait for MongoDB: the first request beyond `max_calls`
        # closes the crawl when all before it have been sent, and not while they wait.
        if is_within_day and not self._session.closing.is_over and self._session.budget.take():
            return now
        if daily is not None and is_within_day:
            daily.put_back(now)
        return None

    def _is_back(self, request: Request) -> datetime | None:
        """Register the end of a call; return when it was taken from the budget, None if it was not."""
        taken_at: datetime | None = request.meta.pop(meta.TAKEN_AT, None)
        if taken_at is not None:
            self._one_is_less()
        return taken_at

    def _one_is_less(self) -> None:
        self._on_the_way -= 1
        if not self._on_the_way:
            self._one_is_back.set()

    def _close(self) -> None:
        if not self._session.closing.is_over:
            self._session.closing.close("max_calls" if self._session.budget.is_used_up else "daily_calls")

    def _count(self, request: Request, calls: int) -> None:
        request.meta[meta.CALLS] = request.meta.get(meta.CALLS, 0) + calls
        self._stats.inc_value("xingtu/calls", calls)
        self._stats.inc_value(f"xingtu/calls/{request.meta[meta.ENDPOINT]}", calls)


async def _take(daily: DailyCalls, now: datetime) -> bool:
    try:
        return await daily.take(now)
    except StorageError:  # the crawl closes for it already
        raise CrawlClosingError("MongoDB is gone") from None
