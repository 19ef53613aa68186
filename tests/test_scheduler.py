"""The scheduler: holds back what is to wait, nothing else, and leaves nothing stale behind."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.squeues import PickleFifoDiskQueue
from scrapy.utils.test import get_crawler

from xingtu_crawler import meta, settings
from xingtu_crawler.scheduler import DelayScheduler

QUEUES = {
    "SCHEDULER_MEMORY_QUEUE": settings.SCHEDULER_MEMORY_QUEUE,
    "SCHEDULER_DISK_QUEUE": settings.SCHEDULER_DISK_QUEUE,
    "SCHEDULER_PRIORITY_QUEUE": settings.SCHEDULER_PRIORITY_QUEUE,
    "DUPEFILTER_CLASS": settings.DUPEFILTER_CLASS,
}


class Engine:
    """The one thing that the scheduler asks of the engine: take a request and look for work."""

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
    held = {} if wait is None else {meta.NOT_BEFORE: time.time() + wait}
    return Request(f"https://api.example.com/{name}", meta=held, priority=priority)


def names(scheduler: DelayScheduler) -> list[str]:
    """Take everything that can be had now."""
    taken = []
    while (each := scheduler.next_request()) is not None:
        taken.append(each.url.rpartition("/")[2])
    return taken


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "xingtu_crawler.scheduler"]


async def until(scheduler: DelayScheduler, count: int) -> list[str]:
    """Take requests as they come, `count` of them."""
    assert scheduler.crawler is not None
    engine: Any = scheduler.crawler.engine
    taken: list[str] = names(scheduler)
    while len(taken) < count:
        async with asyncio.timeout(10):
            await engine.woken.wait()
        engine.woken.clear()
        taken += names(scheduler)
    return taken


async def test_what_need_not_wait_comes_at_once_in_order() -> None:
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


async def test_others_pass_what_is_held_back() -> None:
    scheduler = opened()
    scheduler.enqueue_request(request("held", wait=3600, priority=100))
    scheduler.enqueue_request(request("a"))
    scheduler.enqueue_request(request("b"))
    assert names(scheduler) == ["a", "b"]
    scheduler.close("finished")


async def test_what_is_held_back_keeps_the_spider_from_being_idle() -> None:
    scheduler = opened()
    scheduler.enqueue_request(request("held", wait=0.05))
    assert scheduler.has_pending_requests()
    assert len(scheduler) == 0
    assert await until(scheduler, 1) == ["held"]
    assert not scheduler.has_pending_requests()


async def test_a_request_comes_when_its_time_has_come_and_not_before() -> None:
    scheduler = opened()
    held = request("held", wait=0.2)
    scheduler.enqueue_request(held)
    assert await until(scheduler, 1) == ["held"]
    assert 0 <= time.time() - held.meta[meta.NOT_BEFORE] < 1


async def test_requests_come_in_the_order_of_their_times() -> None:
    scheduler = opened()
    for name, wait in {"c": 0.15, "a": 0.05, "d": 0.2, "b": 0.1}.items():
        scheduler.enqueue_request(request(name, wait=wait))
    assert await until(scheduler, 4) == ["a", "b", "c", "d"]


async def test_requests_of_the_same_time_come_in_the_order_of_asking() -> None:
    scheduler = opened()
    at = time.time() + 0.05
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


async def test_a_request_that_is_held_back_again_and_again_comes_in_the_end() -> None:
    scheduler = opened()
    again = request("again")
    for _ in range(3):
        again = again.replace(meta={meta.NOT_BEFORE: time.time() + 0.02})
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


async def test_closing_writes_what_is_held_back_into_the_job_directory(tmp_path: Path) -> None:
    scheduler = opened(tmp_path)
    scheduler.enqueue_request(request("now"))
    for name in ("held", "held too"):
        scheduler.enqueue_request(request(name, wait=3600))
    scheduler.close("shutdown")
    disk_queue: Any = PickleFifoDiskQueue  # the base class it is typed as lacks the method
    queue = disk_queue.from_crawler(crawler_with(), str(tmp_path / "requests.queue" / "0"))
    urls = []
    while (each := queue.pop()) is not None:
        urls.append(each.url)
    queue.close()
    assert urls == [f"https://api.example.com/{name}" for name in ("now", "held", "held%20too")]
    assert json.loads((tmp_path / "requests.queue" / "active.json").read_text()) == [0]


async def test_a_queue_that_was_left_over_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scheduler = opened(tmp_path)
    for name in ("stale", "staler"):
        scheduler.enqueue_request(request(name, priority=len(name)))
    scheduler.enqueue_request(request("held", wait=3600))
    scheduler.close("shutdown")

    caplog.set_level(logging.INFO)
    resumed = opened(tmp_path)
    assert not resumed.has_pending_requests()
    resumed.enqueue_request(request("fresh"))
    assert names(resumed) == ["fresh"]
    resumed.close("finished")
    assert said(caplog) == ["Dropped the request queue of an earlier run: MongoDB says what is missing"]


async def test_a_queue_that_a_kill_left_behind_is_dropped_too(tmp_path: Path) -> None:
    """Without its index, the queue on disk would give out its old requests in place of as many new ones."""
    killed = opened(tmp_path / "killed")
    for name in ("stale", "staler", "stalest"):
        killed.enqueue_request(request(name))
    shutil.copytree(tmp_path / "killed", tmp_path / "left")  # what there is on disk at this moment
    killed.close("finished")

    resumed = opened(tmp_path / "left")
    for name in ("fresh", "fresher"):
        resumed.enqueue_request(request(name))
    assert names(resumed) == ["fresh", "fresher"]
    resumed.close("finished")


async def test_a_broken_queue_is_dropped_as_well(tmp_path: Path) -> None:
    scheduler = opened(tmp_path)
    scheduler.enqueue_request(request("stale"))
    scheduler.close("shutdown")
    (tmp_path / "requests.queue" / "active.json").write_text("[0")
    (tmp_path / "requests.queue" / "0" / "q00000").write_bytes(b"\xff" * 20)
    resumed = opened(tmp_path)
    resumed.enqueue_request(request("fresh"))
    assert names(resumed) == ["fresh"]
    resumed.close("finished")


async def test_a_job_that_ended_well_leaves_nothing_to_be_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = opened(tmp_path)
    scheduler.enqueue_request(request("a"))
    assert names(scheduler) == ["a"]
    scheduler.close("finished")
    caplog.set_level(logging.INFO)
    opened(tmp_path).close("finished")
    assert said(caplog) == []
