"""The state of Scrapy's engine that no documented interface shows: the only module with Scrapy's private attributes.

Each function reads one fact, so that an upgrade of Scrapy that moves an attribute breaks one function and its test.
Checked with Scrapy 2.19 (`scrapy/core/engine.py`, `scrapy/core/scraper.py`, `scrapy/core/downloader/__init__.py`).
"""

from __future__ import annotations

from scrapy.core.downloader.handlers import DownloadHandlerProtocol, DownloadHandlers
from scrapy.core.engine import ExecutionEngine
from scrapy.core.scraper import Scraper
from scrapy.middleware import MiddlewareManager

from xingtu_crawler.engine.scheduler import DelayScheduler


def has_started(engine: ExecutionEngine) -> bool:
    """Return whether the engine has ever run; False while the crawl is being opened.

    `engine.running` alone is also False after an interruption, and the two cases differ in how long MongoDB may take.
    """
    return engine.start_time is not None


def is_closing(engine: ExecutionEngine) -> bool:
    """Return whether the spider is being closed, or is not open.

    Scrapy sends no signal when it begins to close a spider (`CLOSESPIDER_*`, `MEMUSAGE_*`, an interruption); calls
    made after that moment would be paid for in vain.
    """
    slot = engine._slot
    return slot is None or slot.closing is not None


def requests_in_downloader(engine: ExecutionEngine) -> int:
    """Return the number of requests between scheduler and response, those that wait in a middleware included."""
    return len(engine.downloader.active)


def responses_in_scraper(engine: ExecutionEngine) -> int:
    """Return the number of responses whose callbacks and item pipelines have not finished: not durable yet."""
    slot = engine.scraper.slot
    return len(slot.active) if slot else 0


def held_back(engine: ExecutionEngine) -> tuple[int, float]:
    """Return the number of requests that the scheduler holds back, and the seconds until the first one is sent."""
    scheduler = engine._slot.scheduler if engine._slot else None
    return scheduler.held_back() if isinstance(scheduler, DelayScheduler) else (0, 0.0)


def has_spider_arguments(manager: MiddlewareManager) -> bool:
    """Return whether a middleware or pipeline takes the deprecated argument `spider`, which Scrapy has to pass."""
    return bool(manager._mw_methods_requiring_spider)


def close_if_idle(scraper: Scraper) -> None:
    """Let a scraper that is being closed end if no response is left in it."""
    scraper._check_if_closing()


def download_handler(handlers: DownloadHandlers, scheme: str) -> DownloadHandlerProtocol | None:
    """Return the handler of a URL scheme, None if there is none that returns coroutines."""
    return None if scheme in handlers._old_style_handlers else handlers._get_handler(scheme)
