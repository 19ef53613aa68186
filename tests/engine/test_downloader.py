"""The downloader without slots: what is in its hands, and until when."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from scrapy import Request
from scrapy.http import Response
from twisted.internet.defer import Deferred

from xingtu_crawler.engine.downloader import SlotlessDownloader

REQUEST = Request("https://api.example.com")


class Wire:
    """Answers when it is told to; stands for the middlewares and the handlers behind them."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    async def download_async(self, _download: Any, _request: Request) -> Response:
        return await self.answer


def downloader(wire: Wire) -> SlotlessDownloader:
    made = SlotlessDownloader.__new__(SlotlessDownloader)
    made.active = set()
    made.total_concurrency = 2
    made.middleware = wire  # type: ignore[assignment]
    made.handlers = SimpleNamespace(download_request_async=None)  # type: ignore[assignment]
    return made


@pytest.mark.parametrize("fails", [False, True])
async def test_a_request_is_in_its_hands_until_the_engine_has_what_came_of_it(fails: bool) -> None:
    """Else there would be a moment in which the engine takes the crawl to be over."""
    wire = Wire()
    made, loop, delivered = downloader(wire), asyncio.get_running_loop(), list[object]()
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

    if fails:
        wire.answer.set_exception(ValueError())
    else:
        wire.answer.set_result(Response(REQUEST.url))
    loop.call_soon(look, 0)
    await looked.wait()
    assert gaps == []
    assert len(delivered) == 1
    assert made.active == set()


async def test_it_takes_as_many_as_were_asked_for() -> None:
    made = downloader(Wire())
    made.fetch(REQUEST)
    assert not made.needs_backout()
    made.fetch(REQUEST.copy())
    assert made.needs_backout()
