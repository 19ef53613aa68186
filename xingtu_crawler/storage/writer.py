"""Group commit: concurrent writes share bulk writes, and each caller waits until its own are acknowledged.

Theory of operation. Writes queue up while a flush is on its way; when it ends, the queue is the next flush. A flush
therefore grows with the load, and no write waits for others to fill it. Flushes start at least `_DISTANCE_S` apart,
because each has a fixed cost. Within a flush, the collections in `WRITTEN_FIRST` are written before all others. A write
that MongoDB or BSON refuses is returned to its caller and does not affect the other writes of its flush.

A write is sent in one of these forms; an error decides which form follows:

    form           sends                 after a duplicate key           after another error
    INSERT         `new`                 UPSERT                          UPSERT
                   (an insert, or the replacement of what it `replaces`)
    UPSERT         `operation`           UPSERT_AGAIN                    refused
    UPSERT_AGAIN   `operation`           LATE, or done if `late` is None refused
    LATE           `late`                done                            refused

A write starts as INSERT if it has `new` and most recent writes to its collection were new (an insert costs less than an
upsert, here and on the server), else as UPSERT. The first duplicate key of an UPSERT may be another upsert that created
the document at the same moment; the second one means that a newer document is there.
An error in `AWAY`, or a write concern error, keeps the form: the write is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any

from bson.errors import BSONError
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, ConnectionFailure, InvalidOperation, OperationFailure, PyMongoError

from xingtu_crawler.exceptions import RefusedWriteError, StorageError
from xingtu_crawler.mongo.outages import AWAY, UNAUTHORIZED, Outages, brief, is_away
from xingtu_crawler.storage.collections import WRITTEN_FIRST

logger = logging.getLogger(__name__)

_MOST_OPERATIONS = 1000
"""Maximum number of writes in one flush: bounds its memory, and keeps it well below MongoDB's 48 MB per message."""
_DISTANCE_S = 0.04
"""Minimum time between the starts of two flushes. It does not apply after a flush of one caller alone, so that a
caller that writes in sequence is not slowed down."""
_DUPLICATE_KEY = 11000
_BY_ID = {"_id": 1}
_WRITE_CONCERN_FAILED = 64
_CANNOT_SATISFY_WRITE_CONCERN = frozenset({79, 100})
_BAD_VALUE = 2
_UNCONFIRMABLE = "MongoDB cannot confirm writes with the w of MONGO_URI: correct it, or remove it."


Operation = UpdateOne | UpdateMany | DeleteOne | DeleteMany


@dataclass(frozen=True, slots=True)
class Write:
    """One write to one collection. An operation that is costly to build may be given as a function."""

    collection: str
    operation: Operation | Callable[[], UpdateOne]
    """The write itself: idempotent, because an outage sends it again. An upsert must not match a newer document."""
    late: Callable[[], UpdateOne] | None = None
    """Sent instead of the upsert if a newer document exists; None: nothing is written then."""
    new: dict[str, Any] | None = None
    """The document that the upsert creates for a new key."""
    replaces: Mapping[str, Any] | None = None
    """The filter of a document of the same key whose upsert makes it `new`; None: `new` is for a new key."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A write that can never succeed, and why."""

    write: Write
    error: str


class _Form(Enum):
    """What a write is sent as; see the module's table."""

    INSERT = auto()
    UPSERT = auto()
    UPSERT_AGAIN = auto()
    LATE = auto()


_AFTER_DUPLICATE_KEY = {_Form.UPSERT: _Form.UPSERT_AGAIN, _Form.UPSERT_AGAIN: _Form.LATE}


@dataclass(slots=True)
class _Ticket:
    """What one caller of `write` waits for."""

    done: asyncio.Future[None]
    open: int
    """Number of writes that are not settled."""
    errors: list[tuple[int, str]] = field(default_factory=list)
    """The position and the error of each refused write."""

    def settle(self, number: int, error: str | None) -> None:
        if error is not None:
            self.errors.append((number, error))
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(slots=True)
class _Job:
    """One write on its way, for one caller."""

    write: Write
    ticket: _Ticket
    number: int
    """The position of the write among those of its caller."""
    form: _Form = _Form.UPSERT

    @property
    def operation(self) -> Operation | InsertOne[dict[str, Any]] | ReplaceOne[dict[str, Any]]:
        write = self.write
        if self.form is _Form.INSERT and write.new is not None:
            # A document that does not match any more is a duplicate key, as with an insert.
            return (
                InsertOne(write.new) if write.replaces is None else ReplaceOne(write.replaces, write.new, upsert=True)
            )
        operation = write.late if self.form is _Form.LATE and write.late else write.operation
        return operation() if callable(operation) else operation

    def settle(self, error: str | None) -> None:
        self.ticket.settle(self.number, error)

    def resolve(self, error: dict[str, Any]) -> bool:
        """Take the form that follows an error of the server and return True, or settle the write and return False."""
        if self.form is _Form.INSERT:
            self.form = _Form.UPSERT
            return True
        if error["code"] != _DUPLICATE_KEY or error.get("keyPattern", _BY_ID) != _BY_ID:
            self.settle(error["errmsg"])
            return False
        following = _AFTER_DUPLICATE_KEY.get(self.form)
        if following is None or (following is _Form.LATE and self.write.late is None):
            self.settle(None)  # a newer document is there, and has to stay
            return False
        self.form = following
        return True


@dataclass(slots=True)
class _Share:
    """How many of the last writes to a collection created a document."""

    sent: int = 0
    new: int = 0

    def note(self, sent: int, new: int) -> None:
        self.sent += sent
        self.new += new
        if self.sent > _MOST_OPERATIONS:
            self.sent //= 2
            self.new //= 2

    @property
    def mostly_new(self) -> bool:
        return self.new > self.sent / 2


class BulkWriter:
    """Writes to the collections of one database.

    Args:
        database: the database to write to.
        outages: waits for MongoDB where it is away.
    """

    def __init__(self, database: AsyncDatabase[dict[str, Any]], outages: Outages) -> None:
        self._database = database
        self._outages = outages
        self._waiting: deque[_Job] = deque()
        self._shares: defaultdict[str, _Share] = defaultdict(_Share)
        self._flushing: asyncio.Task[None] | None = None
        self._not_before = float("-inf")

    async def write(self, writes: Sequence[Write]) -> list[Rejected]:
        """Write, and return the refused writes once every other one is acknowledged.

        Raises `StorageError` where MongoDB stays away for longer than the patience, or refuses every write.
        """
        if not writes:
            return []
        ticket = _Ticket(asyncio.get_running_loop().create_future(), len(writes))
        self._waiting.extend(_Job(write, ticket, number) for number, write in enumerate(writes))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        await ticket.done
        rejected = [Rejected(writes[number], error) for number, error in sorted(ticket.errors)]
        for each in rejected:
            logger.warning("MongoDB refuses a document for %s: %s", each.write.collection, each.error)
        return rejected

    async def insist(self, writes: Sequence[Write]) -> None:
        """Write, and raise `RefusedWriteError` where MongoDB refuses one of the writes."""
        for each in await self.write(writes):
            raise RefusedWriteError(
                f"MongoDB refuses a write to {each.write.collection} ({each.error}): correct that, then run the same "
                "command again."
            )

    async def _flush(self) -> None:
        now = asyncio.get_running_loop().time
        try:
            while self._waiting:
                # Even 0 s let the other callers of this turn of the event loop add their writes.
                await asyncio.sleep(max(0.0, self._not_before - now()))
                begun = now()
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_OPERATIONS))]
                by_collection: dict[str, list[_Job]] = {}
                for job in batch:
                    by_collection.setdefault(job.write.collection, []).append(job)
                for names in (by_collection.keys() & WRITTEN_FIRST, by_collection.keys() - WRITTEN_FIRST):
                    await asyncio.gather(*(self._commit(name, by_collection[name]) for name in names))
                alone = all(job.ticket is batch[0].ticket for job in batch)
                self._not_before = begun if alone else begun + _DISTANCE_S
        finally:
            self._flushing = None

    async def _commit(self, collection: str, jobs: list[_Job]) -> None:
        """Choose the forms of these jobs, and send them until each is settled."""
        mostly_new = self._shares[collection].mostly_new
        for job in jobs:
            if mostly_new and job.write.new is not None:
                job.form = _Form.INSERT
        await self._send(collection, jobs)

    async def _send(self, collection: str, jobs: list[_Job]) -> None:
        """Send jobs until each is acknowledged, refused, or failed with an exception."""
        try:
            while jobs:
                attempt = partial(self._attempt, collection, jobs)
                jobs = await self._outages.retry_while_away(attempt, swift=True)
        except Exception as error:  # noqa: BLE001 - each caller gets it, whatever it is
            for job in jobs:
                job.ticket.fail(error)

    async def _attempt(self, collection: str, jobs: list[_Job]) -> list[_Job]:
        """Send one bulk write; return the jobs that have to be sent again."""
        try:
            result = await self._database[collection].bulk_write([job.operation for job in jobs], ordered=False)
        except BulkWriteError as error:
            self._shares[collection].note(_creating(jobs), error.details["nInserted"] + error.details["nUpserted"])
            return self._sort_out(jobs, error)
        except InvalidOperation:
            raise StorageError("A write came after MongoDB was closed: run the same command again.") from None
        # What an encoder raises: UnicodeError is a ValueError, RecursionError means nesting that is too deep.
        except (PyMongoError, BSONError, OverflowError, ValueError, TypeError, RecursionError) as error:
            if isinstance(error, ConnectionFailure):
                raise
            if isinstance(error, OperationFailure) and (is_away(error) or error.code in UNAUTHORIZED):
                raise
            if isinstance(error, OperationFailure) and _is_unsatisfiable(error.code, str(error)):
                raise StorageError(_UNCONFIRMABLE) from None
            return await self._isolate(collection, jobs, error)
        self._shares[collection].note(_creating(jobs), result.inserted_count + result.upserted_count)
        for job in jobs:
            job.settle(None)
        return []

    @staticmethod
    def _sort_out(jobs: list[_Job], error: BulkWriteError) -> list[_Job]:
        """Settle what an unordered bulk write has decided; return the jobs that have to be sent again."""
        failed = {each["index"]: each for each in error.details["writeErrors"]}
        # After a write concern error, every write may still be rolled back.
        unconfirmed = error.details.get("writeConcernErrors") or []
        if any(_is_unsatisfiable(each["code"], each["errmsg"]) for each in unconfirmed):
            raise StorageError(_UNCONFIRMABLE)
        again: list[_Job] = []
        for index, job in enumerate(jobs):
            failure = failed.get(index)
            if failure is None and not unconfirmed:
                job.settle(None)
            elif failure is None or failure["code"] in AWAY or job.resolve(failure):
                again.append(job)
        if len(again) == len(jobs) and all(each["code"] in AWAY for each in failed.values()):
            # Without progress, wait as for a server that is away.
            raise OperationFailure("the server could not confirm the writes", _WRITE_CONCERN_FAILED)
        return again

    async def _isolate(self, collection: str, jobs: list[_Job], error: Exception) -> list[_Job]:
        """Find the jobs that make the whole bulk write fail, by halves; settle all jobs."""
        if len(jobs) == 1:
            jobs[0].settle(brief(error))
            return []
        half = len(jobs) // 2
        for part in (jobs[:half], jobs[half:]):
            await self._send(collection, part)
        return []


def _creating(jobs: Sequence[_Job]) -> int:
    """Return the number of writes that may create a document."""
    return sum(job.write.replaces is None for job in jobs)


def _is_unsatisfiable(code: int | None, message: str) -> bool:
    """Return whether a write concern can never be satisfied: an unknown mode, or too few members."""
    return code in _CANNOT_SATISFY_WRITE_CONCERN or (code == _BAD_VALUE and "'w'" in message)
