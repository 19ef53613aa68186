"""History: a slowly changing dimension, type 2. `history` has one document per spell that has ended.

A spell is a time in which the content of an entity stayed the same; the current spell is the entity's document. An
upsert decides in one atomic step whether the spell goes on or a new one begins, and keeps the spell that it ends in the
document (`history_pending`). A late answer, stored after a newer one, waits there too. From there this module moves
both into `history`, many at a time. Every step can be repeated, and an index finds what waits, so that a crash or a
failure loses nothing: the next flush, of any crawl, goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from pymongo import UpdateMany
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.outages import Outages, brief
from xingtu_crawler.storage import late
from xingtu_crawler.storage.collections import HISTORY, PENDING, entities
from xingtu_crawler.storage.lease import Lease
from xingtu_crawler.storage.projection import into_history, without

logger = logging.getLogger(__name__)

INTERVAL_S = 2.0
"""Seconds between two flushes of a crawl."""
_BATCH = 500


class History:
    """Moves ended spells and late answers from the documents of one database into `history`."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], outages: Outages) -> None:
        self._database = database
        self._outages = outages
        self._lease = Lease(database, outages, "late answers")
        self._stuck: defaultdict[str, set[str]] = defaultdict(set)
        """Documents whose spells MongoDB refuses to move, by collection."""
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._flushing = asyncio.Lock()

    def start(self) -> None:
        """Flush from now on every few seconds."""
        if self._task is None:
            self._task = asyncio.create_task(self._flush_regularly())

    async def close(self) -> None:
        """Flush a last time; raise `StorageError` where MongoDB refuses to move a spell."""
        self._closing.set()
        if self._task:
            await self._task
        self._stuck.clear()
        await self.flush()
        if any(self._stuck.values()):
            raise StorageError("Some spells could not be moved into history: the next crawl tries again.")

    async def flush(self) -> None:
        """Return when everything that waited is in `history`, except what MongoDB refuses."""
        async with self._flushing:
            # Together: the server has more than one core, and at the end of a crawl a user waits.
            results = await asyncio.gather(*(self._move_all(name) for name in entities()), return_exceptions=True)
            for error in results:
                if error is not None:
                    raise error

    async def _flush_regularly(self) -> None:
        with contextlib.suppress(StorageError):  # nothing is lost: the last flush, or the next crawl, goes on
            while not self._closing.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), INTERVAL_S)
                await self.flush()

    async def _move_all(self, collection: str) -> None:
        while waiting := await self._waiting(collection):
            await self._move(collection, waiting)

    async def _waiting(self, collection: str) -> dict[str, list[int | str]]:
        """Return by `_id` what waits in some documents: the numbers of spells, and the names of late answers."""
        condition: dict[str, Any] = {f"{PENDING}.spell": {"$exists": True}}
        if stuck := self._stuck[collection]:
            condition["_id"] = {"$nin": sorted(stuck)}
        found = await self._outages.retry_while_away(
            lambda: self._database[collection].find(condition, {f"{PENDING}.spell": 1}, limit=_BATCH).to_list(),
            swift=True,
        )
        return {each["_id"]: [spell["spell"] for spell in each[PENDING]] for each in found}

    async def _move(self, collection: str, waiting: dict[str, list[int | str]]) -> None:
        """Move what waits in these documents; what MongoDB refuses does not take the others with it."""
        with_late = [key for key, spells in waiting.items() if any(isinstance(spell, str) for spell in spells)]
        try:
            await self._move_ended(collection, {key: waiting[key] for key in waiting.keys() - with_late})
            if with_late:
                await self.rearrange(collection, with_late)
        except StorageError:
            raise
        except PyMongoError as error:
            if len(waiting) == 1:
                (key,) = waiting
                self._stuck[collection].add(key)
                logger.error("Cannot move a spell of %s into history (%s): it stays there", collection, brief(error))
                return
            half = len(waiting) // 2
            items = list(waiting.items())
            await self._move(collection, dict(items[:half]))
            await self._move(collection, dict(items[half:]))

    async def _move_ended(self, collection: str, waiting: dict[str, list[int | str]]) -> None:
        if not waiting:
            return
        source = self._database[collection]
        pipeline = into_history(collection, {"_id": {"$in": list(waiting)}})

        async def copy() -> None:
            await (await source.aggregate(pipeline)).to_list()

        await self._outages.retry_while_away(copy, swift=True)
        # Exactly what was read: another crawl may have ended more spells meanwhile.
        alike: defaultdict[tuple[int | str, ...], list[str]] = defaultdict(list)
        for key, spells in waiting.items():
            alike[tuple(spells)].append(key)
        pulls = [
            UpdateMany({"_id": {"$in": keys}}, [{"$set": {PENDING: without(spells)}}]) for spells, keys in alike.items()
        ]
        await self._outages.retry_while_away(lambda: source.bulk_write(pulls, ordered=False), swift=True)

    async def rearrange(self, collection: str, keys: Sequence[str], *, gaps: bool = True) -> None:
        """Put the late answers of these entities where they belong in time, and make one of equal consecutive spells.

        One crawl at a time does that: two of them could each rely on what the other one is about to remove. A document
        that another crawl changes meanwhile still waits, and is found again.
        """
        async with self._lease.held():
            # First the documents: spells move from there into `history`, and never back.
            documents = await self._read(collection, {"_id": {"$in": list(keys)}})
            past: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
            for spell in await self._read(HISTORY, {"entity": collection, "key": {"$in": list(keys)}}):
                past[spell["key"]].append(spell)
            plans = [late.rearrange(collection, each, past[each["_id"]], gaps=gaps) for each in documents]
            # In this order: an observation is removed only where it has been written elsewhere.
            await self._write(HISTORY, [each for plan in plans for each in plan.inserts])
            await self._write(HISTORY, [each for plan in plans for each in plan.replacements])
            await self._write(collection, [plan.update for plan in plans])
            now = {each["_id"]: each for each in await self._read(collection, {"_id": {"$in": list(keys)}})}
            done = [plan for plan in plans if plan.key in now and plan.is_done(now[plan.key])]
            await self._write(HISTORY, [each for plan in done for each in plan.removals])
            await self._write(collection, [plan.pull for plan in done])

    async def _read(self, collection: str, condition: dict[str, Any]) -> list[dict[str, Any]]:
        return await self._outages.retry_while_away(lambda: self._database[collection].find(condition).to_list())

    async def _write(self, collection: str, operations: list[Any]) -> None:
        if operations:
            write = partial(self._database[collection].bulk_write, operations, ordered=False)
            await self._outages.retry_while_away(write)
