"""What both spiders share: the stream of claims, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from scrapy.utils.test import get_crawler

from xingtu_crawler.spiders.authors import AuthorsSpider
from xingtu_crawler.spiders.base import AHEAD
from xingtu_crawler.storage.claims import DetailKey


def spider() -> AuthorsSpider:
    made = AuthorsSpider.from_crawler(get_crawler(AuthorsSpider, {"CONCURRENT_REQUESTS": 64}), star_ids="1")
    made.base_url = "http://127.0.0.1"
    return made


async def endless(looked: list[int]) -> AsyncIterator[list[DetailKey]]:
    while True:
        looked.append(len(looked))
        await asyncio.sleep(0)
        yield []


async def test_nothing_is_looked_for_when_the_crawl_is_closing() -> None:
    made, looked = spider(), list[int]()
    made.is_closing = lambda: len(looked) >= 3
    assert [request async for request in made.paced(endless(looked))] == []
    assert looked == [0, 1, 2]


async def test_mongodb_is_not_closed_under_whoever_is_asking_it() -> None:
    made, answered = spider(), asyncio.Event()

    async def slow() -> AsyncIterator[list[DetailKey]]:
        await answered.wait()
        yield []

    async def drain() -> list[Any]:
        return [request async for request in made.paced(slow())]

    closing = False
    made.is_closing = lambda: closing
    asking = asyncio.create_task(drain())
    await asyncio.sleep(0)
    closing = True
    finishing = asyncio.create_task(made.finish())
    await asyncio.sleep(0)
    assert not finishing.done()
    answered.set()
    await asyncio.wait_for(finishing, 5)
    assert await asyncio.wait_for(asking, 5) == []


async def test_who_waits_for_room_is_woken_by_what_was_not_to_be_asked_after_all() -> None:
    """A page reserves room for the details of its authors; all of them may be fresh."""
    made, looked = spider(), list[int]()
    made.is_closing = lambda: len(looked) >= 2
    made.open_details = 64 * AHEAD
    asking = asyncio.create_task(anext(made.paced(endless(looked)), None))
    while not looked:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert not asking.done()
    made.give_back(80)
    assert await asyncio.wait_for(asking, 5) is None
    assert looked == [0, 1]
