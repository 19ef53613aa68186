"""The scheduler holds back the requests that have to wait, and no others."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from scrapy import Request, Spider
from scrapy.core.scheduler import Scheduler
from scrapy.crawler import Crawler
from scrapy.utils.test import get_crawler

from tests.harness import PATIENCE_S
from xingtu_crawler import settings
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.scheduler import DelayScheduler

QUEUES = {
    name: settings.API_CRAWL[name]
    for name in ("SCHEDULER_MEMORY_QUEUE", "SCHEDULER_PRIORITY_QUEUE", "DUPEFILTER_CLASS")
}


class Engine:
    """What the scheduler uses of the engine: it takes a request and looks for the next one."""

    def __init__(self, scheduler: DelayScheduler) -> None:
        self._scheduler = scheduler
        self.woken = asyncio.Event()

    def crawl(self, request: Request) -> None:
        self._scheduler.enqueue_request(request)
        self.woken.set()


def crawler_with(jobdir: Path | None = None) -> Crawler:
    crawler = get_crawler(Spider, {**QUEUES, **({"JOBDIR": str(jobdir)} if jobdir else {})})
    crawler.spider = crawler._create_spider("test")
    return crawler


def opened(jobdir: Path | None = None) -> DelayScheduler:
    crawler = crawler_with(jobdir)
    scheduler = DelayScheduler.from_crawler(crawler)
    engine: Any = Engine(scheduler)
    crawler.engine = engine
    assert crawler.spider is not None
    scheduler.open(crawler.spider)
    return scheduler


def request(name: str, wait: float | None = None, priority: int = 0) -> Request:
    held = {} if wait is None else {meta.NOT_BEFORE: time.monotonic() + wait}
    return Request(f"https://api.example.com/{name}", meta=held, priority=priority)


def names(scheduler: DelayScheduler) -> list[str]:
    """Take every request that is ready."""
    taken = []
    while (each := scheduler.next_request()) is not None:
        taken.append(each.url.rpartition("/")[2])
    return taken


async def until(scheduler: DelayScheduler, count: int) -> list[str]:
    """Take requests as they come, `count` of them."""
    assert scheduler.crawler is not None
    engine: Any = scheduler.crawler.engine
    taken: list[str] = names(scheduler)
    while len(taken) < count:
        async with asyncio.timeout(PATIENCE_S):
            await engine.woken.wait()
        engine.woken.clear()
        taken += names(scheduler)
    return taken


async def test_requests_without_a_time_are_ready_at_once_in_order() -> None:
    scheduler = opened()
    for name in ("a", "b", "c"):
        assert scheduler.enqueue_request(request(name))
    assert names(scheduler) == ["a", "b", "c"]
    assert not scheduler.has_pending_requests()


async def test_a_time_that_has_passed_holds_nothing_back() -> None:
    scheduler = opened()
    scheduler.enqueue_request(request("a", wait=-1))
    scheduler.enqueue_request(request("b", wait=0))
    assert names(scheduler) == ["a", "b"]


async def test_a_request_that_is_held_back_does_not_delay_others() -> None:
    scheduler = opened()
    scheduler.enqueue_request(request("held", wait=3600, priority=100))
    scheduler.enqueue_request(request("a"))
    scheduler.enqueue_request(request("b"))
    assert names(scheduler) == ["a", "b"]
    scheduler.close("finished")


async def test_the_spider_is_not_idle_while_a_request_is_held_back() -> None:
    scheduler = opened()
    scheduler.enqueue_request(request("held", wait=0.05))
    assert scheduler.has_pending_requests()
    assert len(scheduler) == 0
    assert await until(scheduler, 1) == ["held"]
    assert not scheduler.has_pending_requests()


async def test_a_request_is_ready_at_its_time_and_not_before() -> None:
    scheduler = opened()
    held = request("held", wait=0.2)
    scheduler.enqueue_request(held)
    assert await until(scheduler, 1) == ["held"]
    assert time.monotonic() >= held.meta[meta.NOT_BEFORE]


async def test_requests_come_in_the_order_of_their_times() -> None:
    scheduler = opened()
    for name, wait in {"c": 0.15, "a": 0.05, "d": 0.2, "b": 0.1}.items():
        scheduler.enqueue_request(request(name, wait=wait))
    assert await until(scheduler, 4) == ["a", "b", "c", "d"]


async def test_requests_of_the_same_time_come_in_the_order_of_their_arrival() -> None:
    scheduler = opened()
    at = time.monotonic() + 0.05
    for name in "abcdefgh":
        scheduler.enqueue_request(Request(f"https://api.example.com/{name}", meta={meta.NOT_BEFORE: at}))
    assert await until(scheduler, 8) == list("abcdefgh")


async def test_an_earlier_request_does_not_wait_for_a_later_one() -> None:
    scheduler = opened()
    scheduler.enqueue_request(request("much later", wait=3600))
    scheduler.enqueue_request(request("soon", wait=0.05))
    assert await until(scheduler, 1) == ["soon"]
    assert scheduler.has_pending_requests()
    scheduler.close("finished")


async def test_a_request_may_be_held_back_several_times() -> None:
    scheduler = opened()
    again = request("again")
    for _ in range(3):
        again = again.replace(meta={meta.NOT_BEFORE: time.monotonic() + 0.02})
        scheduler.enqueue_request(again)
        assert await until(scheduler, 1) == ["again"]


async def test_closing_stops_the_timer() -> None:
    scheduler = opened()
    scheduler.enqueue_request(request("held", wait=0.02))
    scheduler.close("shutdown")
    await asyncio.sleep(0.1)  # nothing may happen, so there is nothing to wait for
    assert scheduler.crawler is not None
    engine: Any = scheduler.crawler.engine
    assert not engine.woken.is_set()
    assert not scheduler._heap


async def test_closing_without_anything_held_back_is_fine() -> None:
    opened().close("finished")


async def test_a_job_directory_never_holds_a_request(tmp_path: Path) -> None:
    scheduler = opened(tmp_path)
    for name, wait in (("now", None), ("later", None), ("held", 3600)):
        scheduler.enqueue_request(request(name, wait=wait))
    assert names(scheduler) == ["now", "later"]
    scheduler.close("shutdown")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_queue_that_another_scheduler_has_left_is_not_read(tmp_path: Path) -> None:
    crawler = crawler_with(tmp_path)
    left = Scheduler.from_crawler(crawler)
    assert crawler.spider is not None
    left.open(crawler.spider)
    left.enqueue_request(request("stale"))
    left.close("shutdown")
    assert (tmp_path / "requests.queue" / "active.json").exists()

    scheduler = opened(tmp_path)
    assert not scheduler.has_pending_requests()
    scheduler.enqueue_request(request("fresh"))
    assert names(scheduler) == ["fresh"]
    scheduler.close("finished")


async def test_how_many_requests_are_held_back_and_for_how_long() -> None:
    scheduler = opened()
    assert scheduler.held_back() == (0, 0.0)
    for wait in (30.0, 12.0, None):
        scheduler.enqueue_request(request(str(wait), wait))
    count, seconds = scheduler.held_back()
    assert count == 2
    assert 0 < seconds <= 12
    scheduler.close("finished")
