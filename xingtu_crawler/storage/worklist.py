"""Worklists that the dataset itself provides: missing, failed and stale details.

They are streamed in batches, so that millions of authors need no more memory than one batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import bson
from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.claims import DetailKey
from xingtu_crawler.storage.collections import AUTHORS, FAILURES, RUNS
from xingtu_crawler.storage.documents import detail_id
from xingtu_crawler.storage.runs import DEAD_AFTER

_LONG_AGO = datetime.fromtimestamp(0, UTC)
_BATCH = 2000
"""Number of documents per batch; the ids of one batch fit into one query."""
_END = "~"
"""Behind every key; the keys of a probe that another crawl makes at this moment follow it."""
_RANGE = 10_000
"""Number of keys that the server sends at once when a range of an index is read: a range may hold any number."""


class Worklist:
    """Streams the work of one database. Each batch is a query of its own, so that an outage ends no stream."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], outages: Outages) -> None:
        self._database = database
        self._outages = outages

    async def missing(self, platforms: Sequence[str], endpoints: Sequence[str]) -> AsyncIterator[list[str]]:
        """Yield the authors in `authors` who lack a document of any of these endpoints and platforms.

        Empty batches are yielded too, so that the caller can stop between them.
        """
        wanted = [(DETAILS[endpoint].collection, platform) for endpoint in endpoints for platform in platforms]
        after = ""
        while authors := await self._read(
            AUTHORS, {"_id": {"$gt": after, "$lt": _END}}, {"_id": 1}, [("_id", ASCENDING)]
        ):
            star_ids = [author["_id"] for author in authors]
            after = star_ids[-1]
            stored = await asyncio.gather(*(self._stored(*each, star_ids) for each in wanted))
            complete = set.intersection(*stored)
            yield [star_id for star_id in star_ids if star_id not in complete]

    async def failed(
        self, platforms: Sequence[str], endpoints: Sequence[str], *, terminal: bool
    ) -> AsyncIterator[list[DetailKey]]:
        """Yield the details in `failures`; `terminal` includes those that the API has no data for."""
        condition: dict[str, Any] = {"endpoint": {"$in": list(endpoints)}, "platform": {"$in": list(platforms)}}
        if not terminal:
            condition["terminal"] = False
        fields = {"endpoint": 1, "star_id": 1, "platform": 1}
        after = ""
        while found := await self._read(
            FAILURES, {**condition, "_id": {"$gt": after, "$lt": _END}}, fields, [("_id", ASCENDING)]
        ):
            yield [DetailKey(each["endpoint"], each["star_id"], each["platform"]) for each in found]
            after = found[-1]["_id"]

    async def stale(
        self, platforms: Sequence[str], endpoints: Sequence[str], *, older_than: datetime
    ) -> AsyncIterator[list[DetailKey]]:
        """Yield the details that were fetched by runs that started before `older_than` (UTC), endpoint by endpoint."""
        until = await self._end_of_runs(older_than)
        for endpoint in endpoints:
            async for keys in self._fetched(endpoint, _LONG_AGO, older_than, {}):
                yield [DetailKey(endpoint, star_id, name) for star_id, name in keys if name in platforms]
            if until is not None:
                of_older_run = {"crawl.run_started_at": {"$lt": older_than}}
                async for keys in self._fetched(endpoint, older_than, until, of_older_run):
                    yield [DetailKey(endpoint, star_id, name) for star_id, name in keys if name in platforms]

    async def _end_of_runs(self, started_before: datetime) -> datetime | None:
        """Return when the last run ended that started before that time and ended after it; None if there is none."""
        condition = {"started_at": {"$lt": started_before}, "updated_at": {"$gte": started_before}}
        found = await self._read(RUNS, condition, {"updated_at": 1}, [("updated_at", DESCENDING)])
        # A run that crashed may have stored answers after its last sign of life.
        return found[0]["updated_at"] + DEAD_AFTER if found else None

    async def _fetched(
        self, endpoint: str, begin: datetime, end: datetime, condition: dict[str, Any]
    ) -> AsyncIterator[list[list[str]]]:
        """Yield star id and platform of the details that were fetched from `begin` to before `end`, in this order."""
        order = [("crawl.fetched_at", ASCENDING), ("_id", ASCENDING)]
        # The position in the index where the last batch ended; a detail refreshed meanwhile moves behind it.
        since, after = begin, ""
        while found := await self._read(
            DETAILS[endpoint].collection,
            {
                "crawl.fetched_at": {"$gte": since, "$lt": end},
                "$or": [{"crawl.fetched_at": {"$gt": since}}, {"_id": {"$gt": after}}],
                **condition,
            },
            {"crawl.fetched_at": 1},
            order,
        ):
            yield [each["_id"].split(":") for each in found if each["_id"] < _END]
            since, after = found[-1]["crawl"]["fetched_at"], found[-1]["_id"]

    async def _stored(self, collection: str, platform: str, star_ids: Sequence[str]) -> set[str]:
        """Return those of these authors who have a document.

        Reads the index from the first of their keys to the last, which costs a fraction of looking up each key.
        """
        star_id_of = {detail_id(star_id, platform): star_id for star_id in star_ids}
        within = {"_id": {"$gte": min(star_id_of), "$lte": max(star_id_of)}}

        async def read() -> set[str]:
            found: set[str] = set()
            async for batch in self._database[collection].find_raw_batches(within, {"_id": 1}, batch_size=_RANGE):
                documents = bson.decode_all(cast("bytes", batch))  # PyMongo's type of a batch is a document
                keys = (document["_id"] for document in documents)
                found.update(star_id_of[key] for key in keys if key in star_id_of)
            return found

        return await self._outages.retry_while_away(read)

    async def _read(
        self, collection: str, condition: dict[str, Any], fields: dict[str, int], order: list[tuple[str, int]]
    ) -> list[dict[str, Any]]:
        return await self._outages.retry_while_away(
            lambda: (
                self._database[collection]
                .find(condition, fields, sort=order, limit=_BATCH, batch_size=_BATCH)
                .to_list()
            )
        )
