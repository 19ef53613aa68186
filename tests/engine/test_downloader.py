"""The downloader without slots: which requests it holds, and until when."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest
from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.exceptions import NotSupported
from scrapy.http import Response
from scrapy.utils.defer import maybe_deferred_to_future
from scrapy.utils.test import get_crawler
from twisted.internet.defer import Deferred

from xingtu_crawler.engine.downloader import SlotlessDownloader

REQUEST = Request("https://api.example.com")


class Wire:
    """A download handler that answers when the test says so."""

    lazy = False
    answer: asyncio.Future[Response]

    @classmethod
    def from_crawler(cls, _crawler: Crawler) -> Self:
        cls.answer = asyncio.get_running_loop().create_future()
        return cls()

    async def download_request(self, request: Request) -> Response:
        return await self.answer

    async def close(self) -> None:
        pass


def downloader() -> SlotlessDownloader:
    handlers = {"http": None, "https": Wire, "ftp": None, "s3": None}
    settings = {"DOWNLOAD_HANDLERS": handlers, "DOWNLOADER_MIDDLEWARES_BASE": {}, "CONCURRENT_REQUESTS": 2}
    crawler = get_crawler(Spider, settings)
    crawler.spider = Spider("test")
    return SlotlessDownloader(crawler)


@pytest.mark.parametrize("outcome", ["response", "error", "cancelled"])
async def test_request_is_held_until_the_engine_has_its_result(outcome: str) -> None:
    """Else there would be a moment in which the engine takes the crawl to be over."""
    made, loop, delivered = downloader(), asyncio.get_running_loop(), list[object]()
    result: Deferred[Any] = made.fetch(REQUEST)
    result.addBoth(delivered.append)
    assert made.active == {REQUEST}
    gaps, looked = list[int](), asyncio.Event()

    def look(turn: int) -> None:
        if not made.active and not delivered:
            gaps.append(turn)
        if turn < 10:
            loop.call_soon(look, turn + 1)
        else:
            looked.set()

    if outcome == "error":
        Wire.answer.set_exception(ValueError())
    elif outcome == "cancelled":
        Wire.answer.cancel()
    else:
        Wire.answer.set_result(Response(REQUEST.url))
    loop.call_soon(look, 0)
    await looked.wait()
    assert gaps == []
    assert len(delivered) == 1
    assert made.active == set()


async def test_scheme_without_a_handler_is_an_error() -> None:
    made = downloader()
    with pytest.raises(NotSupported, match="ftp"):
        await maybe_deferred_to_future(made.fetch(Request("ftp://example.com/file")))
    assert made.active == set()


async def test_it_takes_as_many_requests_as_the_setting_says() -> None:
    made = downloader()
    made.fetch(REQUEST)
    assert not made.needs_backout()
    made.fetch(REQUEST.copy())
    assert made.needs_backout()
    Wire.answer.set_result(Response(REQUEST.url))
