"""Closes a crawl before its work is done. The first reason counts, and everything that makes calls can look it up."""

from __future__ import annotations

import asyncio

from scrapy.crawler import Crawler

from xingtu_crawler.engine import state
from xingtu_crawler.exceptions import UserError
from xingtu_crawler.extensions.refusal import refusal


class Closing:
    """Closes one crawl early and says whether it is closing."""

    def __init__(self, crawler: Crawler) -> None:
        self.reason: str | None = None
        """The close reason, if this project closes the crawl."""
        self._crawler = crawler
        self._is_last_step = False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_closing(self) -> bool:
        """Whether the crawl closes or was interrupted."""
        return self.reason is not None or not self._crawler.engine.running

    @property
    def is_over(self) -> bool:
        """Whether no further call may be made, whatever closes the crawl (`CLOSESPIDER_*`, `MEMUSAGE_*`)."""
        return self.is_closing or state.is_closing(self._crawler.engine)

    @property
    def is_hurried(self) -> bool:
        """Whether a user or a scheduler waits for the end; a crawl that has not started may take its time."""
        engine = self._crawler.engine
        was_stopped = state.has_started(engine) and not engine.running
        return self._is_last_step or self.reason is not None or was_stopped

    def close(self, reason: str) -> None:
        """Close the crawl: no further call is made, what is in flight is received and stored."""
        if self.reason is None:
            self.reason = reason
            self._task = asyncio.ensure_future(self._crawler.engine.close_spider_async(reason=reason))

    def give_up(self, error: UserError, reason: str = "api_unavailable") -> None:
        """Log an error and close the crawl: the API, or the store for its answers, is gone."""
        if self.reason is None:
            refusal(self._crawler, error, reason)
            self.close(reason)

    def begin_last_step(self) -> None:
        """Record that the spider is closed and only the run remains to be recorded."""
        self._is_last_step = True
