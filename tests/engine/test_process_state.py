"""The first crawl of a process changes it, the last one restores it, whatever their order and however they end."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Spider, signals
from scrapy.crawler import Crawler

from xingtu_crawler.engine.log import RedactingRecord
from xingtu_crawler.engine.process_state import ProcessState, Shared


class Crawl:
    """The signals of one crawl, as Scrapy sends them, and the extension that receives them."""

    def __init__(self) -> None:
        self.engine = SimpleNamespace(start_time=None)
        self.crawler = Crawler(Spider, {"DOWNLOAD_VERIFY_CERTIFICATES": True})
        self.crawler.engine = self.engine  # type: ignore[assignment]  # all that the extension reads
        self.extension = ProcessState.from_crawler(self.crawler)

    def send(self, signal: object) -> None:
        for _, result in self.crawler.signals.send_catch_log(signal):
            assert result is None

    def open(self, *, starts: bool = True) -> None:
        self.send(signals.spider_opened)
        self.engine.start_time = 1.0 if starts else None

    def close(self) -> None:
        self.send(signals.spider_closed)
        if self.engine.start_time is not None:
            self.send(signals.engine_stopped)


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.setLogRecordFactory(before)


def process() -> tuple[object, ...]:
    return (
        gc.get_threshold(),
        gc.get_freeze_count(),
        logging.getLogRecordFactory(),
        logging.getLogger("pymongo").level,
    )


@pytest.mark.parametrize("starts", [True, False])
def test_a_crawl_leaves_the_process_as_it_found_it(starts: bool) -> None:
    before = process()
    crawl = Crawl()
    assert process() == before
    crawl.open(starts=starts)
    changed = process()
    assert all(new != old for new, old in zip(changed, before, strict=True))
    assert logging.getLogRecordFactory() is RedactingRecord
    crawl.close()
    assert process() == before


def test_a_crawl_that_never_opened_restores_nothing() -> None:
    other, failed = Crawl(), Crawl()
    other.open()
    changed = process()
    failed.close()
    assert process() == changed
    other.close()


@given(st.lists(st.booleans(), max_size=20))
def test_only_the_last_of_several_crawls_restores(steps: list[bool]) -> None:
    log: list[str] = []

    @contextmanager
    def context() -> Iterator[None]:
        log.append("changed")
        yield
        log.append("restored")

    shared, users = Shared(), 0
    for enters in steps:
        if enters:
            shared.enter(context)
            users += 1
        elif users:
            shared.leave()
            users -= 1
        assert log.count("changed") - log.count("restored") == (users > 0)
