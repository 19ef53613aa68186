"""Closing a crawl early: the first reason counts, and an end for which a user waits is a hurried one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from scrapy.crawler import Crawler
from scrapy.utils.test import get_crawler

from xingtu_crawler.exceptions import ApiUnreachableError
from xingtu_crawler.extensions.closing import Closing
from xingtu_crawler.outcome import REFUSAL_STAT

OPENING, RUNNING, STOPPED = ((None, False), (1.0, True), (1.0, False))


def crawler_with(engine: tuple[float | None, bool], closed: list[str] | None = None) -> Crawler:
    """Return a crawler whose engine has started at a time and runs, or does not."""

    async def close_spider_async(*, reason: str) -> None:
        assert closed is not None
        closed.append(reason)

    slot = SimpleNamespace(closing=None)
    made: Any = SimpleNamespace(start_time=engine[0], running=engine[1], close_spider_async=close_spider_async)
    made._slot = slot
    crawler = get_crawler()
    crawler.engine = made
    return crawler


@pytest.mark.parametrize(
    ("engine", "reason", "is_last_step", "is_hurried"),
    [
        (OPENING, None, False, False),  # catching up after a crash may take a while
        (RUNNING, None, False, False),
        (STOPPED, None, False, True),
        (OPENING, "storage_unavailable", False, True),
        (RUNNING, "max_calls", False, True),
        (OPENING, None, True, True),
    ],
)
def test_only_a_crawl_that_ends_is_in_a_hurry(
    engine: tuple[float | None, bool], reason: str | None, is_last_step: bool, is_hurried: bool
) -> None:
    closing = Closing(crawler_with(engine))
    closing.reason = reason
    if is_last_step:
        closing.begin_last_step()
    assert closing.is_hurried is is_hurried


async def test_the_first_reason_closes_the_crawl_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[str] = []
    crawler = crawler_with(RUNNING, closed)
    closing = Closing(crawler)
    assert (closing.is_closing, closing.is_over) == (False, False)
    closing.close("max_calls")
    closing.close("daily_calls")
    closing.give_up(ApiUnreachableError("the API is gone"))
    assert (closing.is_closing, closing.is_over, closing.reason) == (True, True, "max_calls")
    await asyncio.sleep(0)
    assert closed == ["max_calls"]
    assert caplog.messages == []
    assert crawler.stats.get_value(REFUSAL_STAT) is None


async def test_giving_up_says_why(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[str] = []
    crawler = crawler_with(RUNNING, closed)
    Closing(crawler).give_up(ApiUnreachableError("the API is gone"))
    await asyncio.sleep(0)
    assert closed == ["api_unavailable"]
    assert caplog.messages == ["the API is gone"] == [crawler.stats.get_value(REFUSAL_STAT)]


def test_a_spider_that_scrapy_closes_makes_no_further_call() -> None:
    crawler = crawler_with(RUNNING)
    closing = Closing(crawler)
    crawler.engine._slot.closing = object()  # type: ignore[union-attr]
    assert (closing.is_closing, closing.is_over) == (False, True)
