"""History: a slowly changing dimension, type 2. One document per spell in which an entity's content stayed the same.

An upsert decides by itself, in one atomic step on the document it replaces, whether a spell goes on or a new
one begins, and keeps the spell that ended in the document (`history_pending`). From there the spells are
projected into `history` on the server, many at a time. The projection is idempotent and says nothing that the
documents do not say, so whatever a crash leaves out, the next one makes good.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from pymongo import ASCENDING, UpdateMany
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.outages import Outages, brief
from xingtu_crawler.storage.collections import HISTORY, PENDING
from xingtu_crawler.storage.projection import (
    CURRENT,
    KEEP_NEWER,
    OF_DOCUMENT,
    Spells,
    WhenMatched,
    others,
    projection,
    without,
)

logger = logging.getLogger(__name__)

_INTERVAL_S = 2.0
"""What is written again within it, as a video that the search shows and the details too, is projected once."""
_BATCH = 500
_DUPLICATE_KEY = 11000
_LATE = "late-"
_ON_THE_WAY = timedelta(seconds=30)
"""What was fetched may take so long, and never does, until somebody holds it to be stored."""


def bookkeeping(*, same: Mapping[str, Any] | str, fetched_at: datetime) -> dict[str, Any]:
    """Return the fields of `crawl` that depend on the document that is being replaced.

    `same` is the expression that says whether the content is what it was. Every expression reads the document
    as it was before.
    """
    is_new = {"$eq": [{"$type": "$crawl.fetched_at"}, "missing"]}
    seen_again = {"$cond": [{"$eq": ["$crawl.fetched_at", fetched_at]}, 0, 1]}  # 0: the same write, sent again
    return {
        "first_seen_at": {"$ifNull": ["$crawl.first_seen_at", fetched_at]},
        "changed_at": {"$cond": [same, "$crawl.changed_at", fetched_at]},
        "spell": {
            "$switch": {
                "branches": [{"case": is_new, "then": 1}, {"case": same, "then": "$crawl.spell"}],
                "default": {"$add": ["$crawl.spell", 1]},
            }
        },
        "observations": {"$cond": [same, {"$add": ["$crawl.observations", seen_again]}, 1]},
    }


def first_bookkeeping(fetched_at: datetime) -> dict[str, Any]:
    """Return what `bookkeeping` comes to for a document that is new."""
    return {"first_seen_at": fetched_at, "changed_at": fetched_at, "spell": 1, "observations": 1}


def pending(*, same: Mapping[str, Any] | str, kept: bool) -> dict[str, Any]:
    """Return the expression of `history_pending`: what is there, and the spell that this write ends.

    Unless spells are `kept`, its number alone: what `history` takes for the current spell has ended all the same.
    """
    ended = OF_DOCUMENT if kept else {"spell": "$crawl.spell"}
    goes_on = {"$or": [same, {"$eq": [{"$type": "$crawl.fetched_at"}, "missing"]}]}
    waiting = {"$ifNull": [f"${PENDING}", "$$REMOVE"]}
    return {"$cond": [goes_on, waiting, {"$concatArrays": [{"$ifNull": [f"${PENDING}", []]}, [ended]]}]}


def late_spell(
    data: Mapping[str, Any], content_hash: str, fetched_at: datetime, unparsed: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a spell of one observation that arrived after a newer one had been stored."""
    return {
        "spell": f"{_LATE}{fetched_at.timestamp():.3f}-{content_hash[:8]}",
        "valid_from": fetched_at,
        "last_observed_at": fetched_at,
        "observations": 1,
        "content_hash": content_hash,
        "data": data,
        **({"unparsed": unparsed} if unparsed else {}),
    }


class History:
    """Projects spells into `history`: those that it is told of now and then, those of a crashed run at the start."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        outages: Outages,
        *,
        oldest_unstored: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._database = database
        self._outages = outages
        self.oldest_unstored = oldest_unstored
        """Returns when the oldest answer was fetched that is not stored yet; None where all are stored."""
        self._touched: dict[str, set[str]] = {}
        self._left: defaultdict[str, set[str]] = defaultdict(set)
        """What could not be projected."""
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._flushed_at = datetime.now(UTC)
        self.complete_until: datetime | None = None
        """Every document that this run has fetched before is in `history`; None where nothing is known yet."""

    def touched(self, collection: str, key: str) -> None:
        """Tell that a document was written."""
        self._touched.setdefault(collection, set()).add(key)
        if self._task is None:
            self._task = asyncio.create_task(self._now_and_then())

    async def close(self) -> None:
        """Project what is left; raise `StorageError` where some of it could not be projected."""
        self._closing.set()
        if self._task:
            await self._task
        left, self._left = self._left, defaultdict(set)
        self._touch_again(left)
        await self.flush()
        if self._left:
            raise StorageError("the history lacks what could not be projected; the next crawl catches up.")

    async def flush(self) -> None:
        """Return when every document that was touched before is projected."""
        async with self._flushing:
            now = datetime.now(UTC)
            complete_until = min(now, self.oldest_unstored() or now) - _ON_THE_WAY
            touched, self._touched = self._touched, {}
            try:
                # At once: the server has more than one core, and at the end of a crawl somebody waits.
                parts = [self._project_all(name, sorted(keys), self._flushed_at) for name, keys in touched.items()]
                results = await asyncio.gather(*parts, return_exceptions=True)
                if failed := [each for each in results if each is not None]:
                    raise failed[0]
            except BaseException:
                self._touch_again(touched)
                raise
            self.complete_until, self._flushed_at = complete_until, now

    def _touch_again(self, touched: Mapping[str, set[str]]) -> None:
        for collection, keys in touched.items():
            self._touched.setdefault(collection, set()).update(keys)

    async def catch_up(self, collections: Iterable[str], *, since: datetime | None) -> None:
        """Project what a crash has left out: spells that wait, and documents fetched `since` then."""
        now = datetime.now(UTC)
        for collection in collections:
            waiting = {f"{PENDING}.spell": {"$exists": True}}
            found = await self._outages.retry_while_away(
                partial(self._ids, collection, waiting, sort=[("_id", ASCENDING)], limit=0)
            )
            await self._project_all(collection, [each["_id"] for each in found], now)
            # Batch by batch, by the index on the age: an interrupted crawl may have written millions.
            after: tuple[datetime, str] | None = (since, "") if since is not None else None
            while after is not None:
                begin, key = after
                left = {
                    "crawl.fetched_at": {"$gte": begin},
                    "$or": [{"crawl.fetched_at": {"$gt": begin}}, {"_id": {"$gt": key}}],
                }
                order = [("crawl.fetched_at", ASCENDING), ("_id", ASCENDING)]
                found = await self._outages.retry_while_away(
                    partial(self._ids, collection, left, sort=order, limit=_BATCH)
                )
                await self._project(collection, [each["_id"] for each in found], now)
                after = (found[-1]["crawl"]["fetched_at"], found[-1]["_id"]) if found else None

    async def _ids(
        self, collection: str, condition: dict[str, Any], *, sort: list[tuple[str, int]], limit: int
    ) -> list[dict[str, Any]]:
        found = self._database[collection].find(condition, {"crawl.fetched_at": 1}, sort=sort, limit=limit)
        return await found.to_list()

    async def _now_and_then(self) -> None:
        with contextlib.suppress(StorageError):  # the documents have it all; the next start makes it good
            while not self._closing.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _INTERVAL_S)
                await self.flush()

    async def _project_all(self, collection: str, keys: list[str], new_since: datetime) -> None:
        for at in range(0, len(keys), _BATCH):
            await self._project(collection, keys[at : at + _BATCH], new_since)

    async def _project(self, collection: str, keys: list[str], new_since: datetime) -> None:
        if not keys:
            return
        source, match = self._database[collection], {"_id": {"$in": keys}}
        ended = {**match, f"{PENDING}.spell": {"$exists": True}}

        async def project(pipeline: list[dict[str, Any]]) -> None:
            await (await source.aggregate(pipeline)).to_list()

        async def merge(match: dict[str, Any], spells: Spells, when_matched: WhenMatched) -> None:
            pipeline = projection(collection, match, spells, when_matched)
            await self._outages.retry_while_away(partial(project, pipeline), swift=True)

        try:
            waiting = await self._outages.retry_while_away(
                lambda: source.find(ended, {f"{PENDING}.spell": 1, f"{PENDING}.valid_from": 1}).to_list(), swift=True
            )
            new = {**match, "crawl.changed_at": {"$gte": new_since}}
            try:
                # A spell that has begun since then is new to `history` too, and an insert costs a third of a merge.
                await merge(new, CURRENT, "fail")
            except OperationFailure as error:
                if error.code != _DUPLICATE_KEY:
                    raise
                await merge(new, CURRENT, KEEP_NEWER)
            await merge(match, others(new_since), KEEP_NEWER)
            if waiting:
                await self._end_unkept(collection, waiting)
                await self._drop_needless(collection, waiting)
                alike: defaultdict[tuple[int | str, ...], list[str]] = defaultdict(list)
                for each in waiting:
                    alike[tuple(spell["spell"] for spell in each[PENDING])].append(each["_id"])
                pulls = [
                    UpdateMany({"_id": {"$in": ids}}, [{"$set": {PENDING: without(done)}}])
                    for done, ids in alike.items()
                ]
                await self._outages.retry_while_away(lambda: source.bulk_write(pulls, ordered=False), swift=True)
        except StorageError:
            raise
        except PyMongoError as error:
            if len(keys) == 1:
                if keys[0] not in self._left[collection]:
                    logger.error(
                        "History of %s could not be brought up to date (%s): nothing is lost", collection, brief(error)
                    )
                self._left[collection].add(keys[0])
                return
            half = len(keys) // 2  # one spoiled document must not take the others with it
            await self._project(collection, keys[:half], new_since)
            await self._project(collection, keys[half:], new_since)

    async def _end_unkept(self, collection: str, waiting: list[dict[str, Any]]) -> None:
        """Mark spells as ended that were current before crawls that kept no history."""
        unkept = [
            f"{collection}:{each['_id']}:{spell['spell']}"
            for each in waiting
            for spell in each[PENDING]
            if "valid_from" not in spell
        ]
        if unkept:
            over = {"$set": {"current": False}}
            await self._outages.retry_while_away(
                lambda: self._database[HISTORY].update_many({"_id": {"$in": unkept}}, over)
            )

    async def _drop_needless(self, collection: str, waiting: list[dict[str, Any]]) -> None:
        """Remove late spells that say what a spell in order says of that time: a write that was sent again."""
        history = self._database[HISTORY]
        for each in waiting:
            for spell in each[PENDING]:
                if not isinstance(spell["spell"], str):
                    continue
                late = await self._outages.retry_while_away(
                    partial(history.find_one, {"_id": f"{collection}:{each['_id']}:{spell['spell']}"})
                )
                if late is None:
                    continue
                said = {
                    "entity": collection,
                    "key": each["_id"],
                    "content_hash": late["content_hash"],
                    "valid_from": {"$lte": late["valid_from"]},
                    "last_observed_at": {"$gte": late["valid_from"]},
                    "_id": {"$ne": late["_id"]},
                }
                if await self._outages.retry_while_away(partial(history.find_one, said, {"_id": 1})):
                    await self._outages.retry_while_away(partial(history.delete_one, {"_id": late["_id"]}))
