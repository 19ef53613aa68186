"""Garbage collection: seldom inside the block, still at work, and as before after it."""

from __future__ import annotations

import gc
import weakref

from xingtu_crawler.engine.garbage import seldom_collected


class Ring:
    def __init__(self) -> None:
        self.me = self


def test_collections_are_rare_inside_the_block_but_cycles_still_go() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with seldom_collected():
        assert gc.isenabled()
        assert gc.get_threshold() > before
        assert gc.get_freeze_count() > 0
        ring = weakref.ref(Ring())
        gc.collect()
        assert ring() is None
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, frozen)


def test_what_the_process_has_frozen_stays_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with seldom_collected():
            assert gc.get_freeze_count() == frozen
        assert gc.get_freeze_count() == frozen
    finally:
        gc.unfreeze()
