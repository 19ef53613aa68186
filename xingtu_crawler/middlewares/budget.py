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
        """Take one call from the budgets of the run and of the day; raise `CrawlClosingError` if one is empty."""
        if meta.ENDPOINT not in request.meta:
            return
        now = datetime.now(UTC)
        # The day comes first because it may wait for MongoDB: the calls that wait there are covered by `max_calls`,
        # so a later call that is not must not close the crawl before them.
        if (daily := self._session.daily_calls) is not None:
            await self._take(daily, now)
        if not self._session.budget.take():
            if daily is not None:
                daily.put_back(now)
            self._session.closing.close("max_calls")
            raise CrawlClosingError("max_calls is reached")
        request.meta[meta.CALLS] = request.meta.get(meta.CALLS, 0) + 1
        self._stats.inc_value("xingtu/calls")
        self._stats.inc_value(f"xingtu/calls/{request.meta[meta.ENDPOINT]}")

    async def _take(self, daily: DailyCalls, now: datetime) -> None:
        try:
            is_within = await daily.take(now)
        except StorageError:  # the crawl closes for it already
            raise CrawlClosingError("MongoDB is gone") from None
        if not is_within:
            self._session.closing.close("daily_calls")
            raise CrawlClosingError("the daily limit is reached")
        if self._session.closing.is_over:  # since `take` waited for MongoDB
            daily.put_back(now)
            raise CrawlClosingError("the crawl is closing")
