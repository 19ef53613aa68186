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
from pathlib import Path
from typing import Self

import pydantic
import pymongo
import scrapy
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem
from scrapy.settings import BaseSettings

import xingtu_crawler
from xingtu_crawler.api import environments
from xingtu_crawler.exceptions import StorageError, UserError
from xingtu_crawler.extensions.api_session import ApiSession
from xingtu_crawler.extensions.refusal import REFUSAL_STAT, refusal
from xingtu_crawler.items.answers import FailedQuestion
from xingtu_crawler.outcome import SECONDS_STAT, Outcome
from xingtu_crawler.spiders.base import XingtuSpider
from xingtu_crawler.storage.daily_calls import DailyCalls
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.replay import load_spilled
from xingtu_crawler.storage.runs import HEARTBEAT_S, HISTORY_UNTIL
from xingtu_crawler.storage.spill import Answer, Spill
from xingtu_crawler.storage.store import Store

logger = logging.getLogger(__name__)

_WHILE_AWAY_S = 0.5
_WHILE_BUSY_S = 0.001


def new_run_id(now: datetime) -> str:
    """Return a run id that sorts by time: `20260308T093000-5f2c1a`."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def database_name(settings: BaseSettings) -> str:
    """Return the database to write to: synthetic rows never land beside real ones."""
    default = "xingtu_sandbox" if settings["JUSTONEAPI_ENV"] == environments.SANDBOX else "xingtu"
    return settings["MONGO_DATABASE"] or default


def spill_directory(settings: BaseSettings) -> Path:
    """Return where the spill files of the database are."""
    return Path(settings["XINGTU_DATA_DIR"]) / "spill" / database_name(settings)


class RunRecord:
    """Keeps the record of one crawl and the store that it writes to."""

    def __init__(self, crawler: Crawler) -> None:
        self.started_at = datetime.now(UTC)
        self.run_id = new_run_id(self.started_at)
        self._crawler = crawler
        self._store: Store | None = None
        self._recorder: Recorder | None = None
        self._spill = Spill(spill_directory(crawler.settings), self.run_id)
        self._heartbeat: asyncio.Task[None] | None = None
        self._unstored: dict[int, Answer] = {}
        # What a kill costs is what is in flight and what is being stored.
        self._most_unstored = max(1, crawler.settings.getint("CONCURRENT_REQUESTS") * 3 // 4)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Connect to the end of the crawl."""
        record = cls(crawler)
        crawler.signals.connect(record.close, signal=signals.spider_closed)
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
            store = self._store = await self._open(session)
            await store.catch_up()
            await store.runs.bury(now=self.started_at)
            await store.runs.start(self.run_id, self._facts(spider), started_at=self.started_at)
            self._recorder = Recorder(
                store.writer,
                store.ledger,
                store.sweeps,
                store.history,
                run_id=self.run_id,
                count=lambda what, count: self._crawler.stats.inc_value(f"xingtu/{what}", count),
            )
            await load_spilled(spill_directory(self._crawler.settings), self._recorder)
        except StorageError as error:
            raise refusal(self._crawler, error, "storage_unavailable") from None
        if cap := self._crawler.settings.getint("XINGTU_DAILY_CALLS"):
            session.daily_calls = DailyCalls(store.database, store.patience, cap)
        store.patience.when_over = lambda error: session.give_up(error, "storage_unavailable")
        session.hold = self._hold
        if store.history:
            store.history.oldest_unstored = self._oldest_unstored
        spider.ledger = store.ledger
        spider.sweeps = store.sweeps
        spider.worklist = store.worklist
        spider.run_id = self.run_id
        spider.run_started_at = self.started_at
        spider.is_closing = lambda: session.is_closing
        self._heartbeat = asyncio.create_task(self._beat(store))

    async def keep(self, answer: Answer, storing: Awaitable[object]) -> None:
        """Wait until an answer is stored; where MongoDB is gone for good, spill it and end the crawl.

        Raises `DropItem` then: what is in the spill file is not in the dataset yet.
        """
        self._unstored[id(answer)] = answer
        try:
            await storing
        except StorageError as error:
            ApiSession.of(self._crawler).give_up(error, "storage_unavailable")
            self._spill.add(answer)
            self._crawler.stats.inc_value("xingtu/spilled")
            raise DropItem("MongoDB is gone", log_level="DEBUG") from None
        finally:
            del self._unstored[id(answer)]

    def _hold(self) -> float:
        """Return for how long nothing is to be asked: MongoDB is away, or as much waits for it as a crash may cost."""
        assert self._store is not None
        if self._store.patience.is_tried:
            return _WHILE_AWAY_S
        return _WHILE_BUSY_S if len(self._unstored) >= self._most_unstored else 0.0

    def _oldest_unstored(self) -> datetime | None:
        answers = (answer for answer in self._unstored.values() if not isinstance(answer, FailedQuestion))
        return min((answer.fetched_at for answer in answers), default=None)

    async def close(self, spider: XingtuSpider, reason: str) -> None:
        """Complete the record, close the store and say how the crawl ended."""
        if self._heartbeat:
            self._heartbeat.cancel()
        outcome = Outcome.of(self._crawler.stats, reason, seconds=self._age())
        self._crawler.stats.set_value(SECONDS_STAT, outcome.seconds)
        session = ApiSession.of(self._crawler)
        if self._store:
            try:
                await spider.finish()
                if session.daily_calls:
                    await session.daily_calls.give_back()
                # Before the run counts as ended: what a kill leaves out here, the next start looks for.
                await self._store.complete()
                figures = {**outcome.figures(), **await session.cost(outcome)}
                await self._store.runs.end(self.run_id, figures, close_reason=reason, at=datetime.now(UTC))
            except StorageError as error:
                logger.error("The run record could not be completed: %s", error)
            finally:
                with contextlib.suppress(StorageError):
                    await self._store.close()
        session.stop_sandbox()
        if self._spill.count:
            logger.warning("%d answers are in %s: the next crawl loads them first", self._spill.count, self._spill.path)
        for line in outcome.lines(refusal=self._crawler.stats.get_value(REFUSAL_STAT)):
            logger.info("%s", line)

    async def _open(self, session: ApiSession) -> Store:
        settings = self._crawler.settings
        return await Store.open(
            uri=settings["MONGO_URI"],
            database=database_name(settings),
            data_dir=Path(settings["XINGTU_DATA_DIR"]),
            min_free_bytes=settings.getint("XINGTU_EMBEDDED_MIN_FREE"),
            patience=settings.getfloat("XINGTU_STORAGE_PATIENCE"),
            hurried=lambda: session.is_closing,
            history=settings.getbool("XINGTU_HISTORY"),
        )

    def _facts(self, spider: XingtuSpider) -> dict[str, object]:
        return {
            "spider": spider.name,
            "arguments": dict(spider.typed_arguments),
            "environment": self._crawler.settings["JUSTONEAPI_ENV"],
            "tokens": ApiSession.of(self._crawler).pool.aliases(),
            "versions": {
                "xingtu_crawler": xingtu_crawler.__version__,
                "scrapy": scrapy.__version__,
                "pymongo": pymongo.version,
                "pydantic": pydantic.VERSION,
                "python": platform.python_version(),
            },
        }

    async def _beat(self, store: Store) -> None:
        with contextlib.suppress(StorageError):  # whoever holds answers tells of it
            while True:
                await asyncio.sleep(HEARTBEAT_S)
                outcome = Outcome.of(self._crawler.stats, "", seconds=self._age())
                figures = outcome.figures()
                if store.history and store.history.complete_until:
                    figures[HISTORY_UNTIL] = store.history.complete_until
                await store.runs.update(self.run_id, figures, at=datetime.now(UTC))

    def _age(self) -> float:
        return (datetime.now(UTC) - self.started_at).total_seconds()
