"""Outlasting a MongoDB that is away: stepped down, restarted, full, too slow, gone for ten minutes.

One patience for all reads and writes of a store, so that it is told once, and known to whoever should not ask
the API for what cannot be stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pymongo.errors import ConnectionFailure, NetworkTimeout, OperationFailure, PyMongoError

from xingtu_crawler.exceptions import StorageError

logger = logging.getLogger(__name__)

AWAY = frozenset(
    {6, 7, 24, 43, 50, 64, 89, 91, 112, 133, 134, 175, 189, 202, 237, 262, 365, 8000, 9001}
    | {10107, 11600, 11601, 11602, 13435, 13436, 14031}
)
"""Error codes that speak of the server and not of the operation: hosts unreachable, locks and overtime, cursors lost,
write concern, shutdown, stepped down, interrupted, not primary, out of disk space or of a hosted server's quota."""
UNAUTHORIZED = frozenset({13, 18})
"""Error codes of a user who lacks rights, or is not known."""
_ILLEGAL = 20
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_HURRIED_S = 15.0
_SILENCE_S = 3.0
"""A server that says nothing for so long is away: stopped, swapped out, or cut off without a word."""

T = TypeVar("T")


class Outages:
    """Tries operations again while MongoDB is away, for `seconds` in all.

    MongoDB is away from the first operation that suffers from it until the last of those that did is done: when a
    server comes back, some of what was in flight is answered later than the rest, and that is one outage and not two.

    Where it is `hurried`, because somebody waits for the crawl to end, 15 s are enough. When the patience is
    over it stays so: every operation fails at once, and whoever holds answers keeps them elsewhere.
    """

    def __init__(self, seconds: float, *, hurried: Callable[[], bool] = lambda: False) -> None:
        self._seconds = seconds
        self._hurried = hurried
        self.when_over: Callable[[StorageError], None] = lambda _error: None
        """Told when the patience is over, or the rights are lacking: there is no use in going on."""
        self._suffering: set[object] = set()
        self._away_since = 0.0
        self._answered_at = float("-inf")  # a swift operation: reads may do where writes hang
        self._over: StorageError | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether MongoDB is away at the moment."""
        return bool(self._suffering)

    async def retry_while_away(self, operation: Callable[[], Awaitable[T]], *, swift: bool = False) -> T:
        """Return what `operation` returns, however often it has to be tried.

        `swift`: it takes no time on a server that is well, so that silence counts as being away.

        Raises `StorageError` when the patience is over or the user lacks rights; other errors pass.
        """
        if self._over:
            raise self._over
        sufferer = object()
        pause = _FIRST_PAUSE_S
        try:
            while True:
                try:
                    result = await (self._watched(operation, sufferer) if swift else operation())
                except (ConnectionFailure, OperationFailure) as error:
                    # Operations in flight fail at once when the server goes, whatever the timeouts.
                    if not self._is_outage(error):
                        self._outage_over(sufferer)  # it has answered
                        raise
                    self._outage_began(sufferer, error)
                else:
                    self._outage_over(sufferer)
                    return result
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
        finally:
            self._suffering.discard(sufferer)

    async def _watched(self, operation: Callable[[], Awaitable[T]], sufferer: object) -> T:
        """Await an operation, suffering whenever neither it nor another swift one has been answered for 3 s."""
        now = asyncio.get_running_loop().time
        task = asyncio.ensure_future(operation())
        silent_since, wait = now(), _SILENCE_S
        try:
            while not (await asyncio.wait({task}, timeout=wait))[0]:
                wait = _SILENCE_S - (now() - max(silent_since, self._answered_at))
                if wait <= 0:
                    self._outage_began(sufferer, NetworkTimeout("it does not answer"))
                    silent_since, wait = now(), _SILENCE_S
            result = task.result()
            self._answered_at = now()
            return result
        finally:
            task.cancel()

    def _is_outage(self, error: ConnectionFailure | OperationFailure) -> bool:
        """Tell whether an error is a matter of patience; raise `StorageError` where the rights are lacking."""
        if not isinstance(error, OperationFailure) or is_away(error):
            return True
        if error.code not in UNAUTHORIZED:
            return False
        refused = StorageError("MongoDB refuses the operation: give the user of MONGO_URI readWrite on the database.")
        self.when_over(refused)
        raise refused from None

    def _outage_began(self, sufferer: object, error: ConnectionFailure | OperationFailure) -> None:
        if self._over:
            raise self._over from None
        now = asyncio.get_running_loop().time()
        if not self._suffering:
            self._away_since = now
            logger.warning("MongoDB is away (%s): nothing is asked until it is back", brief(error))
        self._suffering.add(sufferer)
        allowed = min(self._seconds, _HURRIED_S) if self._hurried() else self._seconds
        if now - self._away_since >= allowed:
            self._over = StorageError(
                f"MongoDB has been away for {now - self._away_since:.0f} s: bring it back and type the same command "
                "again."
            )
            self.when_over(self._over)
            raise self._over from None

    def _outage_over(self, sufferer: object) -> None:
        if sufferer in self._suffering:
            self._suffering.discard(sufferer)
            if not self._suffering and self._over is None:
                logger.info("MongoDB is back after %.1f s", asyncio.get_running_loop().time() - self._away_since)


def is_away(error: OperationFailure) -> bool:
    """Tell whether an error speaks of the server and not of the operation."""
    # PyMongo 4.20 repeats a write whose connection could not be opened as one of a replica set, whatever the server
    # is; a server that stands alone refuses that, and has not written.
    return error.code in AWAY or (error.code == _ILLEGAL and "retryable writes" in str(error))


def brief(error: PyMongoError | Exception) -> str:
    """Return an error as one line, without PyMongo's description of the whole topology."""
    text = str(error).split(", Timeout:")[0].split(", full error:")[0].split("\n")[0]
    return f"{type(error).__name__}: {text}"[:300]
