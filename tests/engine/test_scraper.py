"""The direct scraper: the same results as Scrapy's own, and the crawl is not idle before everything is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from scrapy import Request, Spider
from scrapy.core.engine import ExecutionEngine
from scrapy.core.scraper import Scraper
from scrapy.crawler import Crawler
from scrapy.exceptions import CloseSpider
from scrapy.http import Response
from scrapy.utils.defer import maybe_deferred_to_future
from scrapy.utils.test import get_crawler
from twisted.python.failure import Failure

from xingtu_crawler.engine.scraper import DirectScraper, DirectScraping

URL = "https://api.example.com"


class Notes:
    """A pipeline that notes items when they are stored, which takes two turns of the event loop."""

    taken: list[Any]

    async def process_item(self, item: Any) -> Any:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.taken.append(item)
        return item


class Engine(ExecutionEngine):
    """An engine that notes requests in place of scheduling them."""

    def crawl(self, request: Request) -> None:
        Notes.taken.append(request.url)


@pytest.fixture(params=[DirectScraper, lambda scraper: scraper], ids=["direct", "scrapy"])
async def crawler(request: pytest.FixtureRequest) -> AsyncIterator[Crawler]:
    """A crawl that has been opened, with either scraper."""
    Notes.taken = []
    settings = {"DOWNLOAD_HANDLERS": {"http": None, "https": None}, "ITEM_PIPELINES": {Notes: 1}, "CONCURRENT_ITEMS": 1}
    settings["SPIDER_MIDDLEWARES_BASE"] = {}
    made = get_crawler(Spider, settings)
    made.spider = Spider.from_crawler(made, "test")
    made.engine = Engine(made, lambda _: None)
    await made.engine.open_spider_async()
    made.engine.scraper = request.param(made.engine.scraper)
    yield made
    if made.engine.spider is not None:
        await made.engine.close_spider_async()


async def scrape(crawler: Crawler, callback: Callable[..., Any], result: Response | Failure | None = None) -> None:
    assert crawler.engine is not None
    request = Request(URL, callback=callback, errback=callback, cb_kwargs={"number": 7} if result is None else {})
    response = Response(URL, request=request)
    await maybe_deferred_to_future(crawler.engine.scraper.enqueue_scrape(result or response, request))
    slot = crawler.engine.scraper.slot
    assert slot is not None
    assert slot.is_idle()
    assert slot.active_size == 0


async def test_output_of_a_generator_is_taken_in_order(crawler: Crawler) -> None:
    def parse(_response: Response, number: int) -> Iterator[Any]:
        yield Request(f"{URL}/first")
        yield {"number": number}
        yield None
        yield Request(f"{URL}/second")

    await scrape(crawler, parse)
    assert Notes.taken == [f"{URL}/first", {"number": 7}, f"{URL}/second"]


async def test_output_of_an_asynchronous_generator_is_taken_in_order(crawler: Crawler) -> None:
    async def parse(_response: Response, number: int) -> AsyncIterator[Any]:
        yield {"number": number}
        await asyncio.sleep(0)
        yield Request(URL)

    await scrape(crawler, parse)
    assert Notes.taken == [{"number": 7}, URL]


@pytest.mark.parametrize("result", [{"a": 1}, [{"a": 1}]])
async def test_callback_may_return_its_output(crawler: Crawler, result: Any) -> None:
    async def parse(_response: Response, number: int) -> Any:
        return result

    await scrape(crawler, parse)
    await scrape(crawler, lambda _response, number: result)
    assert Notes.taken == [{"a": 1}, {"a": 1}]


async def test_error_in_a_callback_is_counted_and_what_it_yielded_before_is_kept(crawler: Crawler) -> None:
    def parse(_response: Response, number: int) -> Iterator[Any]:
        yield {"number": number}
        raise ValueError("a defect")

    await scrape(crawler, parse)
    assert Notes.taken == [{"number": 7}]
    assert crawler.stats is not None
    assert crawler.stats.get_value("spider_exceptions/ValueError") == 1


async def test_callback_can_close_the_spider(crawler: Crawler) -> None:
    def parse(_response: Response, number: int) -> Iterator[Any]:
        raise CloseSpider("enough")

    await scrape(crawler, parse)
    await asyncio.sleep(0)
    assert crawler.stats is not None
    assert crawler.stats.get_value("spider_exceptions/count") is None


async def test_failure_goes_to_the_errback(crawler: Crawler) -> None:
    def failed(failure: Failure) -> Iterator[Any]:
        yield {"error": str(failure.value)}

    await scrape(crawler, failed, Failure(OSError("refused")))  # type: ignore[no-untyped-call]
    assert Notes.taken == [{"error": "refused"}]


async def test_crawl_is_not_idle_while_an_item_is_being_stored(crawler: Crawler) -> None:
    assert crawler.engine is not None
    slot = crawler.engine.scraper.slot
    assert slot is not None
    stored = asyncio.Event()

    async def parse(_response: Response) -> AsyncIterator[Any]:
        await stored.wait()
        yield {"a": 1}

    request = Request(URL, callback=parse)
    done = crawler.engine.scraper.enqueue_scrape(Response(URL, request=request), request)
    await asyncio.sleep(0)
    assert not slot.is_idle()
    stored.set()
    await maybe_deferred_to_future(done)
    assert slot.is_idle()
    assert Notes.taken == [{"a": 1}]


async def test_extension_replaces_the_scraper_of_an_open_crawl() -> None:
    crawler = get_crawler(Spider, {"DOWNLOAD_HANDLERS": {"http": None, "https": None}})
    crawler.spider = Spider("test")
    extension = DirectScraping.from_crawler(crawler)
    crawler.engine = engine = ExecutionEngine(crawler, lambda _: None)
    own: Scraper = engine.scraper
    await engine.open_spider_async()
    assert extension is not None
    assert isinstance(engine.scraper, DirectScraper)
    assert engine.scraper.slot is own.slot
    assert engine.scraper.itemproc is own.itemproc
    await engine.close_spider_async()
