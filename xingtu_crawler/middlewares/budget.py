"""Counts the calls and stops the crawl at `max_calls` and at the daily limit.

It is the last middleware before the download, so it counts every attempt, retries included.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.statscollectors import StatsCollector

from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.extensions.api_session import ApiSession
from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.storage.daily_calls import DailyCalls


class BudgetMiddleware:
    """Closes the crawl (`max_calls`, `daily_calls`) at the first call beyond a limit."""

    def __init__(self, session: ApiSession, stats: StatsCollector) -> None:
        self._session = session
        self._stats = stats

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Take the budgets of the crawl's API session."""
        return cls(Crawl.of(crawler).session, crawler.stats)

    async def process_request(self, request: Request) -> None:
        """Take one call from the budgets of the day and of the run; raise `CrawlClosingError` if one is empty."""
        if meta.ENDPOINT not in request.meta:
            return
        now, closing, budget = datetime.now(UTC), self._session.closing, self._session.budget
        daily = self._session.daily_calls
        is_within_day = daily is None or await _take(daily, now)
        # The run's budget comes second, because the other may wait for MongoDB: the first request beyond `max_calls`
        # closes the crawl when all before it have been sent, and not while they wait.
        if is_within_day and not closing.is_over and budget.take():
            self._count(request)
            return
        if daily is not None and is_within_day:
            daily.put_back(now)
        if not closing.is_over:
            closing.close("max_calls" if budget.is_used_up else "daily_calls")
        raise CrawlClosingError("the crawl is closing")

    def _count(self, request: Request) -> None:
        request.meta[meta.CALLS] = request.meta.get(meta.CALLS, 0) + 1
        self._stats.inc_value("xingtu/calls")
        self._stats.inc_value(f"xingtu/calls/{request.meta[meta.ENDPOINT]}")


async def _take(daily: DailyCalls, now: datetime) -> bool:
    try:
        return await daily.take(now)
    except StorageError:  # the crawl closes for it already
        raise CrawlClosingError("MongoDB is gone") from None
