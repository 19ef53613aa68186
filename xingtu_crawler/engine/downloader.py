"""Scrapy's downloader without its slots: there is one host, and the pace is kept by the tokens (middlewares/token.py).

A slot would be a second queue between a token's lease and the wire, and costs CPU time at every call.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from scrapy.core.downloader import Downloader
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xingtu_crawler.engine import chains, state

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response


class SlotlessDownloader(Downloader):
    """Passes requests through the middlewares to the wire, `CONCURRENT_REQUESTS` at once.

    `DOWNLOAD_DELAY`, `DOWNLOAD_SLOTS` and the limits per domain and address have no meaning here, and the signals
    about slots are not sent.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._tasks: set[asyncio.Task[None]] = set()

    def fetch(self, request: Request) -> Deferred[Response | Request]:  # type: ignore[override]
        """Return a Deferred of the response, or of the request that a middleware puts in its place."""
        self.active.add(request)
        done: Deferred[Response | Request] = Deferred()
        task = asyncio.create_task(self._fetch(request, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return done

    async def _fetch(self, request: Request, done: Deferred[Response | Request]) -> None:
        try:
            result = await chains.download(self.middleware, self._send, request)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - whatever it is, the engine waits for it
            self.active.remove(request)
            done.errback(Failure())  # type: ignore[no-untyped-call]
        else:
            # When the result is handed over: in between, the engine would take the crawl to be idle.
            self.active.remove(request)
            done.callback(result)

    async def _send(self, request: Request) -> Response:
        handler = state.download_handler(self.handlers, request.url.partition(":")[0])
        if handler is None:
            return await self.handlers.download_request_async(request)  # which says why there is none
        return await handler.download_request(request)
