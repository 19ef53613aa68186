"""Sweeps: one document per pass over one search query, brought forward as its pages become durable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.items.storable import Notes, clean
from xingtu_crawler.storage.collections import SEARCH_HITS, SWEEPS
from xingtu_crawler.storage.patience import Patience
from xingtu_crawler.storage.writer import BulkWriter, Write

RESULT_CAP = 10_000
"""A `total_count` of this size means "at least so many": the API counts no further."""


@dataclass(frozen=True, slots=True)
class OpenSweep:
    """A pass that was begun and not finished: where to go on, and which pages were left out."""

    sweep: str
    next_page: int | None
    """None where every page has been asked."""
    holes: tuple[int, ...]
    total_count: int | None
    pages_read: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class EarlierSweep:
    """A pass over the same query that knows how many authors the API counts."""

    sweep: str
    started_at: datetime
    total_count: int


class Sweeps:
    """The sweeps of one database; writes go the way of all writes and wait for a MongoDB that is away."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], writer: BulkWriter, patience: Patience) -> None:
        self._database = database
        self._writer = writer
        self._patience = patience

    async def find_open(self, query_key: str) -> OpenSweep | None:
        """Return the newest sweep of a query if it is unfinished."""
        found = await self._patience.outlast(
            lambda: self._database[SWEEPS].find_one({"query_key": query_key}, sort=[("started_at", DESCENDING)])
        )
        if found is None or found["state"] == "finished":
            return None
        return OpenSweep(
            found["_id"],
            found["next_page"],
            tuple(sorted(found["holes"])),
            found["total_count"],
            found["pages_read"],
            found["started_at"],
        )

    async def find_earlier(self, query_key: str, *, than: str | None) -> EarlierSweep | None:
        """Return the newest sweep of a query, but for `than`, of which the API has said how many authors there are."""
        found = await self._patience.outlast(
            lambda: self._database[SWEEPS].find_one(
                {"query_key": query_key, "_id": {"$ne": than}, "total_count": {"$ne": None}},
                {"started_at": 1, "total_count": 1},
                sort=[("started_at", DESCENDING)],
            )
        )
        return None if found is None else EarlierSweep(found["_id"], found["started_at"], found["total_count"])

    async def star_ids(self, sweep: str, *, before_page: int | None = None) -> list[str]:
        """Return the distinct authors of a sweep, in the order of their first places; 10,000 at most.

        `before_page`: those on the pages before this one only. The page on which a crawl was killed may be stored
        in part, and its authors are found when it is read again.
        """
        condition: dict[str, Any] = {"sweep": sweep}
        if before_page is not None:
            condition["page"] = {"$lt": before_page}
        hits = await self._patience.outlast(
            lambda: (
                self._database[SEARCH_HITS]
                .find(condition, {"star_id": 1}, sort=[("page", ASCENDING), ("rank", ASCENDING)])
                .to_list()
            )
        )
        return list(dict.fromkeys(hit["star_id"] for hit in hits))

    async def start(
        self, sweep: str, *, query_key: str, filters: Mapping[str, str], run_id: str, started_at: datetime
    ) -> None:
        """Record that a pass over a query begins."""
        await self._update(
            sweep,
            {
                "$setOnInsert": {
                    "query_key": query_key,
                    "filters": dict(filters),
                    "run_id": run_id,
                    "state": "open",
                    "started_at": started_at,
                    "finished_at": None,
                    "stop_reason": None,
                    "next_page": 1,
                    "pages_read": 0,
                    "pages": {},
                    "holes": [],
                    "authors": 0,
                    "total_count": None,
                    "capped": None,
                }
            },
            upsert=True,
        )

    async def page_read(
        self, sweep: str, number: int, page: SearchPage, *, request_id: str | None, fetched_at: datetime
    ) -> None:
        """Record that a page was read; to be called when everything on it is stored."""
        said = clean(page.raw_meta, "", notes := Notes())
        record = {"authors": len(page.authors), "request_id": request_id, "fetched_at": fetched_at, "said": said}
        if notes.unparsed:
            record["unparsed"] = notes.unparsed
        fields: dict[str, Any] = {
            "pages": {"$mergeObjects": ["$pages", {"$literal": {str(number): record}}]},
            "pages_read": {"$add": ["$pages_read", 1]},
            "holes": {"$setDifference": ["$holes", [number]]},
            "next_page": _behind(number),
        }
        if page.total_count is not None:
            fields |= {"total_count": page.total_count, "capped": page.total_count >= RESULT_CAP}
        # Idempotent: the second time, the page is there.
        await self._update(sweep, [{"$set": fields}], unless=_has(number))

    async def page_missed(self, sweep: str, number: int) -> None:
        """Record a page that could not be had; one that has been read meanwhile stays so."""
        holes = {"$setUnion": ["$holes", [number]]}
        await self._update(sweep, [{"$set": {"holes": holes, "next_page": _behind(number)}}], unless=_has(number))

    async def has_page(self, sweep: str, number: int) -> bool:
        """Tell whether a page has been read."""
        found = await self._patience.outlast(
            lambda: self._database[SWEEPS].find_one({"_id": sweep, **_has(number)}, {"_id": 1})
        )
        return found is not None

    async def pages_done(self, sweep: str, stop_reason: str) -> None:
        """Record that no further page will be asked; details may still be on their way."""
        await self._update(sweep, {"$set": {"next_page": None, "stop_reason": stop_reason}})

    async def finish(self, sweep: str, *, authors: int, finished_at: datetime) -> None:
        """Record that a sweep is complete: `authors` distinct ones, their details included."""
        await self._update(sweep, {"$set": {"state": "finished", "authors": authors, "finished_at": finished_at}})

    async def _update(
        self,
        sweep: str,
        update: dict[str, Any] | list[dict[str, Any]],
        *,
        upsert: bool = False,
        unless: dict[str, Any] | None = None,
    ) -> None:
        condition = {"_id": sweep} if unless is None else {"_id": sweep, "$nor": [unless]}
        await self._writer.insist([Write(SWEEPS, UpdateOne(condition, update, upsert=upsert))])


def _has(number: int) -> dict[str, Any]:
    return {f"pages.{number}": {"$exists": True}}


def _behind(number: int) -> dict[str, Any]:
    """Return the page to go on with when page `number` is settled; none stays none: a hole was tried again."""
    return {"$cond": [{"$isNumber": "$next_page"}, {"$max": ["$next_page", number + 1]}, None]}
