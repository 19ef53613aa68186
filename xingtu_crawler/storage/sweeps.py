"""Sweeps: one document per pass over one search query, brought forward as its pages become durable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.items.answers import Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.items.storable import Notes, clean
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import FAILURES, SEARCH_HITS, SWEEPS
from xingtu_crawler.storage.documents import page_failures
from xingtu_crawler.storage.writer import BulkWriter, Write

RESULT_CAP = 10_000
"""A `total_count` of this size means "at least so many": the API counts no further."""


@dataclass(frozen=True, slots=True)
class OpenSweep:
    """A pass with which a crawl goes on: at which page, and which pages were left out."""

    sweep: str
    next_page: int | None
    """None where the search has no further page."""
    holes: tuple[int, ...]
    total_count: int | None
    stop_reason: str | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class EarlierSweep:
    """A pass over the same query that knows how many authors the API counts."""

    sweep: str
    started_at: datetime
    total_count: int


class Sweeps:
    """The sweeps of one database; writes go the way of all writes and wait for a MongoDB that is away."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], writer: BulkWriter, outages: Outages) -> None:
        self._database = database
        self._writer = writer
        self._outages = outages

    async def find_open(
        self, query_key: str, *, newer_than: datetime, limits: Mapping[str, int | None] | None = None
    ) -> OpenSweep | None:
        """Return the newest sweep of a query if a crawl goes on with it, None if it begins a new one.

        It goes on with what was interrupted, whatever its age. With a sweep that was asked to its end it goes on if
        that began since `newer_than` (UTC) and either something of it failed, or it ended at a limit that was typed
        and is larger now. `limits`: what is typed now, by name; None for no limit.
        """
        found = await self._outages.retry_while_away(
            lambda: self._database[SWEEPS].find_one({"query_key": query_key}, sort=[("started_at", DESCENDING)])
        )
        if found is None or (found["finished_at"] is not None and found["started_at"] < newer_than):
            return None
        if found["state"] == "finished" and not _is_larger(limits or {}, than=found.get("limits") or {}):
            return None
        return OpenSweep(
            found["_id"],
            found["next_page"],
            tuple(sorted(found["holes"])),
            found["total_count"],
            found["stop_reason"],
            found["started_at"],
        )

    async def find_earlier(self, query_key: str, *, than: str | None) -> EarlierSweep | None:
        """Return the newest sweep of a query, but for `than`, of which the API has said how many authors there are."""
        found = await self._outages.retry_while_away(
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
        hits = await self._outages.retry_while_away(
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
        """Record that a pass over a query begins; what earlier ones did not get is of no interest any more."""
        await self._forget_failures(f"{query_key}-")
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
                    "limits": None,
                    "next_page": 1,
                    "pages_read": 0,
                    "pages": {},
                    "holes": [],
                    "authors": 0,
                    "total_count": None,
                    "capped": None,
                    "fewer": None,
                }
            },
            upsert=True,
        )

    async def go_on(self, sweep: str) -> None:
        """Record that the paging of a sweep, which had ended, goes on."""
        ended = {"state": "open", "finished_at": None, "stop_reason": None, "limits": None}
        await self._update(sweep, {"$set": ended})

    async def page_read(
        self,
        sweep: str,
        number: int,
        page: SearchPage,
        *,
        request_id: str | None,
        fetched_at: datetime,
        stop: Stop | None = None,
    ) -> None:
        """Record that a page was read, and why it is the last; to be called when everything on it is stored."""
        said = clean(page.raw_meta, "", notes := Notes())
        record = {"authors": len(page.authors), "request_id": request_id, "fetched_at": fetched_at, "said": said}
        if notes.unparsed:
            record["unparsed"] = notes.unparsed
        fields: dict[str, Any] = {
            "pages": {"$mergeObjects": ["$pages", {"$literal": {str(number): record}}]},
            "pages_read": {"$add": ["$pages_read", 1]},
            **_settled(number, {"$setDifference": ["$holes", [number]]}, stop),
        }
        if page.total_count is not None:
            fields |= {"total_count": page.total_count, "capped": page.total_count >= RESULT_CAP}
        # Idempotent: the second time, the page is there.
        await self._update(sweep, [{"$set": fields}], unless=_has(number))

    async def page_missed(self, sweep: str, number: int, *, hole: bool = True, stop: Stop | None = None) -> None:
        """Record a page that could not be had, and why it is the last; `hole`: it is to be tried again."""
        holes = {"$setUnion" if hole else "$setDifference": ["$holes", [number]]}
        # A page that was read may be missed once more, where a crawl was killed in between: it is no hole.
        await self._update(sweep, [{"$set": _settled(number, holes, stop)}], unless=_has(number))

    async def have_holes(self, sweeps: Sequence[str]) -> bool:
        """Tell whether a page of one of these sweeps is missing."""
        found = await self._outages.retry_while_away(
            lambda: self._database[SWEEPS].find_one({"_id": {"$in": list(sweeps)}, "holes": {"$ne": []}}, {"_id": 1})
        )
        return found is not None

    async def has_page(self, sweep: str, number: int) -> bool:
        """Tell whether a page has been read."""
        found = await self._outages.retry_while_away(
            lambda: self._database[SWEEPS].find_one({"_id": sweep, **_has(number)}, {"_id": 1})
        )
        return found is not None

    async def finish(
        self,
        sweep: str,
        *,
        stop: Stop,
        authors: int,
        fewer: int | None,
        finished_at: datetime,
        complete: bool = True,
        limits: Mapping[str, int | None] | None = None,
    ) -> None:
        """Record that everything of a sweep has been asked: `authors` distinct ones, `fewer` than the API counts.

        `complete`: pages and details are all there; else the sweep stays open. `limits`: those that were typed, by
        name, where one of them ended the crawl.
        """
        if complete:
            await self._forget_failures(f"{sweep}:", {"terminal": False})
        ended = {
            "state": "finished" if complete else "open",
            "stop_reason": stop.reason,
            "limits": limits,
            "authors": authors,
            "fewer": fewer,
            "finished_at": finished_at,
        }
        await self._update(sweep, {"$set": ended})

    async def _forget_failures(self, of: str, condition: dict[str, Any] | None = None) -> None:
        """Remove the failures of the pages of all sweeps whose name, with what follows it, begins with `of`."""
        where = {"_id": page_failures(of), **(condition or {})}
        await self._outages.retry_while_away(lambda: self._database[FAILURES].delete_many(where))

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


def _settled(number: int, holes: dict[str, Any], stop: Stop | None) -> dict[str, Any]:
    """Return the fields that say how far paging has come when page `number` is settled."""
    if stop is None:
        # None stays none: a hole was tried again.
        behind = {"$cond": [{"$isNumber": "$next_page"}, {"$max": ["$next_page", number + 1]}, None]}
        return {"holes": holes, "next_page": behind}
    if stop.next_page is not None:  # from there on everything is asked again
        holes = {"$filter": {"input": holes, "cond": {"$lt": ["$$this", stop.next_page]}}}
    return {"holes": holes, "next_page": stop.next_page, "stop_reason": stop.reason}


def _is_larger(limits: Mapping[str, int | None], *, than: Mapping[str, int | None]) -> bool:
    """Tell whether one of the limits is larger than it was, or gone."""
    return any(
        before is not None and ((now := limits.get(name)) is None or now > before) for name, before in than.items()
    )
