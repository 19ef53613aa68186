"""Outages: retries MongoDB operations while MongoDB is away, for a limited time.

Theory of operation. Every read and write of a store goes through one `Outages`. An operation that fails because of
the server, and not because of what it does, is tried again with growing pauses until it succeeds. Meanwhile it is
*waiting*, and as long as an operation is waiting, MongoDB counts as away: `is_waiting` then keeps the crawl from
paying for answers that it could not store. A server that comes back answers some operations later than others, so the
outage ends with the last of them. After `seconds` the outage is over for good:

    state   event                                                   next    effect
    up      an operation fails, or a swift one is silent for 3 s    away    log a warning
    away    the last waiting operation ends                         up      log how long it took
    away    an operation fails, and `seconds` have passed           over    call `when_over`
    over    any operation is tried                                  over    raise `StorageError` at once

A user without the rights for an operation is no outage: `when_over` is called and `StorageError` raised at once.
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
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        24,  # LockTimeout
        43,  # CursorNotFound
        50,  # MaxTimeMSExpired
        64,  # WriteConcernFailed
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        112,  # WriteConflict
        133,  # FailedToSatisfyReadPreference
        134,  # ReadConcernMajorityNotAvailableYet
        175,  # QueryPlanKilled
        189,  # PrimarySteppedDown
        202,  # NetworkInterfaceExceededTimeLimit
        237,  # CursorKilled
        262,  # ExceededTimeLimit
        365,  # TemporarilyUnavailable
        8000,  # AtlasError: the quota of a hosted server, among others
        9001,  # SocketException
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11601,  # Interrupted
        11602,  # InterruptedDueToReplStateChange
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
        14031,  # OutOfDiskSpace
    }
)
"""Error codes that are about the server and not about the operation: the operation may succeed later.

Source: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
"""
UNAUTHORIZED = frozenset({13, 18})
"""Error codes of a user who lacks rights (Unauthorized) or is unknown (AuthenticationFailed)."""
_ILLEGAL_OPERATION = 20
_FIRST_PAUSE_S = 0.1
"""Pause after the first failure of an operation; it doubles with each further one."""
_LONGEST_PAUSE_S = 2.0
_HURRIED_S = 15.0
"""Longest outage while the crawl is ending."""
_SILENCE_S = 3.0
"""A server that answers no swift operation for this long is away: stopped, swapped out or cut off."""

T = TypeVar("T")


class Outages:
    """Retries the operations of one store while MongoDB is away.

    Args:
        seconds: the longest outage to wait for.
        hurried: returns whether the crawl is ending; an outage of 15 s is then the longest.
        when_over: called when the outage is over for good, and when the user lacks rights: the crawl cannot go on.
    """

    def __init__(
        self,
        seconds: float,
        *,
        hurried: Callable[[], bool] = lambda: False,
        when_over: Callable[[StorageError], None] = lambda _error: None,
    ) -> None:
        self._seconds = seconds
        self._hurried = hurried
        self._when_over = when_over
        self._waiting: set[object] = set()
        """One token for each operation that has failed and not succeeded yet."""
        self._away_since = 0.0
        self._answered_at = float("-inf")
        """Time of the last answer to a swift operation. Other reads may be answered while writes hang."""
        self._over: StorageError | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether MongoDB is away."""
        return bool(self._waiting)

    async def retry_while_away(self, operation: Callable[[], Awaitable[T]], *, swift: bool = False) -> T:
        """Return what `operation` returns; try it again as long as MongoDB is away.

        Args:
            operation: starts the operation; called once for each try, so it must be idempotent.
            swift: whether it takes no time on a healthy server, so that 3 s of silence count as an outage.

        Raises:
            StorageError: the outage lasted too long, or the user lacks rights. Other errors pass through.
        """
        if self._over:
            raise self._over
        token = object()
        pause = _FIRST_PAUSE_S
        try:
            while True:
                try:
                    result = await (self._watched(operation, token) if swift else operation())
                except (ConnectionFailure, OperationFailure) as error:
                    if not self._is_outage(error):
                        self._outage_over(token)  # an error of the operation is an answer
                        raise
                    self._outage_began(token, error)
                else:
                    self._outage_over(token)
                    return result
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
        finally:
            self._waiting.discard(token)

    async def _watched(self, operation: Callable[[], Awaitable[T]], token: object) -> T:
        """Await an operation; an outage begins when no swift operation, this one included, is answered for 3 s."""
        now = asyncio.get_running_loop().time
        task = asyncio.ensure_future(operation())
        silent_since, wait = now(), _SILENCE_S
        try:
            while not (await asyncio.wait({task}, timeout=wait))[0]:
                wait = _SILENCE_S - (now() - max(silent_since, self._answered_at))
                if wait <= 0:
                    self._outage_began(token, NetworkTimeout("it does not answer"))
                    silent_since, wait = now(), _SILENCE_S
            result = task.result()
            self._answered_at = now()
            return result
        finally:
            task.cancel()

    def _is_outage(self, error: ConnectionFailure | OperationFailure) -> bool:
        """Return whether to try again after an error; raise `StorageError` where the user lacks rights."""
        if not isinstance(error, OperationFailure) or is_away(error):
            return True
        if error.code not in UNAUTHORIZED:
            return False
        refused = StorageError(
            "The user of MONGO_URI lacks rights on the database: grant it the role readWrite there, then run the same "
            "command again."
        )
        self._when_over(refused)
        raise refused from None

    def _outage_began(self, token: object, error: ConnectionFailure | OperationFailure) -> None:
        """Mark an operation as waiting; raise `StorageError` where the outage is over for good."""
        if self._over:
            raise self._over from None
        now = asyncio.get_running_loop().time()
        if not self._waiting:
            self._away_since = now
            logger.warning("MongoDB is away (%s): the crawl pauses until it is back", brief(error))
        self._waiting.add(token)
        allowed = min(self._seconds, _HURRIED_S) if self._hurried() else self._seconds
        if now - self._away_since >= allowed:
            self._over = StorageError(
                f"MongoDB has been away for {now - self._away_since:.0f} s: start it, then run the same command again."
            )
            self._when_over(self._over)
            raise self._over from None

    def _outage_over(self, token: object) -> None:
        """Mark an operation as no longer waiting; log the end of the outage with the last one."""
        if token in self._waiting:
            self._waiting.discard(token)
            if not self._waiting and self._over is None:
                logger.info("MongoDB is back after %.1f s", asyncio.get_running_loop().time() - self._away_since)


def is_away(error: OperationFailure) -> bool:
    """Return whether an error is about the server and not about the operation."""
    # PyMongo 4.20 retries a write whose connection could not be opened as a retryable write, which only a replica set
    # knows. A standalone server refuses it with IllegalOperation, and has not written.
    return error.code in AWAY or (error.code == _ILLEGAL_OPERATION and "retryable writes" in str(error))


def brief(error: PyMongoError | Exception) -> str:
    """Return an error as one line of at most 300 characters, without PyMongo's description of the topology."""
    text = str(error).split(", Timeout:")[0].split(", full error:")[0].split("\n")[0]
    return f"{type(error).__name__}: {text}"[:300]
