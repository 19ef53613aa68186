"""What both spiders share: which details they claim, the stream of claims, and its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from scrapy import Request
from scrapy.utils.test import get_crawler

from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError, NoAnswerError
from xingtu_crawler.extensions.context import CrawlContext
from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.spiders.author_square import AuthorSquareSpider
from xingtu_crawler.spiders.authors import AuthorsSpider
from xingtu_crawler.spiders.base import AHEAD, XingtuSpider, failed_request
from xingtu_crawler.storage.claims import Claims, DetailKey
from xingtu_crawler.storage.sweeps import Sweeps

Database = AsyncDatabase[dict[str, Any]]
STARTED_AT = datetime(2026, 3, 8, 12, tzinfo=UTC)
NOTHING: Any = None
"""For a part of the context that a test does not touch."""


def context(
    *,
    claims: Claims = NOTHING,
    is_closing: Callable[[], bool] = lambda: False,
    tally: Callable[[str, int], None] = lambda _what, _count: None,
) -> CrawlContext:
    return CrawlContext(
        run_id="run",
        started_at=STARTED_AT,
        base_url="http://127.0.0.1",
        concurrency=64,
        claims=claims,
        sweeps=Sweeps(NOTHING, NOTHING, NOTHING),
        worklist=NOTHING,
        is_closing=is_closing,
        tally=tally,
    )


def spider(made: CrawlContext | None = None) -> AuthorsSpider:
    of_authors = AuthorsSpider.from_crawler(get_crawler(AuthorsSpider), star_ids="1")
    of_authors.begin(made or context())
    return of_authors


async def endless(found: list[int]) -> AsyncIterator[list[DetailKey]]:
    while True:
        found.append(len(found))
        await asyncio.sleep(0)
        yield []


async def test_nothing_is_claimed_when_the_crawl_is_closing() -> None:
    found = list[int]()
    made = spider(context(is_closing=lambda: len(found) >= 3))
    assert [request async for request in made.paced(endless(found))] == []
    assert found == [0, 1, 2]


async def test_mongodb_stays_open_while_start_reads_it() -> None:
    closing, answered = False, asyncio.Event()
    crawl = context(is_closing=lambda: closing)
    made = spider(crawl)

    async def slow() -> AsyncIterator[list[DetailKey]]:
        await answered.wait()
        yield []

    async def drain() -> list[Any]:
        return [request async for request in made.paced(slow())]

    async def finish() -> None:
        for step in crawl.last_steps:
            await step()

    reading = asyncio.create_task(drain())
    await asyncio.sleep(0)
    closing = True
    finishing = asyncio.create_task(finish())
    await asyncio.sleep(0)
    assert not finishing.done()
    answered.set()
    await asyncio.wait_for(finishing, 5)
    assert await asyncio.wait_for(reading, 5) == []


async def test_a_batch_is_claimed_when_there_is_room_for_it() -> None:
    """A page reserves room for the details of its authors; all of them may be up to date."""
    found = list[int]()
    made = spider(context(is_closing=lambda: len(found) >= 2))
    made.backlog.add(64 * AHEAD)
    claiming = asyncio.create_task(anext(made.paced(endless(found)), None))
    while not found:
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not claiming.done()
    made.backlog.remove(80)
    assert await asyncio.wait_for(claiming, 5) is None
    assert found == [0, 1]


async def failed(database: Database, star_id: str, failed_at: datetime, *, terminal: bool = False) -> None:
    """Record that a detail could not be fetched."""
    key = f"base_info:{star_id}:SHORT_VIDEO"
    fields = {"endpoint": "base_info", "platform": "SHORT_VIDEO", "reason": "timeout"}
    await database.failures.insert_one(
        {"_id": key, "star_id": star_id, "failed_at": failed_at, "terminal": terminal, **fields}
    )


@pytest.mark.parametrize(("spider_class", "typed"), [(AuthorsSpider, {"star_ids": "1"}), (AuthorSquareSpider, {})])
async def test_a_detail_that_failed_in_this_run_is_not_claimed_again(
    spider_class: type[XingtuSpider], typed: dict[str, str], mongo_db: Database
) -> None:
    """An author may come up several times in one crawl: in another sweep, or twice in a list."""
    await failed(mongo_db, "1", STARTED_AT + timedelta(minutes=1))
    await failed(mongo_db, "2", STARTED_AT - timedelta(minutes=1))
    tally: Counter[str] = Counter()
    made = spider_class.from_crawler(get_crawler(spider_class), endpoints="base_info", **typed)
    made.begin(context(claims=Claims(mongo_db, Outages(1)), tally=lambda what, count: tally.update({what: count})))
    claimed = await made.claim(["1", "2", "3"])
    assert [(detail.star_id, detail.had_failed) for detail in claimed] == [("2", True), ("3", False)]
    assert tally["fresh"] == tally["fresh/base_info"] == 1
    assert made.context.claims.passed_over == 1


@pytest.mark.parametrize(("terminal", "claimed"), [("0", []), ("1", ["1"])])
async def test_details_that_are_unavailable_are_claimed_with_terminal_only(
    terminal: str, claimed: list[str], mongo_db: Database
) -> None:
    await failed(mongo_db, "1", STARTED_AT - timedelta(days=1), terminal=True)
    made = AuthorsSpider.from_crawler(
        get_crawler(AuthorsSpider), star_ids="1", endpoints="base_info", terminal=terminal
    )
    made.begin(context(claims=Claims(mongo_db, Outages(1))))
    assert [detail.star_id for detail in await made.claim(["1"])] == claimed


async def test_details_beyond_max_authors_are_released(mongo_db: Database) -> None:
    tally: Counter[str] = Counter()
    made = AuthorsSpider.from_crawler(
        get_crawler(AuthorsSpider), star_ids="1,2,3", endpoints="base_info", max_authors="2"
    )
    claims = Claims(mongo_db, Outages(1))
    made.begin(context(claims=claims, tally=lambda what, count: tally.update({what: count})))
    batches = [batch async for batch in made.detail_batches()]
    assert [detail.star_id for batch in batches for detail in batch] == ["1", "2"]
    assert (claims.open_claims, tally["authors"], made.close_reason) == (2, 2, "max_authors")


def record_of(request: Request, error: Exception) -> FailedRequest | None:
    failure: Any = SimpleNamespace(value=error)
    return failed_request(failure, request)


def test_a_failed_request_is_recorded_with_what_came_instead() -> None:
    request = Request("https://api.example.com", meta={meta.ENDPOINT: "search", meta.ATTEMPTS: 2})
    known: dict[str, Any] = {
        "code": 301,
        "reason": "failed",
        "message": "said",
        "request_id": "r",
        "attempts": 8,
        "terminal": False,
    }
    no_answer = record_of(request, NoAnswerError(**known, body=b"raw"))
    assert no_answer is not None
    assert {name: getattr(no_answer, name) for name in known} == known
    assert no_answer.body == b"raw"
    defect = record_of(request, KeyError("a defect"))
    assert defect is not None
    assert (defect.reason, defect.attempts, defect.terminal) == ("KeyError", 3, False)
    assert record_of(request, CrawlClosingError("closing")) is None


@pytest.mark.parametrize("kind", [AuthorSquareSpider, AuthorsSpider])
def test_every_attribute_that_is_listed_can_be_read_before_the_crawl_begins(kind: type[XingtuSpider]) -> None:
    """Scrapy's feed exporter does so, for the placeholders of feed URIs."""
    made = kind.from_crawler(get_crawler(kind), **({"star_ids": "1"} if kind is AuthorsSpider else {}))
    assert {"name", "typed_arguments"} <= {name for name in dir(made) if getattr(made, name) is not None}
