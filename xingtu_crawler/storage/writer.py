"""Group commit: writes that wait are sent together, and each waits until its own are acknowledged.

Whatever has gathered when the last flush ends is the next one, so a batch is as large as the load makes it
and nothing ever waits for a batch to fill; flushes only keep a small distance, for each of them costs. Within a
flush `WRITTEN_FIRST` comes first. A write that MongoDB or BSON refuses is told to whoever asked for it and takes no
other down.

Where most of what goes into a collection is new, documents are inserted: an upsert that has to look at its
predecessor costs more, for the crawl and for the server.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any

from bson.errors import BSONError
from pymongo import DeleteMany, DeleteOne, InsertOne, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, ConnectionFailure, InvalidOperation, OperationFailure, PyMongoError

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.outages import AWAY, UNAUTHORIZED, Outages, brief, is_away
from xingtu_crawler.storage.collections import WRITTEN_FIRST

logger = logging.getLogger(__name__)

_MOST_OPERATIONS = 1000
"""The most writes in one flush: keeps a flush well below MongoDB's 48 MB message limit and memory bounded."""
_DISTANCE_S = 0.04
"""From the start of one flush to that of the next, at least, where several write: a flush costs more than the writes
of one answer. Who writes alone, one after the other, waits for nobody."""
_DUPLICATE_KEY = 11000
_BY_ID = {"_id": 1}
_UNCONFIRMED = 64
_UNCONFIRMABLE = "MongoDB cannot confirm writes as MONGO_URI asks it to: correct w in it, or remove it."


Operation = UpdateOne | DeleteOne | DeleteMany


@dataclass(frozen=True, slots=True)
class Write:
    """One write to one collection.

    An upsert whose filter passes over a newer document collides with it; then `late` is sent in its place, where
    there is one. `new` is the document that the upsert comes to where there is none yet. `again` comes to the same as
    the upsert where it matches, and costs a fraction: for what has just been written. `entity` is the `_id` of a
    document whose history is kept. What is costly to build is given as a function, and built where it is needed.
    """

    collection: str
    operation: Operation | Callable[[], UpdateOne]
    late: Callable[[], UpdateOne] | None = None
    new: dict[str, Any] | None = None
    again: UpdateOne | None = None
    entity: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A write that can never succeed, and why."""

    write: Write
    error: str


class _Form(Enum):
    """Which operation a write is sent as."""

    FULL = auto()
    NEW = auto()
    AGAIN = auto()


@dataclass(slots=True)
class _Ticket:
    """What one caller waits for: that nothing of it is open any more, or that something of it has failed."""

    done: asyncio.Future[None]
    open: int
    errors: list[tuple[int, str]] = field(default_factory=list)

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
    write: Write
    ticket: _Ticket
    number: int
    collisions: int = 0
    form: _Form = _Form.FULL

    @property
    def operation(self) -> Operation | InsertOne[dict[str, Any]]:
        if self.form is _Form.NEW and self.write.new is not None:
            return InsertOne(self.write.new)
        if self.form is _Form.AGAIN and self.write.again is not None:
            return self.write.again
        # The first collision may be two upserts of one new key that met: then trying again is right.
        operation = self.write.late if self.collisions > 1 and self.write.late else self.write.operation
        return operation() if callable(operation) else operation

    def settle(self, error: str | None) -> None:
        self.ticket.settle(self.number, error)


@dataclass(slots=True)
class _Lately:
    """How much of what has lately been sent to a collection was new: whether inserting is worth the try."""

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
    """Writes to the collections of one database."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], outages: Outages) -> None:
        self._database = database
        self._outages = outages
        self._waiting: deque[_Job] = deque()
        self._lately: defaultdict[str, _Lately] = defaultdict(_Lately)
        self._flushing: asyncio.Task[None] | None = None
        self._not_before = float("-inf")

    async def write(self, writes: Sequence[Write]) -> list[Rejected]:
        """Return when every write is acknowledged or refused for good; the refused ones are returned.

        Raises `StorageError` where MongoDB stayed away for longer than the patience, or refuses whatever is written.
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
        """Write what has no other place to go; raise `StorageError` where MongoDB refuses any of it too."""
        for each in await self.write(writes):
            raise StorageError(
                f"MongoDB refuses to write to {each.write.collection} ({each.error}): put that right and type the "
                "same command again."
            )

    async def _flush(self) -> None:
        now = asyncio.get_running_loop().time
        try:
            while self._waiting:
                # At least until whoever else writes in this turn of the loop has come along.
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
        """Settle every job: acknowledged, rejected, or failed with `StorageError`."""
        mostly_new = self._lately[collection].mostly_new
        for job in jobs:
            if job.write.again is not None:
                job.form = _Form.AGAIN
            elif mostly_new and job.write.new is not None:
                job.form = _Form.NEW
        await self._send(collection, jobs)

    async def _send(self, collection: str, jobs: list[_Job]) -> None:
        try:
            while jobs:
                attempt = partial(self._attempt, collection, jobs)
                jobs = await self._outages.retry_while_away(attempt, swift=True)
        except Exception as error:  # noqa: BLE001 - whoever waits must be told, whatever it was
            for job in jobs:
                job.ticket.fail(error)

    async def _attempt(self, collection: str, jobs: list[_Job]) -> list[_Job]:
        """Send one bulk write; return the jobs that are still to be written."""
        try:
            result = await self._database[collection].bulk_write([job.operation for job in jobs], ordered=False)
        except BulkWriteError as error:
            new = error.details["nInserted"] + error.details["nUpserted"]
            self._note(collection, jobs, new)
            missed = self._missed(jobs, new + error.details["nMatched"] + len(error.details["writeErrors"]))
            return self._sort_out(jobs, error, missed=missed)
        except InvalidOperation:
            raise StorageError("MongoDB was written to after it was closed: type the same command again.") from None
        # UnicodeError is a ValueError; RecursionError is nesting that the encoder cannot follow.
        except (PyMongoError, BSONError, OverflowError, ValueError, TypeError, RecursionError) as error:
            if isinstance(error, ConnectionFailure):
                raise
            if isinstance(error, OperationFailure) and (is_away(error) or error.code in UNAUTHORIZED):
                raise
            if isinstance(error, OperationFailure) and _is_about_write_concern(error.code, str(error)):
                raise StorageError(_UNCONFIRMABLE) from None
            return await self._isolate(collection, jobs, error)
        new = result.inserted_count + result.upserted_count
        self._note(collection, jobs, new)
        return self._settle(jobs, missed=self._missed(jobs, new + result.matched_count))

    def _note(self, collection: str, jobs: list[_Job], new: int) -> None:
        """Learn what share is new of what may be: of what has just been written nothing is."""
        self._lately[collection].note(sum(job.form is not _Form.AGAIN for job in jobs), new)

    @staticmethod
    def _missed(jobs: list[_Job], done: int) -> bool:
        """Tell whether one of the short updates may have matched nothing; which, the server does not say."""
        return done < len(jobs) and any(job.form is _Form.AGAIN for job in jobs)

    @staticmethod
    def _settle(jobs: list[_Job], *, missed: bool) -> list[_Job]:
        """Settle what is written; return what has to be sent in full, which does not count a second time."""
        again: list[_Job] = []
        for job in jobs:
            if missed and job.form is _Form.AGAIN:
                job.form = _Form.FULL
                again.append(job)
            else:
                job.settle(None)
        return again

    @classmethod
    def _sort_out(cls, jobs: list[_Job], error: BulkWriteError, *, missed: bool) -> list[_Job]:
        failed = {each["index"]: each for each in error.details["writeErrors"]}
        # Where the write concern failed, what was written may be rolled back: once more.
        unsure = error.details.get("writeConcernErrors") or []
        if any(_is_about_write_concern(each["code"], each["errmsg"]) for each in unsure):
            raise StorageError(_UNCONFIRMABLE)
        again: list[_Job] = []
        for index, job in enumerate(jobs):
            code = failed[index]["code"] if index in failed else None
            if code is None and not unsure:
                again += cls._settle([job], missed=missed)
            elif code is None or code in AWAY:
                again.append(job)
            elif job.form is not _Form.FULL:  # there is a document already, or this server inserts no such names
                job.form = _Form.FULL
                again.append(job)
            elif code != _DUPLICATE_KEY or failed[index].get("keyPattern", _BY_ID) != _BY_ID:
                job.settle(failed[index]["errmsg"])
            elif job.collisions > 0 and not (job.collisions == 1 and job.write.late):
                job.settle(None)  # the document there is newer than this one
            else:
                job.collisions += 1
                again.append(job)
        if len(again) == len(jobs) and all(each["code"] in AWAY for each in failed.values()):
            raise OperationFailure("the server could not confirm the writes", _UNCONFIRMED)
        return again

    async def _isolate(self, collection: str, jobs: list[_Job], error: Exception) -> list[_Job]:
        """Find the writes that break the whole batch; settle all jobs."""
        if len(jobs) == 1:
            jobs[0].settle(brief(error))
            return []
        half = len(jobs) // 2
        for part in (jobs[:half], jobs[half:]):
            await self._send(collection, part)
        return []


def _is_about_write_concern(code: int | None, message: str) -> bool:
    """Tell whether an error says that no write can ever be confirmed as asked for: no such mode, too few members."""
    return code in {79, 100} or (code == 2 and "'w'" in message)
