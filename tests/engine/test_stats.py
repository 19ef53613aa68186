"""Scrapy's stats without what they cost at every call."""

from __future__ import annotations

from pydispatch import dispatcher
from scrapy import Spider, signals
from scrapy.utils.test import get_crawler

from xingtu_crawler.engine.stats import PlainStats, TimesOnly


def test_nothing_receives_every_item() -> None:
    crawler = get_crawler(settings_dict={"EXTENSIONS": {"scrapy.extensions.corestats.CoreStats": None}})
    before = len(list(dispatcher.getReceivers(crawler.signals.sender, signals.item_scraped)))
    extension = TimesOnly.from_crawler(crawler)
    assert len(list(dispatcher.getReceivers(crawler.signals.sender, signals.item_scraped))) == before
    extension.spider_opened(Spider("some"))
    assert extension.start_time is not None


def test_stats_are_counted() -> None:
    stats = PlainStats(get_crawler())
    stats.inc_value("xingtu/calls")
    stats.inc_value("xingtu/calls", 2)
    assert stats.get_stats() == {"xingtu/calls": 3}
