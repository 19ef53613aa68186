"""The run: its id, its store and recorder, its document in `runs`, and what its last lines say.

Opened by the MongoDB pipeline before anything is asked; closed when everything that was answered is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import secrets
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, Self

import pydantic
import pymongo
import scrapy
from pymongo.errors import PyMongoError
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem

import xingtu_crawler
from xingtu_crawler.engine import state
from xingtu_crawler.exceptions import StorageError, UserError
from xingtu_crawler.extensions.api_session import ApiSession
from xingtu_crawler.extensions.refusal import REFUSAL_STAT, refusal
from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.items.validation import reason_of
from xingtu_crawler.options import Options
from xingtu_crawler.outcome import SECONDS_STAT, CallsByDay, Outcome
from xingtu_crawler.spiders.base import XingtuSpider
from xingtu_crawler.storage.daily_calls import DailyCalls
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.replay import load_spilled
from xingtu_crawler.storage.runs import HEARTBEAT_S, HISTORY_UNTIL
from xingtu_crawler.storage.spill import Answer, Spill, spilled_elsewhere
from xingtu_crawler.storage.store import Store

logger = logging.getLogger(__name__)

_WHILE_AWAY_S = 0.5
_WHILE_BUSY_S = 0.001


def new_run_id(now: datetime) -> str:
    """Return a run id that sorts by time: `20260308T093000-5f2c1a`."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


class RunRecord:
    """Keeps the record of one crawl and the store that it writes to."""

    def __init__(self, crawler: Crawler) -> None:
        self.started_at = datetime.now(UTC)
        self.run_id = new_run_id(self.started_at)
        self._crawler = crawler
        self._options = Options.read(crawler.settings)
        self._store: Store | None = None
        self._recorder: Recorder | None = None
        self._spill = Spill(self._options.spill_directory, self.run_id)
        self._heartbeat: asyncio.Task[None] | None = None
        self._unstored: dict[int, Answer] = {}
        self._is_closing = False
        self._closed = asyncio.Event()
        self._told: set[str] = set()
        self._calls_by_day = CallsByDay()
        # What a kill costs: calls on the wire, and a quarter as many answers on their way into MongoDB.
        self._most_open = self._options.concurrent_requests * 5 // 4

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Connect to the end of the crawl."""
        record = cls(crawler)
        crawler.signals.connect(record.close, signal=signals.spider_closed)
        crawler.signals.connect(record.wait_until_closed, signal=signals.engine_stopped)
        return record

    @classmethod
    def of(cls, crawler: Crawler) -> RunRecord:
        """Return the run record of a crawl."""
        record = crawler.get_extension(cls)
        if record is None:
            raise UserError("The extension xingtu_crawler.extensions.run_record.RunRecord is not enabled.")
        return record

    @property
    def recorder(self) -> Recorder:
        """What stores answers."""
        assert self._recorder is not None, "the store is opened before anything is asked"
        return self._recorder

    async def open_store(self) -> None:
        """Open the store and write the run's first record; raise `CloseSpider` where it cannot be had."""
        spider, session = self._crawler.spider, ApiSession.of(self._crawler)
        assert isinstance(spider, XingtuSpider)
        try:
            store = self._store = await self._open()
            await store.catch_up()
            await store.runs.mark_crashed(now=self.started_at)
            await store.runs.start(self.run_id, self._facts(spider), started_at=self.started_at)
            self._heartbeat = asyncio.create_task(self._beat(store, session))
            self._recorder = Recorder(
                store.writer,
                store.claims,
                store.sweeps,
                store.history,
                run_id=self.run_id,
                count=lambda what, count: self._crawler.stats.inc_value(f"xingtu/{what}", count),
            )
            await load_spilled(self._spill.directory, self._recorder)
        except StorageError as error:
            raise refusal(self._crawler, error, "storage_unavailable") from None
        for path in spilled_elsewhere(self._spill.directory):
            logger.warning("Answers for another server are in %s: a crawl with its MONGO_URI loads them", path)
        session.daily_calls = DailyCalls(store.database, store.outages, self._options.daily_calls or None)
        store.outages.when_over = lambda error: session.give_up(error, "storage_unavailable")
        session.hold = self._hold
        if store.history:
            store.history.oldest_unstored = self._oldest_unstored
        spider.claims = store.claims
        spider.sweeps = store.sweeps
        spider.worklist = store.worklist
        spider.run_id = self.run_id
        spider.run_started_at = self.started_at
        spider.is_closing = lambda: session.is_closing

    async def keep(self, answer: Answer, storing: Awaitable[object]) -> None:
        """Wait until an answer is stored, whatever happens; where MongoDB is gone for good, spill it and end the crawl.

        Raises `DropItem` then: what is in the spill file is not in the dataset yet; nor is what went to quarantine.
        """
        self._unstored[id(answer)] = answer
        try:
            misfit = await self._store_or_set_aside(answer, storing)
        except Exception as error:
            if isinstance(error, StorageError):
                ApiSession.of(self._crawler).give_up(error, "storage_unavailable")
            else:
                logger.exception("Could not store %s: it is spilled", answer)
            self._spill.add(answer)
            self._crawler.stats.inc_value("xingtu/spilled")
            raise DropItem("MongoDB is gone", log_level="DEBUG") from None
        finally:
            del self._unstored[id(answer)]
        if misfit:
            raise DropItem(misfit)

    async def _store_or_set_aside(self, answer: Answer, storing: Awaitable[object]) -> str | None:
        """Wait until an answer is stored; where that meets a defect, put it aside and return which."""
        try:
            await storing
        except StorageError:
            raise
        except Exception as error:
            logger.exception("Could not store %s: kept as it came", answer)
            await self.recorder.set_aside(answer, reason := reason_of(error))
            return reason
        return None

    def _hold(self, waiting: int) -> float:
        """Return for how long nothing is to be asked: MongoDB is away, or as much is on its way as a crash may cost."""
        assert self._store is not None
        if self._store.outages.is_waiting:
            return _WHILE_AWAY_S
        engine = self._crawler.engine
        not_durable = state.requests_in_downloader(engine) - waiting + state.responses_in_scraper(engine)
        return _WHILE_BUSY_S if not_durable >= self._most_open else 0.0

    def _oldest_unstored(self) -> datetime | None:
        answers = (answer for answer in self._unstored.values() if not isinstance(answer, FailedRequest))
        return min((answer.fetched_at for answer in answers), default=None)

    async def close(self, spider: XingtuSpider, reason: str) -> None:
        """Complete the record, close the store and say how the crawl ended; each step whatever the others came to."""
        self._is_closing = True
        if self._heartbeat:
            self._heartbeat.cancel()
        outcome = Outcome.of(self._crawler.stats.get_stats(), reason, seconds=self._age())
        self._crawler.stats.set_value(SECONDS_STAT, outcome.seconds)
        session = ApiSession.of(self._crawler)
        try:
            if store := self._store:
                await self._complete(store, spider, outcome)
                await self._try(store.leave())
            session.stop_sandbox()
            for path, count in self._spill.counts.items():
                if path.parent == self._spill.directory:
                    logger.warning("%d answers are in %s: the next crawl loads them first", count, path)
                else:
                    logger.warning(
                        "%d answers are in %s: move that file to %s, and the next crawl loads them",
                        count,
                        path,
                        self._spill.directory,
                    )
            for line in outcome.lines(refusal=self._crawler.stats.get_value(REFUSAL_STAT)):
                logger.info("%s", line)
        finally:
            self._closed.set()

    async def wait_until_closed(self) -> None:
        """Hold back the end of the process while the crawl is being closed: an interruption meanwhile ends it at once.

        Scrapy waits for what is in flight, and not for what comes after.
        """
        if self._crawler.engine.spider is not None:
            await self._closed.wait()

    async def _complete(self, store: Store, spider: XingtuSpider, outcome: Outcome) -> None:
        session = ApiSession.of(self._crawler)
        figures = self._figures(outcome)
        await self._try(spider.finish())
        if session.daily_calls:
            await self._try(session.daily_calls.settle())
        # Before the run counts as ended: what a kill, or an error, leaves out here, the next start looks for.
        is_complete = await self._try(store.complete())
        with contextlib.suppress(Exception):
            figures |= await session.cost(outcome)
        if is_complete:
            reason = outcome.close_reason
            await self._try(store.runs.end(self.run_id, figures, close_reason=reason, at=datetime.now(UTC)))
        else:
            await self._try(store.runs.beat(self.run_id, figures, at=datetime.now(UTC)))

    async def _try(self, step: Awaitable[object]) -> bool:
        """Await a step of the closing; where it fails say so, once for each reason, and go on."""
        try:
            await step
        except Exception as error:
            if (said := str(error)) not in self._told:
                self._told.add(said)
                is_known = isinstance(error, StorageError)
                logger.error("The run record could not be completed: %s", said, exc_info=not is_known)
            return False
        return True

    async def _open(self) -> Store:
        return await Store.open(self._options, hurried=self._is_hurried)

    def _facts(self, spider: XingtuSpider) -> dict[str, object]:
        return {
            "spider": spider.name,
            "arguments": dict(spider.typed_arguments),
            "environment": self._options.environment,
            "tokens": ApiSession.of(self._crawler).pool.aliases(),
            "versions": {
                "xingtu_crawler": xingtu_crawler.__version__,
                "scrapy": scrapy.__version__,
                "pymongo": pymongo.version,
                "pydantic": pydantic.VERSION,
                "python": platform.python_version(),
            },
        }

    def _is_hurried(self) -> bool:
        """Whether somebody waits for the crawl to end; one that has yet to begin may take its time."""
        engine, session = self._crawler.engine, ApiSession.of(self._crawler)
        was_stopped = state.has_started(engine) and not engine.running
        return self._is_closing or session.close_reason is not None or was_stopped

    async def _beat(self, store: Store, session: ApiSession) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            outcome = Outcome.of(self._crawler.stats.get_stats(), "", seconds=self._age())
            figures = self._figures(outcome)
            if store.history and store.history.complete_until:
                figures[HISTORY_UNTIL] = store.history.complete_until
            with contextlib.suppress(StorageError, PyMongoError):  # whoever holds answers tells of it
                await store.runs.beat(self.run_id, figures, at=datetime.now(UTC))
                if session.daily_calls:
                    await session.daily_calls.count()

    def _figures(self, outcome: Outcome) -> dict[str, Any]:
        figures = outcome.figures()
        figures["calls"]["by_day"] = self._calls_by_day.until(datetime.now(UTC), outcome)
        return figures

    def _age(self) -> float:
        return (datetime.now(UTC) - self.started_at).total_seconds()
