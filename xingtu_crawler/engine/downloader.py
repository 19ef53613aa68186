"""Scrapy's downloader without its slots: there is one host, and the pace is kept by the tokens (middlewares/token.py).

A slot would be a second queue between a token's lease and the wire, and costs computing time at every call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from scrapy.core.downloader import Downloader
from scrapy.utils.defer import deferred_from_coro

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response
    from twisted.internet.defer import Deferred

T = TypeVar("T")


class SlotlessDownloader(Downloader):
    """Passes requests through the middlewares to the wire, `CONCURRENT_REQUESTS` at once.

    `DOWNLOAD_DELAY`, `DOWNLOAD_SLOTS` and the limits per domain and address have no meaning here, and the signals
    about slots are not sent.
    """

    def fetch(self, request: Request) -> Deferred[Response | Request]:  # type: ignore[override]
        """Return what comes of a request: a response, or the request that a middleware puts in its place."""
        self.active.add(request)
        result = deferred_from_coro(self.middleware.download_async(self.handlers.download_request_async, request))
        # When it is handed over, and not when it is there: in between, the engine would take the crawl to be idle.
        return result.addBoth(self._leave, request)

    def _leave(self, result: T, request: Request) -> T:
        self.active.remove(request)
        return result
