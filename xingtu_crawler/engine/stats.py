"""Scrapy's core stats without its counts of responses and items, which `xingtu/…` has by endpoint and outcome.

A receiver of the signal `item_scraped` costs one task of the event loop per item.
"""

from __future__ import annotations

from typing import Any, Self

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.extensions.corestats import CoreStats
from scrapy.statscollectors import MemoryStatsCollector


class TimesOnly(CoreStats):
    """Records when the crawl began, when it ended and why."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Connect to the beginning and the end."""
        extension = cls(crawler.stats)
        crawler.signals.connect(extension.spider_opened, signal=signals.spider_opened)
        crawler.signals.connect(extension.spider_closed, signal=signals.spider_closed)
        return extension


class PlainStats(MemoryStatsCollector):
    """Scrapy's stats without the deprecation wrapper that Scrapy puts around every call."""

    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name)
