"""Progress: a live line on a terminal, elsewhere a log line every 10 s."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from xingtu_crawler.options import Options
from xingtu_crawler.outcome import Outcome

logger = logging.getLogger(__name__)

_LOG_INTERVAL_S = 10.0
_LIVE_INTERVAL_S = 0.25


class Progress:
    """Shows calls, authors, documents and failures while the crawl runs."""

    def __init__(self, crawler: Crawler, *, live: bool, interval: float | None = None) -> None:
        self._crawler = crawler
        self._interval = interval or (_LIVE_INTERVAL_S if live else _LOG_INTERVAL_S)
        self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False) if live else None
        self._task: asyncio.Task[None] | None = None
        self._started_at = time.monotonic()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Show a live line if the log goes to a terminal."""
        options = Options.read(crawler.settings)
        if not options.log_enabled:
            raise NotConfigured
        live = sys.stderr.isatty() and options.logs_to_terminal
        progress = cls(crawler, live=live)
        crawler.signals.connect(progress.start, signal=signals.engine_started)
        crawler.signals.connect(progress.stop, signal=signals.spider_closed)
        return progress

    def start(self) -> None:
        """Start."""
        if self._live:
            terminal = sys.stderr
            self._live.start()  # replaces sys.stderr, so that the log goes above the live line
            for handler in logging.root.handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream is terminal:
                    handler.setStream(sys.stderr)
        self._task = asyncio.create_task(self._show())

    def stop(self) -> None:
        """Stop, and leave the terminal as it was."""
        if self._task and not self._task.done():
            self._task.cancel()
        if self._live and self._live.is_started:
            proxy = sys.stderr
            self._live.stop()
            for handler in logging.root.handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream is proxy:
                    handler.setStream(sys.stderr)

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if self._live:
                self._live.update(Text(self._line()), refresh=True)
            else:
                logger.info("%s", self._line())

    def _line(self) -> str:
        seconds = time.monotonic() - self._started_at
        now = Outcome.of(self._crawler.stats.get_stats(), "", seconds=seconds)
        trouble = f", {now.retries} retries" if now.retries else ""
        failed = now.open_failures + now.terminal_failures
        trouble += f", {failed} failed" if failed else ""
        trouble += f", {now.quarantined} quarantined" if now.quarantined else ""
        return (
            f"{seconds:.0f} s: {now.authors} authors, {sum(now.stored.values())} writes, {now.calls} calls "
            f"({now.calls / seconds:.0f}/s){trouble}"
        )
