"""Garbage collection: seldom while a crawl runs, and still at work."""

from __future__ import annotations

import gc
import weakref

from scrapy import signals
from scrapy.utils.test import get_crawler

from xingtu_crawler.engine.garbage import SeldomGarbageCollection


class Ring:
    def __init__(self) -> None:
        self.me = self


def test_the_engines_start_makes_collections_rare_but_cycles_still_go() -> None:
    before = gc.get_threshold()
    crawler = get_crawler()
    extension = SeldomGarbageCollection.from_crawler(crawler)
    try:
        crawler.signals.send_catch_log(signals.engine_started)
        assert gc.isenabled()
        assert gc.get_threshold() > before
        assert gc.get_freeze_count() > 0
        ring = weakref.ref(Ring())
        gc.collect()
        assert ring() is None
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
    assert extension is not None
