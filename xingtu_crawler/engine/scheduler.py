"""A scheduler that holds a request back until a given time.

A pause in a downloader middleware would occupy one of the `CONCURRENT_REQUESTS` places. With a timer that hands the
request to the engine later, Scrapy would take the crawl to be idle and close it. A heap in the scheduler does neither.
"""

from __future__ import annotations

import heapq
import itertools
import time
from typing import TYPE_CHECKING, Any

from scrapy.core.scheduler import Scheduler
from scrapy.utils.asyncio import call_later

from xingtu_crawler.engine import meta

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.dupefilters import BaseDupeFilter
    from scrapy.utils.asyncio import CallLaterResult
    from twisted.internet.defer import Deferred


class DelayScheduler(Scheduler):
    """Scrapy's scheduler with a heap for the requests whose `meta["not_before"]` lies in the future.

    Requests are kept in memory, even with `JOBDIR`: the next crawl finds what is missing in MongoDB. A queue on disk
    would not know what was stored after it was written.
    """

    def __init__(self, dupefilter: BaseDupeFilter, jobdir: str | None = None, **parts: Any) -> None:
        super().__init__(dupefilter, jobdir=None, **parts)

    def open(self, spider: Spider) -> Deferred[None] | None:
        """Open the queue."""
        self._heap: list[tuple[float, int, Request]] = []
        self._order = itertools.count()
        self._timer: CallLaterResult | None = None
        return super().open(spider)

    def enqueue_request(self, request: Request) -> bool:
        """Queue a request, or hold it back until its time comes."""
        not_before = request.meta.get(meta.NOT_BEFORE, 0.0)
        if not_before <= time.monotonic():
            return super().enqueue_request(request)
        heapq.heappush(self._heap, (not_before, next(self._order), request))
        if self._heap[0][2] is request:
            self._arm()
        return True

    def has_pending_requests(self) -> bool:
        """Return whether a request is queued or held back: the spider is not idle then."""
        return bool(self._heap) or super().has_pending_requests()

    def held_back(self) -> tuple[int, float]:
        """Return the number of requests that are held back, and the seconds until the first one is sent."""
        return len(self._heap), max(0.0, self._heap[0][0] - time.monotonic()) if self._heap else 0.0

    def close(self, reason: str) -> Deferred[None] | None:
        """Drop the requests that are held back: the next run sends them."""
        if self._timer:
            self._timer.cancel()
        self._heap.clear()
        return super().close(reason)

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = call_later(max(0.0, self._heap[0][0] - time.monotonic()), self._release)

    def _release(self) -> None:
        self._timer = None
        assert self.crawler is not None
        while self._heap and self._heap[0][0] <= time.monotonic():
            request = heapq.heappop(self._heap)[2]
            # Through the engine, which then looks for the next request; the queue alone would not wake it.
            self.crawler.engine.crawl(request)
        if self._heap:
            self._arm()
