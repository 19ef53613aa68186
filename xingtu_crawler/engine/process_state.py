"""State of the process that a crawl changes: the log's records, PyMongo's log level, garbage collection.

The first crawl of a process changes it, and the last one to end restores it: a script or a notebook goes on as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from scrapy import signals
from scrapy.crawler import Crawler

from xingtu_crawler.engine import state
from xingtu_crawler.engine.garbage import seldom_collected
from xingtu_crawler.engine.log import guarded, logger_levels
from xingtu_crawler.options import Options


@contextmanager
def during_a_crawl(log_level: int) -> Iterator[None]:
    """Change the process as a crawl needs it, and restore it."""
    # Scrapy filters in its handler only, so PyMongo would make four records for each command.
    with guarded(), logger_levels({"pymongo": log_level}), seldom_collected():
        yield


class Shared:
    """A context that several crawls share: the first to enter opens it, the last to leave closes it."""

    def __init__(self) -> None:
        self._users = 0
        self._context: AbstractContextManager[None] | None = None

    def enter(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        """Join the context; `make` builds it if no crawl has entered."""
        if self._context is None:
            context = make()
            context.__enter__()
            self._context = context
        self._users += 1

    def leave(self) -> None:
        """Leave the context after one `enter`."""
        self._users -= 1
        if self._users == 0 and self._context is not None:
            context, self._context = self._context, None
            context.__exit__(None, None, None)


_shared = Shared()


class ProcessState:
    """Enters the shared context when the spider opens, and leaves it when the crawl has ended."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._log_level = Options.read(crawler.settings).log_level
        self._entered = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Connect to the beginning and the end of the crawl."""
        extension = cls(crawler)
        crawler.signals.connect(extension.enter, signal=signals.spider_opened)
        crawler.signals.connect(extension.leave_unstarted, signal=signals.spider_closed)
        crawler.signals.connect(extension.leave, signal=signals.engine_stopped)
        return extension

    def enter(self) -> None:
        """Change the process."""
        _shared.enter(lambda: during_a_crawl(self._log_level))
        self._entered = True

    def leave_unstarted(self) -> None:
        """Restore the process after a crawl that could not start: Scrapy does not send `engine_stopped` then."""
        if not state.has_started(self._crawler.engine):
            self.leave()

    def leave(self) -> None:
        """Restore the process."""
        if self._entered:
            self._entered = False
            _shared.leave()
