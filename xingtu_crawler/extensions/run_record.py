"""The run: its id, and its document in `runs` from the first moment to the last."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import secrets
import time
from datetime import UTC, datetime
from typing import Any

import pydantic
import pymongo
import scrapy
from pymongo.errors import PyMongoError
from scrapy.statscollectors import StatsCollector

import xingtu_crawler
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.extensions.context import ContextSpider
from xingtu_crawler.outcome import CallsByDay, Outcome
from xingtu_crawler.storage.daily_calls import DailyCalls
from xingtu_crawler.storage.runs import HEARTBEAT_S
from xingtu_crawler.storage.store import Store
from xingtu_crawler.verdict import Findings


def new_run_id(now: datetime) -> str:
    """Return a run id that sorts by time: `20260308T093000-5f2c1a`."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


class RunRecord:
    """Keeps the document of one run up to date."""

    def __init__(self, stats: StatsCollector, findings: Findings) -> None:
        now = datetime.now(UTC)
        self.started_at = now.replace(microsecond=now.microsecond // 1000 * 1000)  # MongoDB's precision
        self.run_id = new_run_id(self.started_at)
        self._begun = time.monotonic()  # the clock of the machine can be set back
        self._stats = stats
        self._findings = findings
        self._calls_by_day = CallsByDay()
        self._heartbeat: asyncio.Task[None] | None = None
        self.is_started = False
        """Whether there is a document to complete; a crawl that is refused before has none."""

    async def start(self, store: Store, spider: ContextSpider, *, environment: str, tokens: list[str]) -> None:
        """Write the document: what runs, with which arguments, tokens (by alias) and versions."""
        facts = {
            "spider": spider.name,
            "arguments": dict(spider.typed_arguments),
            "environment": environment,
            "tokens": tokens,
            **({"plan": True} if spider.is_plan else {}),
            "versions": {
                "xingtu_crawler": xingtu_crawler.__version__,
                "scrapy": scrapy.__version__,
                "pymongo": pymongo.version,
                "pydantic": pydantic.VERSION,
                "python": platform.python_version(),
            },
        }
        await store.runs.start(self.run_id, facts, started_at=self.started_at)
        self.is_started = True

    def start_heartbeat(self, store: Store, daily_calls: DailyCalls) -> None:
        """Update the figures and the calls of the day every 10 s, so that a killed crawl leaves its last ones."""
        self._heartbeat = asyncio.create_task(self._beat(store, daily_calls))

    def stop_heartbeat(self) -> None:
        """Stop updating."""
        if self._heartbeat:
            self._heartbeat.cancel()

    async def end(self, store: Store, outcome: Outcome, extra: dict[str, Any]) -> None:
        """Record the end of the run with its last figures."""
        figures = self._figures(outcome) | extra
        await store.runs.end(self.run_id, figures, close_reason=outcome.close_reason, at=datetime.now(UTC))

    async def end_without_figures(self, store: Store, outcome: Outcome) -> None:
        """Record the end of the run where MongoDB refuses its figures."""
        verdict = {"verdict": str(outcome.verdict)}
        await store.runs.end(self.run_id, verdict, close_reason=outcome.close_reason, at=datetime.now(UTC))

    @property
    def seconds(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self._begun

    def outcome(self, close_reason: str = "", *, seconds: float | None = None) -> Outcome:
        """Return the outcome of the crawl so far; `seconds` is how long it took, if its work is done."""
        return Outcome.of(
            self._stats.get_stats(),
            close_reason,
            seconds=self.seconds if seconds is None else seconds,
            collected=self._findings,
        )

    async def _beat(self, store: Store, daily_calls: DailyCalls) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            figures = self._figures(self.outcome())
            with contextlib.suppress(StorageError, PyMongoError):  # the intake logs the same outage
                await store.runs.beat(self.run_id, figures, at=datetime.now(UTC))
                await daily_calls.count()

    def _figures(self, outcome: Outcome) -> dict[str, Any]:
        figures = outcome.figures()
        figures["calls"]["by_day"] = self._calls_by_day.until(datetime.now(UTC), outcome)
        return figures
