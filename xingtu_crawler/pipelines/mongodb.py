"""Hands typed answers to the recorder: an item is done when MongoDB has acknowledged everything in it."""

from __future__ import annotations

from typing import Self

from scrapy.crawler import Crawler

from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.extensions.intake import Intake
from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.items.validation import ValidDetail, ValidPage


class MongoPipeline:
    """Stores what comes; what MongoDB cannot hold goes to quarantine, what it cannot take any more to the spill."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Take the recorder from the crawl's run record."""
        return cls(Crawl.of(crawler).intake)

    async def process_item(self, item: object) -> object:
        """Store an item and return it; what is not of this project passes.

        Raises `DropItem` where an answer went to the spill file instead.
        """
        match item:
            case ValidDetail(answer):
                await self._intake.keep(answer, self._detail(item))
            case ValidPage(answer):
                await self._intake.keep(answer, self._intake.recorder.page(item))
            case FailedRequest():
                await self._intake.keep(item, self._intake.recorder.failure(item))
        return item

    async def _detail(self, valid: ValidDetail) -> None:
        valid.is_stored = await self._intake.recorder.detail(valid)
