"""Progress: a live line on a terminal, elsewhere a log line every 10 s; `progress_line` has its words."""

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

from xingtu_crawler.engine import state
from xingtu_crawler.extensions import progress_line
from xingtu_crawler.extensions.context import Done
from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.extensions.forecast import ANSWERED, ASKING
from xingtu_crawler.extensions.progress_line import Rate, Situation
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
        self._rate = Rate()

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
        crawler.signals.connect(progress.stop, signal=ASKING)
        crawler.signals.connect(progress.start, signal=ANSWERED)
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
        self._rate.add(seconds, now.calls)
        crawl = self._crawler.get_extension(Crawl)
        of_spider = getattr(self._crawler.spider, "progress", None)  # a spider of the user's own has none
        progress = of_spider(now.authors, now.fresh) if of_spider else {"authors": Done(now.authors)}
        calls = Done(now.calls, crawl.session.budget.max_calls if crawl else None)
        failed = now.open_failures + now.terminal_failures
        counts = {"retries": now.retries, "failed": failed, "quarantined": now.quarantined}
        wait = None if crawl is None else progress_line.waits_for(self._situation(crawl))
        notes = [f"{count:,} {what}" for what, count in counts.items() if count] + ([wait] if wait else [])
        details = progress.get("details")
        left = [each for each in (details.left if details else None, calls.left) if each is not None]
        return progress_line.line(
            seconds,
            progress,
            calls=calls,
            rate=self._rate.per_second,
            left=min(left, default=None),
            notes=notes,
        )

    def _situation(self, crawl: Crawl) -> Situation:
        engine, now = self._crawler.engine, asyncio.get_running_loop().time()
        held, held_for = state.held_back(engine)
        return Situation(
            storage_is_away=crawl.intake.is_storage_away,
            pace=crawl.session.pool.pause_left(now),
            held=held,
            held_for=held_for,
            open_calls=state.requests_in_downloader(engine),
            in_work=state.responses_in_scraper(engine),
            silence=self._rate.silence,
        )
