"""The migration of a database of xingtu-crawler 0.1.0, whose `history` had the current spells too.

Every step can be repeated: a migration that was killed goes on at the next start. One process migrates, others wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

from pymongo import ASCENDING, DeleteOne, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from xingtu_crawler.api.endpoints import SEARCH
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.items.content_hash import content_hash
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import AUTHORS, HISTORY, META, PENDING, VIDEOS, entities
from xingtu_crawler.storage.history import History
from xingtu_crawler.storage.lease import Lease
from xingtu_crawler.storage.projection import without

logger = logging.getLogger(__name__)

_PROGRESS = {"_id": "migration"}
_BATCH = 500
_AUTHORS = 50
"""Authors to rehash at once: each of them may have hundreds of spells."""
_HEAD = dict.fromkeys(("entity", "key", "spell", "current"), 1)
_OF_LATE = ("spell", "valid_from", "content_hash", "data", "unparsed")
"""The fields of a late answer that waits."""
_TELL_S = 10.0
"""Seconds between two lines about the progress."""
_POLL_S = 0.5
_LEASE_S = 60.0
_NO_SUCH = frozenset({26, 27})
"""The error codes of a namespace and of an index that do not exist."""


class Migration:
    """Brings one database from version 1 of the dataset to version 2."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], outages: Outages) -> None:
        self._database = database
        self._lease = Lease(database, outages, "migration", length=_LEASE_S)
        self._history = History(database, outages)
        self._renewed_at = self._told_at = time.monotonic()

    @asynccontextmanager
    async def only_one(self, *, is_done: Callable[[], Awaitable[bool]]) -> AsyncIterator[bool]:
        """Yield True in the one process that migrates, False in the others once `is_done` returns True."""
        waits = False
        while not await self._lease.take():
            if not waits:
                waits = True
                logger.info("Another process migrates database %s: waiting for it", self._database.name)
            if await is_done():
                yield False
                return
            await asyncio.sleep(_POLL_S)
        try:
            yield not await is_done()
        finally:
            await self._lease.give_back()

    async def run(self) -> None:
        """Migrate; raise `StorageError` where another process has taken over."""
        begun = time.monotonic()
        total = await self._database[HISTORY].estimated_document_count()
        logger.info("Migrating %s spells and the authors of database %s", f"{total:,}", self._database.name)
        for collection in entities():
            await self._move_waiting(collection)
        await self._clear_history(total)
        await self._rehash_authors(await self._database[AUTHORS].estimated_document_count())
        for collection in (AUTHORS, VIDEOS):
            await self._drop_index(collection, "crawl.fetched_at_1__id_1")
        await self._database[META].delete_one(_PROGRESS)
        logger.info("Migrated database %s in %.0f s", self._database.name, time.monotonic() - begun)

    async def _goes_on(self, what: str, done: int, total: int) -> None:
        """Renew the lease and tell the progress, now and then."""
        now = time.monotonic()
        if now - self._renewed_at > _LEASE_S / 4:
            if not await self._lease.take():
                raise StorageError(
                    f"Another process has taken over the migration of database {self._database.name}: run the same "
                    "command again."
                )
            self._renewed_at = now
        if now - self._told_at > _TELL_S:
            self._told_at = now
            logger.info("Migrated %s of %s %s", f"{done:,}", f"{total:,}", what)

    async def _move_waiting(self, collection: str) -> None:
        """Move the spells that a crash has left in their documents, under the `_id` that 0.1.0 gave them.

        `history` may have the same spell as it was before. A crawl without history has left numbers only: the spell of
        that number in `history` has ended.
        """
        source, done = self._database[collection], 0
        numbers = {f"{PENDING}.spell": {"$type": "number"}}
        while found := await source.find(numbers, {PENDING: 1}, limit=_BATCH).to_list():
            keys = [each["_id"] for each in found]
            await (await source.aggregate(_into_history_of_0_1(collection, keys))).to_list()
            ended = [
                f"{collection}:{each['_id']}:{spell['spell']}"
                for each in found
                for spell in each[PENDING]
                if "valid_from" not in spell
            ]
            await self._database[HISTORY].update_many({"_id": {"$in": ended}}, {"$unset": {"current": ""}})
            pulls = []
            for each in found:
                spells = [spell["spell"] for spell in each[PENDING] if not isinstance(spell["spell"], str)]
                pulls.append(UpdateOne({"_id": each["_id"]}, [{"$set": {PENDING: without(spells)}}]))
            await source.bulk_write(pulls, ordered=False)
            done += len(found)
            await self._goes_on(f"documents of {collection} whose spells wait", done, done)

    async def _clear_history(self, total: int) -> None:
        """Remove current spells from `history`, and send late answers to their documents."""
        history = self._database[HISTORY]
        progress = await self._database[META].find_one(_PROGRESS) or {}
        after, done = progress.get("history", ""), progress.get("spells", 0)
        order = [("_id", ASCENDING)]
        while found := await history.find({"_id": {"$gt": after}}, _HEAD, sort=order, limit=_BATCH).to_list():
            await self._clear_spells([each for each in found if each.get("current") or isinstance(each["spell"], str)])
            after, done = found[-1]["_id"], done + len(found)
            await self._database[META].update_one(_PROGRESS, {"$set": {"history": after, "spells": done}}, upsert=True)
            await self._goes_on("spells", done, total)

    async def _clear_spells(self, found: list[dict[str, Any]]) -> None:
        by_entity: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for each in found:
            by_entity[each["entity"]].append(each)
        writes: list[DeleteOne | UpdateOne] = []
        for entity, spells in by_entity.items():
            keys = {"_id": {"$in": [each["key"] for each in spells]}}
            documents = await self._database[entity].find(keys, {"crawl.spell": 1}).to_list()
            numbers = {each["_id"]: each["crawl"]["spell"] for each in documents}
            for each in spells:
                if isinstance(each["spell"], str):
                    if each["key"] not in numbers:
                        continue
                    await self._send_late(entity, each)
                    writes.append(DeleteOne({"_id": each["_id"]}))
                elif numbers.get(each["key"]) == each["spell"]:  # the document has it
                    writes.append(DeleteOne({"_id": each["_id"]}))
                else:
                    writes.append(UpdateOne({"_id": each["_id"]}, {"$unset": {"current": ""}}))
        if writes:
            await self._database[HISTORY].bulk_write(writes, ordered=False)

    async def _send_late(self, entity: str, head: dict[str, Any]) -> None:
        spell = await self._database[HISTORY].find_one({"_id": head["_id"]})
        if spell is not None:
            answer = {name: spell[name] for name in _OF_LATE if name in spell}
            await self._database[entity].update_one({"_id": head["key"]}, {"$addToSet": {PENDING: answer}})

    async def _rehash_authors(self, total: int) -> None:
        """Compute the hashes of authors anew, without `items`; spells that differed in nothing else become one."""
        authors, meta = self._database[AUTHORS], self._database[META]
        progress = await meta.find_one(_PROGRESS) or {}
        after, done = progress.get("authors", ""), progress.get("rehashed", 0)
        order = [("_id", ASCENDING)]
        while found := await authors.find({"_id": {"$gt": after}}, sort=order, limit=_AUTHORS).to_list():
            await self._rehash(found)
            after, done = found[-1]["_id"], done + len(found)
            await meta.update_one(_PROGRESS, {"$set": {"authors": after, "rehashed": done}}, upsert=True)
            await self._goes_on("authors", done, total)

    async def _rehash(self, authors: list[dict[str, Any]]) -> None:
        hashed: defaultdict[str, list[tuple[Any, Any, str]]] = defaultdict(list)
        spells = []
        of_authors = {"entity": AUTHORS, "key": {"$in": [each["_id"] for each in authors]}}
        async for spell in self._database[HISTORY].find(of_authors):
            content = _hash_of(spell, spell.get("unparsed"))
            hashed[spell["key"]].append((spell["valid_from"], spell["last_observed_at"], content))
            spells.append(UpdateOne({"_id": spell["_id"]}, {"$set": {"content_hash": content}}))
        if spells:
            await self._database[HISTORY].bulk_write(spells, ordered=False)
        documents = []
        for author in authors:
            crawl, content = author["crawl"], _hash_of(author, author["crawl"].get("unparsed"))
            hashed[author["_id"]].append((crawl["changed_at"], crawl["fetched_at"], content))
            waiting = [
                {**each, "content_hash": _hash_of(each, each.get("unparsed"))} for each in author.get(PENDING, ())
            ]
            changed = {"crawl.content_hash": content, **({PENDING: waiting} if waiting else {})}
            documents.append(UpdateOne({"_id": author["_id"]}, {"$set": changed}))
        await self._database[AUTHORS].bulk_write(documents, ordered=False)
        overlapping = [
            key
            for key, of_author in hashed.items()
            if any(before[1] >= after[0] or before[2] == after[2] for before, after in pairwise(sorted(of_author)))
        ]
        if overlapping:
            # Not by their numbers: a migration that was killed may have lowered only some of them.
            await self._history.rearrange(AUTHORS, overlapping, gaps=False)

    async def _drop_index(self, collection: str, name: str) -> None:
        try:
            await self._database[collection].drop_index(name)
        except OperationFailure as error:
            if error.code not in _NO_SUCH:
                raise


def _hash_of(shown: Mapping[str, Any], unparsed: Mapping[str, Any] | None) -> str:
    """Return the hash of an author's content, of a document or a spell."""
    of_data = {path: misfit for path, misfit in (unparsed or {}).items() if not path.startswith("crawl.")}
    return content_hash(SEARCH.name, shown["data"], of_data)


def _into_history_of_0_1(collection: str, keys: list[str]) -> list[dict[str, Any]]:
    """Return the pipeline that moves spells as version 0.1.0 did: `<entity>:<key>:<spell>` is the `_id`."""
    is_kept = {"$and": [{"$isNumber": "$$this.spell"}, {"$ne": [{"$type": "$$this.valid_from"}, "missing"]}]}
    own = {
        "_id": {"$concat": [f"{collection}:", "$_id", ":", {"$toString": "$spells.spell"}]},
        "entity": collection,
        "key": "$_id",
        "star_id": "$star_id",
    }
    return [
        {"$match": {"_id": {"$in": keys}}},
        {"$project": {"star_id": 1, "spells": {"$filter": {"input": f"${PENDING}", "cond": is_kept}}}},
        {"$unwind": "$spells"},
        {"$replaceWith": {"$mergeObjects": ["$spells", own]}},
        {"$merge": {"into": HISTORY, "on": "_id", "whenMatched": "replace", "whenNotMatched": "insert"}},
    ]
