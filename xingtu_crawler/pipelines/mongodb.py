"""Passes typed answers to the recorder: an item is done when MongoDB has acknowledged all its documents."""

from __future__ import annotations

from typing import Self

from scrapy.crawler import Crawler

from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.extensions.intake import Intake
from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.items.validation import ValidDetail, ValidPage


class MongoPipeline:
    """Stores answers and failures; an answer that MongoDB cannot store goes to quarantine or into the spill file."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Take the intake of the crawl."""
        return cls(Crawl.of(crawler).intake)

    async def process_item(self, item: object) -> object:
        """Store an item and return it; items of other projects pass.

        Raises `DropItem` if an answer went into the spill file instead.
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
        valid.answer.is_stored = await self._intake.recorder.detail(valid)
