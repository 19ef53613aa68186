"""Scrapy's scraper with one task per response where Scrapy starts three and turns the event loop twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Self

from scrapy import Request, signals
from scrapy.core.scraper import Scraper
from scrapy.http import Response
from scrapy.utils.defer import ensure_awaitable
from scrapy.utils.spider import iterate_spider_output
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from xingtu_crawler.engine import state

if TYPE_CHECKING:
    from scrapy.crawler import Crawler


class DirectScraping:
    """The extension that puts a `DirectScraper` in the place of the crawl's scraper when the spider is open."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Connect to the moment when the scraper is open."""
        extension = cls(crawler)
        crawler.signals.connect(extension.start, signal=signals.spider_opened)
        return extension

    def start(self) -> None:
        """Replace the scraper: Scrapy has no setting for it."""
        assert self._crawler.engine is not None
        self._crawler.engine.scraper = DirectScraper(self._crawler.engine.scraper)


class DirectScraper(Scraper):
    """Passes responses to callbacks, and what these yield to engine and item pipelines, one after the other.

    Scrapy does the same with `CONCURRENT_ITEMS = 1`, through a queue between two more tasks. Its own code runs for
    failed requests, for requests without a callback, and where a spider middleware is enabled.
    """

    def __init__(self, scraper: Scraper) -> None:
        vars(self).update(vars(scraper))  # its components exist already, and its slot is open
        self._tasks: set[asyncio.Task[None]] = set()

    def enqueue_scrape(self, result: Response | Failure, request: Request) -> Deferred[None]:
        """Process a response; the Deferred fires when everything that its callback yields is processed."""
        if not isinstance(result, Response) or request.callback is None or self.spidermw.middlewares:
            return super().enqueue_scrape(result, request)
        assert self.slot is not None
        done = self.slot.add_response_request(result, request)
        self.slot.next_response_request_deferred()
        task = asyncio.create_task(self._process(result, request, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return done

    async def _process(self, response: Response, request: Request, done: Deferred[None]) -> None:
        assert self.slot is not None
        try:
            await self._pass_on(response, request)
        except Exception:  # noqa: BLE001 - Scrapy logs it, and ends the crawl for `CloseSpider`
            self.handle_spider_error(Failure(), request, response)  # type: ignore[no-untyped-call]
        finally:
            self.slot.finish_response(response, request)
            state.close_if_idle(self)
            done.callback(None)

    async def _pass_on(self, response: Response, request: Request) -> None:
        assert request.callback is not None
        output = iterate_spider_output(request.callback(response, **request.cb_kwargs))
        if isawaitable(output):
            output = await ensure_awaitable(output)  # a Deferred, for a coroutine
        if isinstance(output, AsyncIterator):
            async for each in output:
                await self._take(each, response)
        else:
            for each in output:
                await self._take(each, response)

    async def _take(self, output: Any, response: Response) -> None:
        if isinstance(output, Request):
            assert self.crawler.engine is not None
            self.crawler.engine.crawl(output)
        elif output is not None:
            await self.start_itemproc_async(output, response=response)
