"""The forecast of a crawl: what it will cost, once page 1 is known. On a terminal it may ask before it goes on."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import PyMongoError
from scrapy.crawler import Crawler

from xingtu_crawler.arguments.square import SquareArguments
from xingtu_crawler.dataset.experience import experience, left_today
from xingtu_crawler.dataset.plan import forecast, plan
from xingtu_crawler.dataset.plan_square import plan_square
from xingtu_crawler.exceptions import UserError
from xingtu_crawler.extensions.api_session import ApiSession
from xingtu_crawler.extensions.closing import Closing
from xingtu_crawler.mongo.outages import brief
from xingtu_crawler.options import Options
from xingtu_crawler.storage.store import Store

logger = logging.getLogger(__name__)

ASKING, ANSWERED = object(), object()
"""Signals: what is written to the terminal would disturb the question from the first to the second."""
ASK_ABOVE = 1000
"""A crawl without a limit asks if it may need more calls than this."""
_POLL_S = 0.1
_PATIENCE_S = 30.0
"""The crawl goes on without a forecast that takes longer than this, unless it has to ask."""
_YES = frozenset({"y", "yes", "是"})


class Forecast:
    """Makes the forecast of one crawl, once."""

    def __init__(self, crawler: Crawler, options: Options, closing: Closing, store: Store, session: ApiSession) -> None:
        self._crawler = crawler
        self._options = options
        self._closing = closing
        self._store = store
        self._session = session
        self._turn = asyncio.Lock()
        self._is_made = False

    def may_ask(self, arguments: SquareArguments) -> bool:
        """Return whether the crawl may ask: on a terminal, without a limit and without `yes`."""
        return not arguments.yes and not arguments.has_limit and _is_terminal()

    async def make(self, arguments: SquareArguments, newer_than: datetime) -> None:
        """Log the forecast and, if necessary, ask; close the crawl if the answer is no.

        The first call does it; every other one waits until it is done.
        """
        async with self._turn:
            if self._is_made or self._closing.is_closing:
                return
            self._is_made = True
            try:
                found = await asyncio.wait_for(self._plan(arguments, newer_than), _PATIENCE_S)
            except (UserError, PyMongoError, TimeoutError) as error:  # the crawl is worth more than its forecast
                logger.warning("No forecast of the calls: %s", brief(error))
                return
            except Exception:
                logger.exception("No forecast of the calls: a defect")
                return
            line = forecast(found)
            logger.info("Forecast: %s", line)
            if found["calls"]["total"]["high"] > ASK_ABOVE and self.may_ask(arguments):
                await self._ask(line)

    async def _plan(self, arguments: SquareArguments, newer_than: datetime) -> dict[str, Any]:
        store, options, now = self._store, self._options, datetime.now(UTC)
        known = await experience(store.database)
        return plan(
            await plan_square(store, arguments, known, started_at=now, newer_than=newer_than),
            known,
            spider="author_square",
            arguments={},
            max_rate=options.max_rate * len(self._session.pool),
            max_calls=arguments.details.max_calls,
            daily_cap=options.daily_calls,
            daily_left=await left_today(store.database, options.daily_calls, now),
            calls_made=0,
        )

    async def _ask(self, line: str) -> None:
        self._crawler.signals.send_catch_log(ASKING)
        said = await answer(f"This crawl needs {line}. Go on? [y/N] ", until=lambda: self._closing.is_over)
        if not self._closing.is_over:
            self._crawler.signals.send_catch_log(ANSWERED)
        if said is not None and said.strip().casefold() not in _YES:
            self._closing.close("declined")


def _is_terminal() -> bool:
    return all(stream is not None and not stream.closed and stream.isatty() for stream in (sys.stdin, sys.stderr))


async def answer(question: str, *, until: Callable[[], bool]) -> str | None:
    """Write a question to standard error and return the line that the user types, "" at the end of the input.

    Returns None as soon as `until` returns True. The event loop runs on meanwhile.
    """
    sys.stderr.write(question)
    sys.stderr.flush()
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def read(descriptor: int) -> None:
        # Not `sys.stdin`: an interpreter that exits while a thread holds its lock is aborted.
        typed = b""
        try:
            while not typed.endswith(b"\n") and (more := os.read(descriptor, 1024)):
                typed += more
        except OSError:  # the terminal is gone
            pass
        text = typed.decode(errors="replace")
        if not loop.is_closed():
            loop.call_soon_threadsafe(lambda: None if line.done() else line.set_result(text))

    threading.Thread(target=read, args=(sys.stdin.fileno(),), daemon=True, name="question").start()
    while not line.done() and not until():
        await asyncio.wait([line], timeout=_POLL_S)
    if not line.done():
        sys.stderr.write("\n")
        return None
    return line.result()
