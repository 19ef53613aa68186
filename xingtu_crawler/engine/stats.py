"""Scrapy's core stats without its counts per answer and per item: `xingtu/…` has them by endpoint and outcome.

A receiver of `item_scraped` costs a task of the event loop for every item.
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
    """Scrapy's stats, looked up as attributes of any object are: its own way warns of an argument that nobody gives."""

    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name)
