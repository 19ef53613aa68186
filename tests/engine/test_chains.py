"""Middlewares and pipelines called directly: the same results as through Scrapy's own chains."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from scrapy import Request, Spider
from scrapy.core.downloader.middleware import DownloaderMiddlewareManager
from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem, ScrapyDeprecationWarning
from scrapy.http import Response
from scrapy.pipelines import ItemPipelineManager
from scrapy.utils.test import get_crawler

from xingtu_crawler.engine import chains

REQUEST = Request("https://api.example.com/a")
RESPONSE = Response(REQUEST.url)

Send = Callable[[Request], Awaitable[Response]]


@pytest.fixture
def crawler() -> Crawler:
    """A crawler whose spider exists."""
    made = get_crawler(Spider)
    made.spider = Spider("test")
    return made


async def directly(manager: DownloaderMiddlewareManager, send: Send) -> Any:
    return await chains.download(manager, send, REQUEST)


async def by_scrapy(manager: DownloaderMiddlewareManager, send: Send) -> Any:
    return await manager.download_async(send, REQUEST)  # type: ignore[arg-type]


both = pytest.mark.parametrize("through", [directly, by_scrapy])
Through = Callable[[DownloaderMiddlewareManager, Send], Awaitable[Any]]


class Recorder:
    """A middleware that notes its calls and returns or raises what it is made with."""

    def __init__(self, name: str, notes: list[str], **results: Any) -> None:
        self.name, self.notes, self.results = name, notes, results

    def _do(self, method: str) -> Any:
        self.notes.append(f"{self.name}.{method}")
        result = self.results.get(method)
        if isinstance(result, Exception):
            raise result
        return result

    async def process_request(self, request: Request) -> Any:
        return self._do("request")

    def process_response(self, request: Request, response: Response) -> Any:
        return self._do("response") or response

    def process_exception(self, request: Request, exception: Exception) -> Any:
        return self._do("exception")


class Deprecated:
    """A middleware and pipeline with the deprecated argument."""

    def __init__(self) -> None:
        self.spiders: list[Spider] = []

    def process_request(self, request: Request, spider: Spider) -> None:
        self.spiders.append(spider)

    def process_item(self, item: Any, spider: Spider) -> Any:
        self.spiders.append(spider)
        return item


async def answer(_request: Request) -> Response:
    return RESPONSE


async def fail(_request: Request) -> Response:
    raise OSError("broken")


@both
async def test_response_passes_the_middlewares_in_reverse(crawler: Crawler, through: Through) -> None:
    notes: list[str] = []
    manager = DownloaderMiddlewareManager(Recorder("a", notes), Recorder("b", notes), crawler=crawler)
    assert await through(manager, answer) is RESPONSE
    assert notes == ["a.request", "b.request", "b.response", "a.response"]


@both
async def test_response_of_a_middleware_stands_for_the_download(crawler: Crawler, through: Through) -> None:
    notes: list[str] = []
    cached = Response(REQUEST.url, body=b"cached")
    manager = DownloaderMiddlewareManager(
        Recorder("a", notes, request=cached), Recorder("b", notes, request=RESPONSE), crawler=crawler
    )
    assert await through(manager, fail) is cached
    assert notes == ["a.request", "b.response", "a.response"]


@both
async def test_request_of_a_middleware_ends_the_chain(crawler: Crawler, through: Through) -> None:
    notes: list[str] = []
    again = REQUEST.copy()
    manager = DownloaderMiddlewareManager(Recorder("a", notes), Recorder("b", notes, response=again), crawler=crawler)
    assert await through(manager, answer) is again
    assert notes == ["a.request", "b.request", "b.response"]


@both
async def test_exception_of_the_download_is_handled_by_the_first_that_returns(
    crawler: Crawler, through: Through
) -> None:
    notes: list[str] = []
    again = REQUEST.copy()
    manager = DownloaderMiddlewareManager(
        Recorder("a", notes), Recorder("b", notes, exception=again), Recorder("c", notes), crawler=crawler
    )
    assert await through(manager, fail) is again
    assert notes == ["a.request", "b.request", "c.request", "c.exception", "b.exception"]


@both
async def test_exception_of_a_middleware_is_offered_to_all_and_raised(crawler: Crawler, through: Through) -> None:
    notes: list[str] = []
    manager = DownloaderMiddlewareManager(
        Recorder("a", notes, request=OSError("refused")), Recorder("b", notes), crawler=crawler
    )
    with pytest.raises(OSError, match="refused"):
        await through(manager, answer)
    assert notes == ["a.request", "b.exception", "a.exception"]


async def test_middleware_with_the_deprecated_argument_gets_the_spider(crawler: Crawler) -> None:
    middleware = Deprecated()
    with pytest.warns(ScrapyDeprecationWarning):
        manager = DownloaderMiddlewareManager(middleware, crawler=crawler)
    assert await chains.download(manager, answer, REQUEST) is RESPONSE
    assert middleware.spiders == [crawler.spider]


class Append:
    """A pipeline that appends to the item."""

    def process_item(self, item: list[str]) -> list[str]:
        return [*item, "plain"]


class AppendLater:
    """An asynchronous pipeline that appends to the item, or drops it."""

    async def process_item(self, item: list[str]) -> list[str]:
        if "bad" in item:
            raise DropItem("bad")
        return [*item, "later"]


@pytest.mark.parametrize("kind", [chains.DirectPipelines, ItemPipelineManager])
async def test_item_passes_every_pipeline_in_order(crawler: Crawler, kind: type[ItemPipelineManager]) -> None:
    manager = kind(Append(), AppendLater(), crawler=crawler)
    assert await manager.process_item_async([]) == ["plain", "later"]
    with pytest.raises(DropItem):
        await manager.process_item_async(["bad"])


async def test_pipeline_with_the_deprecated_argument_gets_the_spider(crawler: Crawler) -> None:
    pipeline = Deprecated()
    with pytest.warns(ScrapyDeprecationWarning):
        manager = chains.DirectPipelines(pipeline, crawler=crawler)
    assert await manager.process_item_async("item") == "item"
    assert pipeline.spiders == [crawler.spider]
