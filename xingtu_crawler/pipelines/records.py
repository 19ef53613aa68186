"""Turns a stored answer into plain items, one per document, if anything receives Scrapy's `item_scraped`.

Feeds do (`FEEDS`, `-o`, `-O`, scrapyd's `items_dir`), and so do a script's own receivers, if they are connected before
the first answer is stored. Without a receiver no item is built.
"""

from __future__ import annotations

from functools import cached_property
from typing import Self

from pydispatch.dispatcher import getAllReceivers, liveReceivers
from scrapy import signals
from scrapy.crawler import Crawler

from xingtu_crawler.engine.exceptions import NoItemError
from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.items.validation import ValidDetail, ValidPage
from xingtu_crawler.storage.records import Record, records


class RecordsPipeline:
    """Sends `item_scraped` for all documents of an answer but the last, which it returns: Scrapy sends that one."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Keep the crawler, for its signals and its run id."""
        return cls(crawler)

    def process_item(self, item: object) -> object:
        """Return the last document of a stored answer (awaitable), and anything else unchanged.

        Raises `NoItemError` for a failed request and for an answer in quarantine.
        """
        if not isinstance(item, ValidDetail | ValidPage | FailedRequest) or not self._has_receivers:
            return item
        if isinstance(item, FailedRequest):
            raise NoItemError("a failed request has no document")
        return self._send(item)

    async def _send(self, item: ValidDetail | ValidPage) -> Record:
        last = None
        run = Crawl.of(self._crawler).run
        for record in records(item, run_id=run.run_id, run_started_at=run.started_at):
            if last is not None:
                await self._crawler.signals.send_catch_log_async(
                    signals.item_scraped, item=last, response=None, spider=self._crawler.spider
                )
            last = record
        if last is None:
            raise NoItemError("nothing of the answer is stored")
        return last

    @cached_property
    def _has_receivers(self) -> bool:
        # Looked up once: this costs more than all the rest of the pipeline.
        return any(True for _ in liveReceivers(getAllReceivers(self._crawler, signals.item_scraped)))
