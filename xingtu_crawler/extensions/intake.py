"""The way of every answer into MongoDB: stored; or put aside, where it cannot be; or spilled, where MongoDB is gone."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem

from xingtu_crawler.engine import state
from xingtu_crawler.exceptions import RefusedWriteError, StorageError
from xingtu_crawler.extensions.closing import Closing
from xingtu_crawler.extensions.misfits import Misfits
from xingtu_crawler.items.drift import FieldCounts
from xingtu_crawler.items.validation import reason_of
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.options import Options
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.spill import Answer, Spill

logger = logging.getLogger(__name__)

_WHILE_AWAY_S = 0.5
_WHILE_BUSY_S = 0.001


class Intake:
    """Takes the answers of one crawl from the item pipelines; `open` completes it before the first one."""

    def __init__(self, crawler: Crawler, options: Options, closing: Closing, *, run_id: str) -> None:
        self.spill = Spill(options.spill_directory, run_id)
        self.misfits = Misfits()
        self.fields = FieldCounts()
        self._crawler = crawler
        self._closing = closing
        self._recorder: Recorder | None = None
        self._outages: Outages | None = None
        # The loss at a kill: calls on the wire, and a quarter as many answers on their way into MongoDB.
        self._most_open = options.concurrent_requests * 5 // 4

    def open(self, recorder: Recorder, outages: Outages) -> None:
        """Take answers from now on."""
        self._recorder, self._outages = recorder, outages

    @property
    def is_storage_away(self) -> bool:
        """Whether answers wait for MongoDB to come back."""
        return self._outages is not None and self._outages.is_waiting

    @property
    def recorder(self) -> Recorder:
        """What stores answers."""
        assert self._recorder is not None, "the store is opened before the first request"
        return self._recorder

    async def keep(self, answer: Answer, storing: Awaitable[object]) -> None:
        """Wait until an answer is stored. Where MongoDB is gone for good, spill it and close the crawl.

        Raises `DropItem` for an answer that is not in the dataset: it is in the spill file or in quarantine.
        """
        try:
            misfit = await self._store_or_set_aside(answer, storing)
        except Exception as error:
            if isinstance(error, StorageError):
                self._closing.give_up(error, "storage_unavailable")
            else:
                logger.exception("Could not store %s: it is in the spill file", answer)
            self.spill.add(answer)
            self._crawler.stats.inc_value("xingtu/spilled")
            raise DropItem("MongoDB is gone", log_level="DEBUG") from None
        if misfit:
            raise DropItem(misfit)

    async def _store_or_set_aside(self, answer: Answer, storing: Awaitable[object]) -> str | None:
        """Wait until an answer is stored; where a defect, or MongoDB for good, prevents that, put it aside.

        Returns the reason why the answer is put aside, else None.
        """
        try:
            await storing
        except Exception as error:
            if not isinstance(error, StorageError):
                logger.exception("Could not store %s: kept as it came", answer)
            elif not isinstance(error, RefusedWriteError):
                raise
            await self.recorder.set_aside(answer, reason := reason_of(error))
            return reason
        return None

    def hold(self, waiting: int) -> float:
        """Return the seconds to wait before the next call: MongoDB is away, or as much is open as a kill may cost.

        `waiting` is the number of requests in the downloader that wait for a token.
        """
        assert self._outages is not None
        if self._outages.is_waiting:
            return _WHILE_AWAY_S
        engine = self._crawler.engine
        not_durable = state.requests_in_downloader(engine) - waiting + state.responses_in_scraper(engine)
        return _WHILE_BUSY_S if not_durable >= self._most_open else 0.0

    def log_spilled(self) -> None:
        """Log which spill files hold answers of this crawl, and what to do with them."""
        for path, count in self.spill.counts.items():
            logger.warning("%d answers are in %s: the next crawl on this machine loads them first", count, path)
