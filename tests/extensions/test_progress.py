"""Progress: a live line on a terminal, which is restored; plain lines in the log elsewhere."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TextIO, cast

import pytest
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.utils.test import get_crawler

from tests.harness import wait_until
from xingtu_crawler.api.budget import Budget
from xingtu_crawler.api.tokens import TokenPool
from xingtu_crawler.engine import state
from xingtu_crawler.extensions.progress import Progress

HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"
"""The codes that hide and show the cursor of a terminal."""


class Terminal:
    """A pseudo terminal; `shown` is everything that was written to it so far."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        self.stream: TextIO = os.fdopen(slave, "w", encoding="utf-8", buffering=1)
        self._shown = b""

    def shown(self) -> bytes:
        while True:
            try:
                self._shown += os.read(self._master, 65_536)
            except BlockingIOError:
                return self._shown

    @contextmanager
    def in_use(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.StreamHandler[TextIO]]:
        """Be standard error, with the log on it; yields the log's handler."""
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys, "stderr", self.stream)
        with logging_to(self.stream) as handler:
            yield handler
        monkeypatch.undo()
        self.stream.close()
        os.close(self._master)


@contextmanager
def logging_to(stream: TextIO) -> Iterator[logging.StreamHandler[TextIO]]:
    handler = logging.StreamHandler(stream)
    logging.root.addHandler(handler)
    level = logging.root.level
    logging.root.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        logging.root.removeHandler(handler)
        logging.root.setLevel(level)


def crawler_with_calls() -> Crawler:
    crawler = get_crawler(settings_dict={"DOWNLOAD_VERIFY_CERTIFICATES": True})
    crawler.stats.set_value("xingtu/calls", 7)
    crawler.stats.set_value("xingtu/authors", 3)
    return crawler


async def until_shown(terminal: Terminal, text: bytes) -> None:
    await asyncio.to_thread(wait_until, lambda: text in terminal.shown())


async def test_a_terminal_gets_a_live_line_and_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    crawler, terminal = crawler_with_calls(), Terminal()
    with terminal.in_use(monkeypatch) as handler:
        progress = Progress.from_crawler(crawler)
        crawler.signals.send_catch_log(signals.engine_started)
        assert handler.stream is sys.stderr is not terminal.stream  # what is logged goes above the line
        await until_shown(terminal, b"3 authors, 7 calls")
        logging.getLogger("some").info("a message")
        await until_shown(terminal, b"a message")
        assert HIDE in terminal.shown()

        await crawler.signals.send_catch_log_async(signals.spider_closed)
        assert handler.stream is sys.stderr is terminal.stream
        assert terminal.shown().rfind(SHOW) > terminal.shown().rfind(HIDE)
        progress.stop()  # a second time: after a second Ctrl-C it is the command that stops it
        assert sys.stderr is terminal.stream


async def test_without_a_terminal_plain_lines_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = io.StringIO()
    monkeypatch.setattr(sys, "stderr", piped)
    progress = Progress(crawler_with_calls(), live=False, interval=0.01)
    with logging_to(piped):
        progress.start()
        await asyncio.to_thread(wait_until, lambda: piped.getvalue().count("\n") >= 2)
        progress.stop()
    for line in piped.getvalue().splitlines():
        assert "3 authors, 7 calls" in line
        assert "\x1b" not in line


async def test_the_line_says_what_a_crawl_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    crawler = crawler_with_calls()
    crawler.engine = cast("Any", object())
    progress = Progress(crawler, live=False)
    pool = TokenPool.from_text("one")
    crawl: Any = SimpleNamespace(
        intake=SimpleNamespace(is_storage_away=False), session=SimpleNamespace(pool=pool, budget=Budget(10))
    )
    monkeypatch.setattr(crawler, "get_extension", lambda _kind: crawl)
    monkeypatch.setattr(state, "held_back", lambda _engine: (1, 12.3))
    monkeypatch.setattr(state, "requests_in_downloader", lambda _engine: 0)
    monkeypatch.setattr(state, "responses_in_scraper", lambda _engine: 0)
    assert progress._line() == "0 s: 3 authors, 7 of 10 calls (0/s), waiting 12 s to retry 1 request"
    monkeypatch.setattr(state, "requests_in_downloader", lambda _engine: 2)
    pool.pause(pool.aliases()[0], asyncio.get_running_loop().time() + 45)
    assert progress._line().endswith("waiting 45 s before the next call (rate limit or Retry-After)")
    crawl.intake.is_storage_away = True
    assert progress._line().endswith("waiting for MongoDB")
