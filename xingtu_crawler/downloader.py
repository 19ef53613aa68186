"""Scrapy's downloader without its slots: there is one host, and the pace is kept by the tokens (middlewares/token.py).

A slot would be a second queue between a token's lease and the wire, and costs computing time at every call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.core.downloader import Downloader
from scrapy.utils.defer import deferred_from_coro

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response
    from twisted.internet.defer import Deferred


class SlotlessDownloader(Downloader):
    """Passes requests through the middlewares to the wire, `CONCURRENT_REQUESTS` at once.

    `DOWNLOAD_DELAY`, `DOWNLOAD_SLOTS` and the limits per domain and address have no meaning here, and the signals
    about slots are not sent.
    """

    def fetch(self, request: Request) -> Deferred[Response | Request]:  # type: ignore[override]
        """Return what comes of a request: a response, or the request that a middleware puts in its place."""
        self.active.add(request)
        return deferred_from_coro(self._fetch(request))

    async def _fetch(self, request: Request) -> Response | Request:
        try:
            return await self.middleware.download_async(self.handlers.download_request_async, request)
        finally:
            self.active.remove(request)
