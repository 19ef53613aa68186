"""Scrapy's stats, without what they cost at every call."""

from __future__ import annotations

from typing import Any, Self

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.extensions.corestats import CoreStats
from scrapy.statscollectors import MemoryStatsCollector


class TimesOnly(CoreStats):
    """Records when the crawl began, when it ended and why; `xingtu/...` counts responses and items.

    It does not receive `item_scraped`: with a receiver, every stored document is made a plain record
    (`pipelines/records.py`), a fifth of the CPU time of a crawl.
    """

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Connect to the beginning and the end."""
        extension = cls(crawler.stats)
        crawler.signals.connect(extension.spider_opened, signal=signals.spider_opened)
        crawler.signals.connect(extension.spider_closed, signal=signals.spider_closed)
        return extension


class PlainStats(MemoryStatsCollector):
    """Scrapy's stats without the deprecation wrapper that Scrapy puts around every call.

    A call to the API counts about ten stats: the wrapper is 4 % of the CPU time of a crawl.
    """

    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name)
