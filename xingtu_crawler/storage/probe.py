"""Proves before the first paid call that MongoDB takes the writes of a crawl, in every collection that it writes.

Documents shaped like those of a crawl are inserted, updated and deleted again; their keys begin with `~probe-`, which
sorts behind every key of a crawl. A server without pipeline updates, a validator, or a unique index that refuses them
is found here, and not with the first answer.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pymongo import DeleteMany, InsertOne, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.api.envelope import Envelope
from xingtu_crawler.exceptions import RefusedWriteError
from xingtu_crawler.items import MODELS
from xingtu_crawler.items.answers import FailedRequest, SearchAnswer, Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.items.parsing import Parsed
from xingtu_crawler.items.payload import own_fields
from xingtu_crawler.items.validation import ValidPage
from xingtu_crawler.items.videos import FIELDS, VideoFact
from xingtu_crawler.mongo.outages import AWAY, UNAUTHORIZED, Outages, brief
from xingtu_crawler.storage import documents, planned, quarantine
from xingtu_crawler.storage.collections import AUTHORS, DAILY_CALLS, HISTORY
from xingtu_crawler.storage.lease import Lease
from xingtu_crawler.storage.runs import Runs
from xingtu_crawler.storage.sweeps import Sweeps
from xingtu_crawler.storage.videos import video
from xingtu_crawler.storage.writer import BulkWriter, Write

PREFIX = "~probe-"
_STAR_ID, _PLATFORM = "1", "SHORT_VIDEO"
_BODY, _ASKED = b"{}", {"endpoint": "probe", "star_id": _STAR_ID, "platform": _PLATFORM}
_OURS = {
    "$or": [{"_id": {"$gte": PREFIX, "$lt": "~probe."}}, {"_id": documents.quarantine_id(_ASKED, _BODY)}],
}
"""Also what a probe has left that was killed."""

Operation = InsertOne[dict[str, Any]] | UpdateOne | DeleteMany


async def prove_writes(database: AsyncDatabase[dict[str, Any]], outages: Outages) -> None:
    """Write, and delete, one document in each collection that a crawl writes.

    Raises:
        RefusedWriteError: MongoDB refuses one of the writes; the message names the collection and the reason.
        StorageError: MongoDB is away, or the user lacks rights.
    """
    key = f"{PREFIX}{secrets.token_hex(6)}"
    writes = await _Probe(database, outages, key, datetime.now(UTC)).operations()
    results = await asyncio.gather(
        *(_prove(database, outages, name, operations) for name, operations in writes.items()),
        return_exceptions=True,
    )
    for error in results:
        if error is not None:
            raise error
    lease = Lease(database, outages, key)
    try:
        await lease.take()
        await lease.give_back()
    except OperationFailure as error:
        raise _refused("meta", brief(error)) from None


async def _prove(
    database: AsyncDatabase[dict[str, Any]], outages: Outages, collection: str, operations: Sequence[Operation]
) -> None:
    """Send the operations in order, between two deletions: the first one proves that the last one is allowed."""
    target = database[collection]
    sent = [DeleteMany(_OURS), *operations, DeleteMany(_OURS)]
    try:
        await outages.retry_while_away(partial(_send, database, collection, sent), swift=True)
    except OperationFailure as error:
        with suppress(PyMongoError):
            await target.delete_many(_OURS)
        raise _refused(collection, _reason(error)) from None


async def _send(database: AsyncDatabase[dict[str, Any]], collection: str, operations: Sequence[Operation]) -> None:
    try:
        await database[collection].bulk_write(operations, ordered=True)
    except BulkWriteError as error:
        for each in [*error.details["writeErrors"], *error.details.get("writeConcernErrors", ())]:
            if each["code"] in AWAY | UNAUTHORIZED:
                raise OperationFailure(each["errmsg"], each["code"]) from None
        raise


def _reason(error: OperationFailure) -> str:
    failed = (error.details or {}).get("writeErrors") or []
    return str(failed[0]["errmsg"])[:200] if failed else brief(error)


def _refused(collection: str, reason: str) -> RefusedWriteError:
    return RefusedWriteError(
        f"MongoDB refuses a write that every crawl makes, to {collection} ({reason}): correct that (a validator, a "
        "unique index, a server without pipeline updates), then run the same command again."
    )


class _Collected(BulkWriter):
    """Keeps the writes that it is given, in place of writing them."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], outages: Outages) -> None:
        super().__init__(database, outages)
        self.writes: list[Write] = []

    async def insist(self, writes: Sequence[Write]) -> None:
        """Keep the writes."""
        self.writes += writes


@dataclass(frozen=True, slots=True)
class _Probe:
    """The documents of a probe, made by the functions that make those of a crawl."""

    database: AsyncDatabase[dict[str, Any]]
    outages: Outages
    key: str
    at: datetime

    async def operations(self) -> dict[str, list[Operation]]:
        """Return the operations by collection."""
        spell = {"entity": self.key, "key": self.key, "star_id": _STAR_ID, "spell": 1, "data": {}, "content_hash": ""}
        times = {"valid_from": self.at, "last_observed_at": self.at, "observations": 1, "observed_between": [self.at]}
        result: dict[str, list[Operation]] = {
            DAILY_CALLS: [UpdateOne({"_id": self.key}, {"$inc": {"calls": 0}}, upsert=True)],
            HISTORY: [
                InsertOne({"_id": self.key, **spell, **times}),
                UpdateOne({"_id": self.key}, [{"$set": {"last_observed_at": {"$literal": self.at}}}]),
            ],
        }
        for write in [*self._answers(), *await self._bookkeeping()]:
            operations = result.setdefault(write.collection, [])
            if write.new is not None:
                operations.append(InsertOne(write.new))
            operation = write.operation() if callable(write.operation) else write.operation
            if isinstance(operation, UpdateOne):
                operations.append(operation)
        return result

    def _answers(self) -> list[Write]:
        """Return the writes of an author, its details, a video and a search hit."""
        writes: list[Write] = []
        for name, model in MODELS.items():
            # Not parsed: a defect of a model is no refusal of MongoDB.
            parsed = Parsed(dict.fromkeys(own_fields(model)), {}, [])
            envelope = Envelope(0, None, None, None, self.key, 0)
            crawl = documents.provenance(name, envelope, parsed, run_id=self.key, fetched_at=self.at)
            identity = {"star_id": _STAR_ID} if name == SEARCH.name else {"star_id": _STAR_ID, "platform": _PLATFORM}
            collection = AUTHORS if name == SEARCH.name else DETAILS[name].collection
            writes.append(documents.upsert(collection, self.key, identity, parsed.data, crawl))
        fact = VideoFact(self.key, _STAR_ID, ("search.last_10_items",), dict.fromkeys(FIELDS))
        writes.append(video(fact, self.at, run_id=self.key))
        writes.append(documents.search_hit(self.key, 1, 1, _STAR_ID, seen_at=self.at))
        return writes

    async def _bookkeeping(self) -> list[Write]:
        """Return the writes of a run, a sweep, a failure and a quarantined body."""
        collected = _Collected(self.database, self.outages)
        runs = Runs(self.database, collected, self.outages)
        await runs.start(self.key, {"spider": "probe"}, started_at=self.at)
        await runs.end(self.key, {}, close_reason="finished", at=self.at)
        sweeps = Sweeps(self.database, collected, self.outages)
        await sweeps.start(self.key, query_key=self.key, filters={}, run_id=self.key, started_at=self.at)
        page = SearchPage(1, 20, False, 1, [{}], {"pagination": {"page": 1, "limit": 20, "has_more": False}})
        stop = Stop("no_more")
        await sweeps.page_read(self.key, 1, page, request_id=self.key, fetched_at=self.at, stop=stop)
        await sweeps.finish(self.key, stop=stop, authors=1, fewer=0, finished_at=self.at)
        failed = FailedRequest(
            endpoint=self.key,
            code=500,
            reason="probe",
            message="",
            request_id=self.key,
            attempts=1,
            terminal=True,
            failed_at=self.at,
            star_id=_STAR_ID,
            platform=_PLATFORM,
        )
        _, body = quarantine.writes("probe", _BODY, _ASKED, run_id=self.key, request_id=self.key, at=self.at)
        piece = quarantine.piece(self.key, self.key, _BODY)
        search = SearchAnswer(planned.sweep_of(self.key), 1, Envelope(0, None, None, None, self.key, 0), _BODY, self.at)
        kept = planned.keep(ValidPage(search, page), run_id=self.key)
        return [*collected.writes, documents.failure(failed, run_id=self.key), body, piece, kept]
