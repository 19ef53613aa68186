"""One crawl, put together in one place: the store, then the API, then the context that the spider gets.

What lives as long as the crawl is here; closing goes the same way back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, Self

from pymongo.errors import PyMongoError
from scrapy import signals
from scrapy.crawler import Crawler

from xingtu_crawler.api.envelope import one_line
from xingtu_crawler.dataset.changes import PATIENCE_S, Crawled, changes
from xingtu_crawler.exceptions import StorageError, UserError
from xingtu_crawler.extensions.api_session import ApiSession
from xingtu_crawler.extensions.closing import Closing
from xingtu_crawler.extensions.context import ContextSpider, CrawlContext
from xingtu_crawler.extensions.forecast import Forecast
from xingtu_crawler.extensions.health import Health
from xingtu_crawler.extensions.intake import Intake
from xingtu_crawler.extensions.refusal import refusal
from xingtu_crawler.extensions.run_record import RunRecord
from xingtu_crawler.mongo.outages import brief
from xingtu_crawler.options import Options
from xingtu_crawler.outcome import CLOSING_ERRORS_STAT, SECONDS_STAT
from xingtu_crawler.storage.adoption import Adoption
from xingtu_crawler.storage.daily_calls import DailyCalls
from xingtu_crawler.storage.dates import correct_dates
from xingtu_crawler.storage.drift import report_drift
from xingtu_crawler.storage.planned import PlannedPages
from xingtu_crawler.storage.probe import prove_writes
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.refusals import Refusals
from xingtu_crawler.storage.replay import Replayed, load_spilled
from xingtu_crawler.storage.spill import spilled_elsewhere
from xingtu_crawler.storage.spill_places import why_unreadable
from xingtu_crawler.storage.store import Store
from xingtu_crawler.verdict import Findings

logger = logging.getLogger(__name__)


class Crawl:
    """The extension that opens and closes a crawl.

    `session` is for the downloader middlewares, `intake` for the item pipelines, `context` for the spider, and
    `findings` for all of them.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self.options = Options.read(crawler.settings)
        self.closing = Closing(crawler)
        self.findings = Findings()
        self.session = ApiSession(
            self.options, self.closing, Health(self.options.backoff, self.closing, self.findings, self._count)
        )
        self.run = RunRecord(crawler.stats, self.findings)
        self.intake = Intake(crawler, self.options, self.closing, run_id=self.run.run_id)
        self.context: CrawlContext | None = None
        self._store: Store | None = None
        self._refusals: Refusals | None = None
        self._is_store_ready = False
        self._closed = asyncio.Event()
        self._logged: set[str] = set()
        self._population = ""
        self._changes: list[str] = []

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Connect to the beginning and the end of the crawl."""
        crawl = cls(crawler)
        crawler.signals.connect(crawl.open, signal=signals.spider_opened)
        crawler.signals.connect(crawl.close, signal=signals.spider_closed)
        crawler.signals.connect(crawl.wait_until_closed, signal=signals.engine_stopped)
        return crawl

    @classmethod
    def of(cls, crawler: Crawler) -> Crawl:
        """Return the extension of a crawl."""
        crawl = crawler.get_extension(cls)
        if crawl is None:
            raise UserError("The extension xingtu_crawler.extensions.crawl.Crawl is not enabled.")
        return crawl

    # --- Opening -------------------------------------------------------------------------------------------

    async def open(self, spider: ContextSpider) -> None:
        """Open the store, then the API, and give the spider its context.

        Raises `CloseSpider` (`storage_unavailable`, `api_unavailable`) where one of them cannot be used.
        """
        try:
            store = await self._open_store()
            daily_calls = DailyCalls(store.database, store.outages, self.options.daily_calls or None)
            await self._start_run(store, daily_calls, spider)
        except PyMongoError as error:
            line = (
                f"MongoDB refuses what a crawl needs ({brief(error)}): correct that, then run the same command again."
            )
            raise refusal(self._crawler, StorageError(line), "storage_unavailable") from None
        except StorageError as error:
            raise refusal(self._crawler, error, "storage_unavailable") from None
        try:
            self.session.health.endpoints = spider.endpoints
            await self.session.open(max_calls=spider.max_calls, daily_calls=daily_calls, hold=self.intake.hold)
        except UserError as error:
            raise refusal(self._crawler, error, "api_unavailable") from None
        self.context = self._context(store, is_plan=spider.is_plan)
        self._population = spider.population
        spider.begin(self.context)

    async def _open_store(self) -> Store:
        store = self._store = await Store.open(
            self.options,
            hurried=lambda: self.closing.is_hurried,
            when_over=self._storage_lost,
        )
        await prove_writes(store.database, store.outages)
        if count := await correct_dates(store.database, store.outages, now=self.run.started_at):
            self.findings.add(
                "dated_ahead",
                "{count} documents were dated in the future: their dates are corrected, and their details count as old",
                count=count,
            )
            logger.warning("%d documents are dated in the future, as a clock was wrong: they are fetched again", count)
        await store.catch_up()
        await store.runs.mark_crashed(now=self.run.started_at)
        return store

    async def _start_run(self, store: Store, daily_calls: DailyCalls, spider: ContextSpider) -> None:
        tokens = self.session.pool.aliases()
        await self.run.start(store, spider, environment=self.options.environment, tokens=tokens)
        self.run.start_heartbeat(store, daily_calls)  # loading spill files may take minutes
        self._refusals = Refusals(
            store.database, store.outages, run_id=self.run.run_id, count=self._count, findings=self.findings
        )
        recorder = Recorder(
            store.writer,
            store.claims,
            store.sweeps,
            store.history,
            run_id=self.run.run_id,
            run_started_at=self.run.started_at,
            count=self._count,
            findings=self.findings,
            refusals=self._refusals,
        )
        if reason := why_unreadable(self.intake.spill.directory):
            logger.warning("Cannot look for spilled answers in %s (%s)", self.intake.spill.directory, reason)
        self._note_unloaded(await load_spilled(self.intake.spill.directory, recorder))
        for path in spilled_elsewhere(self.intake.spill.directory):
            logger.warning("Answers for another MongoDB server are in %s: a crawl with its MONGO_URI loads them", path)
        self.intake.open(recorder, store.outages)
        self._is_store_ready = True

    def _note_unloaded(self, loaded: Replayed) -> None:
        """Record the spilled answers of earlier crawls that could not be loaded."""
        for why, count in loaded.refused.items():
            self.findings.add(
                "refused_by_mongodb",
                f"MongoDB refuses {{count}} answers of earlier crawls, which are set aside ({one_line(why)})",
                count=count,
                key=why,
            )
        for path in loaded.broken:
            self.findings.add("spill_unreadable", "lines of {count} spill files cannot be read", example=str(path))

    def _count(self, what: str, count: int) -> None:
        self._crawler.stats.inc_value(f"xingtu/{what}", count)

    def _storage_lost(self, error: StorageError) -> None:
        if self._is_store_ready:  # before that, `open` logs it
            self.closing.give_up(error, "storage_unavailable")

    def _context(self, store: Store, *, is_plan: bool) -> CrawlContext:
        stats, planned = self._crawler.stats, PlannedPages(store.database, store.outages)
        forecast = Forecast(self._crawler, self.options, self.closing, store, self.session)
        own: dict[str, Any] = {}
        if not is_plan:
            adopt = Adoption(planned, store.sweeps, self.intake.recorder, self.run.run_id)
            own = {"adopt": adopt, "forecast": forecast.make, "asks": forecast.may_ask}
        return CrawlContext(
            run_id=self.run.run_id,
            started_at=self.run.started_at,
            base_url=self.session.base_url,
            concurrency=self.options.concurrent_requests,
            claims=store.claims,
            sweeps=store.sweeps,
            worklist=store.worklist,
            planned=planned,
            **own,
            tally=self._count,
            collapse_share=self.options.collapse_share,
            calls=lambda: stats.get_value("xingtu/calls") or 0,
            findings=self.findings,
            left_open=lambda: self.session.health.close_reason,
            is_closing=lambda: self.closing.is_closing,
            open_authors=lambda: self._refusals.open_authors if self._refusals else (),
            has_failures=lambda: bool(
                stats.get_value("xingtu/failures/open") or stats.get_value("spider_exceptions/count")
            ),
        )

    # --- Closing -------------------------------------------------------------------------------------------

    async def close(self, reason: str) -> None:
        """Complete the record, close the store and log how the crawl ended; each step whether or not others fail."""
        self.closing.begin_last_step()
        self.run.stop_heartbeat()
        self._crawler.stats.set_value(SECONDS_STAT, round(seconds := self.run.seconds, 3))
        try:
            if store := self._store:
                await self._complete(store, reason, seconds)
                await self._try(store.leave())
            self.session.close()
            self.intake.log_spilled()
            outcome = replace(self.run.outcome(reason, seconds=seconds), changes=tuple(self._changes))
            for line in outcome.lines():
                logger.info("%s", line)
        finally:
            self._closed.set()

    async def wait_until_closed(self) -> None:
        """Hold the end of the process back until the crawl is closed.

        Scrapy waits for what is in flight, but not for `spider_closed`: an interruption would cut it short.
        """
        if self._crawler.engine.spider is not None:
            await self._closed.wait()

    async def _complete(self, store: Store, reason: str, seconds: float) -> None:
        if self._refusals:  # before the spider looks whether anything is left to be requested
            await self._try(self._refusals.settle())
        for step in self.context.last_steps if self.context else ():
            await self._try(step())
        if self.session.daily_calls:
            await self._try(self.session.daily_calls.settle())
        await self._try(store.complete())  # what an error leaves in the documents, the next start moves
        self.intake.misfits.report(self.findings)
        for detail in store.claims.set_aside.values():
            message = f"{detail.endpoint}: {{count}} details are missing, as their earlier answers were no documents"
            self.findings.add("quarantined_earlier", message, example=detail.star_id, key=detail.endpoint)
        await self._compare(store, reason)
        extra = {"fields": {"population": self._population, "endpoints": self.intake.fields.as_document()}}
        with contextlib.suppress(Exception):
            extra |= await self.session.cost(self.run.outcome(reason))
        outcome = self.run.outcome(reason, seconds=seconds)  # now: each step before may have found something
        if self.run.is_started and not await self._try(self.run.end(store, outcome, extra)):
            await self._try(self.run.end_without_figures(store, self.run.outcome(reason)))

    async def _compare(self, store: Store, reason: str) -> None:
        """Compare the crawl with earlier ones; whatever goes wrong, the run is complete without that."""
        if self.context is None or reason in {"shutdown", "storage_unavailable"}:  # a user waits, or MongoDB is gone
            return
        crawled = Crawled(self.run.run_id, self.run.started_at, self.context.swept)
        try:
            async with asyncio.timeout(PATIENCE_S):
                counts, population = self.intake.fields, self._population
                await report_drift(store.database, counts, self.findings, run_id=crawled.run_id, population=population)
            self._changes = [*(await changes(store.database, crawled)).lines()]
        except Exception as error:  # noqa: BLE001 - a defect here must not cost the record of the run
            logger.warning("Could not compare this crawl with earlier ones (%s)", brief(error))

    async def _try(self, step: Awaitable[object]) -> bool:
        """Await a step of the closing; where it fails, log each reason once and return False."""
        try:
            await step
        except Exception as error:
            if (said := str(error)) not in self._logged:
                self._logged.add(said)
                is_known = isinstance(error, StorageError)
                logger.error("The run record could not be completed: %s", said, exc_info=not is_known)
            self._crawler.stats.inc_value(CLOSING_ERRORS_STAT)
            return False
        return True
