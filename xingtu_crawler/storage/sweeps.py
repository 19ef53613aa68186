"""Sweeps: one document per pass over one search query. It advances as the pages of the search are stored.

    state        finished_at   what happened                        what the next crawl of the query does
    open         None          it is running, or was interrupted    continues it within `max_age`, at least a day
    open         a time        it ended, and something is missing   continues it within `max_age`, at least a day
    finished     a time        it ended at a limit of the user      continues it within `max_age` if the limit is larger
    finished     a time        it ended complete                    starts a new sweep
    incomplete   a time        another sweep started after it       starts a new sweep

Paging continues at `next_page` (None: the search has no further page) and reads the pages in `holes` again. Each page
is recorded in one write, after everything on it is stored, together with the reason if it is the last one. A crawl that
is killed in between therefore reads that page again, and every method may be repeated.
"""

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
from xingtu_crawler.storage.bounds import bounded, short
from xingtu_crawler.storage.collections import FAILURES, SEARCH_HITS, SWEEPS
from xingtu_crawler.storage.documents import page_failures
from xingtu_crawler.storage.writer import BulkWriter, Write

RESULT_CAP = 10_000
"""The API counts no further: a `total_count` of this size means this many authors or more."""
LIMITS = frozenset({"max_pages", "max_authors"})
"""The stop reasons that are limits of the user's."""
_SAID_BYTES, _UNPARSED_BYTES = 700, 300
"""Maximum size of what a page says beside its authors. 10,000 pages of one author each still fit into 16 MB."""


@dataclass(frozen=True, slots=True)
class OpenSweep:
    """A sweep that a crawl continues."""

    sweep: str
    next_page: int | None
    """None if the search has no further page."""
    holes: tuple[int, ...]
    """Pages before `next_page` that are missing, in ascending order."""
    total_count: int | None
    stop_reason: str | None
    started_at: datetime
    page_size: int = 0
    """Largest number of authors on a page; 0 if no page is read."""


@dataclass(frozen=True, slots=True)
class EarlierSweep:
    """An earlier sweep of the same query, with the number of authors that the API reported."""

    sweep: str
    started_at: datetime
    total_count: int


@dataclass(frozen=True, slots=True)
class FinishedSweep:
    """A sweep that ended with nothing missing."""

    sweep: str
    started_at: datetime
    authors: int
    """Number of distinct authors found."""
    total_count: int | None


class Sweeps:
    """The sweeps of one database; `search_cap` is the maximum number of authors that a search shows."""

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        writer: BulkWriter,
        outages: Outages,
        *,
        search_cap: int = RESULT_CAP,
    ) -> None:
        self.search_cap = search_cap
        self._database = database
        self._writer = writer
        self._outages = outages

    async def find_open(
        self,
        query_key: str,
        *,
        newer_than: datetime,
        open_since: datetime,
        limits: Mapping[str, int | None] | None = None,
    ) -> OpenSweep | None:
        """Return the newest sweep of a query if a crawl continues it, None if it starts a new one.

        Args:
            query_key: the key of the query.
            newer_than: a sweep that ended at a limit is continued only if it started since then (UTC).
            open_since: an open sweep is continued only if it started since then (UTC).
            limits: the limits of this crawl by name; None for no limit.
        """
        found = await self._outages.retry_while_away(
            lambda: self._database[SWEEPS].find_one({"query_key": query_key}, sort=[("started_at", DESCENDING)])
        )
        if found is None or found["state"] == "incomplete":
            return None
        if found["started_at"] < (open_since if found["state"] == "open" else newer_than):
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
            max((page["authors"] for page in (found.get("pages") or {}).values()), default=0),
        )

    async def find_earlier(self, query_key: str, *, than: str | None) -> EarlierSweep | None:
        """Return the newest sweep of a query other than `than` for which the API has reported a `total_count`."""
        found = await self._outages.retry_while_away(
            lambda: self._database[SWEEPS].find_one(
                {"query_key": query_key, "_id": {"$ne": than}, "total_count": {"$ne": None}},
                {"started_at": 1, "total_count": 1},
                sort=[("started_at", DESCENDING)],
            )
        )
        return None if found is None else EarlierSweep(found["_id"], found["started_at"], found["total_count"])

    async def find_finished(self, query_key: str, *, than: str, whole: bool) -> FinishedSweep | None:
        """Return the newest finished sweep of a query other than `than`; `whole`: one that no limit has ended."""
        condition: dict[str, Any] = {"query_key": query_key, "_id": {"$ne": than}, "state": "finished"}
        if whole:
            condition["stop_reason"] = {"$nin": sorted(LIMITS)}
        found = await self._outages.retry_while_away(
            lambda: self._database[SWEEPS].find_one(
                condition, {"started_at": 1, "authors": 1, "total_count": 1}, sort=[("started_at", DESCENDING)]
            )
        )
        if found is None:
            return None
        return FinishedSweep(found["_id"], found["started_at"], found["authors"], found["total_count"])

    async def star_ids(self, sweep: str, *, before_page: int | None = None) -> list[str]:
        """Return the distinct authors of a sweep (10,000 at most), in the order of their first places.

        `before_page` leaves out this page and all later ones: a killed crawl may have stored a part of that page only,
        and reading it again finds its authors.
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
        """Record that a sweep starts; close the open ones of the query as incomplete, and remove their failed pages."""
        await self._forget_failures(f"{query_key}-")
        earlier = {"query_key": query_key, "state": "open", "started_at": {"$lt": started_at}, "_id": {"$ne": sweep}}
        closed = [{"$set": {"state": "incomplete", "finished_at": {"$ifNull": ["$finished_at", started_at]}}}]
        await self._outages.retry_while_away(lambda: self._database[SWEEPS].update_many(earlier, closed))
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

    async def resume(self, sweep: str) -> None:
        """Record that the paging of a sweep continues after it had ended."""
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
        hole: bool = False,
    ) -> int:
        """Record that a page was read; call it once everything on the page is stored.

        A page that was recorded before is replaced, unless it was fetched later.

        Returns how many bytes of what the page says beside its authors were left out, because they exceed the bound.

        Args:
            sweep: the `_id` of the sweep.
            number: the number of the page, from 1.
            page: the page.
            request_id: the API's id of the request.
            fetched_at: when the page was fetched (UTC).
            stop: why no page follows this one; None if one does.
            hole: whether the page is still missing, because it brought nothing and the search counts more.
        """
        cleaned = clean(page.raw_meta, "", notes := Notes())
        said, left_out = bounded(cleaned, _SAID_BYTES, first="pagination")
        unparsed, also_left_out = bounded(notes.unparsed, _UNPARSED_BYTES)
        record = {"authors": len(page.authors), "request_id": short(request_id), "fetched_at": fetched_at, "said": said}
        if unparsed:
            record["unparsed"] = unparsed
        if left_out + also_left_out:
            record["left_out"] = left_out + also_left_out
        fields: dict[str, Any] = {
            "pages": {"$mergeObjects": ["$pages", {"$literal": {str(number): record}}]},
            "pages_read": {"$add": ["$pages_read", {"$cond": [_lacks(number), 1, 0]}]},
            **_settled(number, {"$setUnion" if hole else "$setDifference": ["$holes", [number]]}, stop),
        }
        if page.total_count:
            fields |= {"total_count": page.total_count, "capped": page.total_count >= self.search_cap}
        elif page.total_count == 0 and not page.authors:  # it may be wrong, if earlier pages have counted more
            fields |= {"total_count": {"$ifNull": ["$total_count", 0]}, "capped": {"$ifNull": ["$capped", False]}}
        # Idempotent: once the page is recorded, the condition no longer matches.
        await self._update(sweep, [{"$set": fields}], unless=_has(number, since=fetched_at))
        return left_out + also_left_out

    async def page_missed(
        self, sweep: str, number: int, *, failed_at: datetime, hole: bool = True, stop: Stop | None = None
    ) -> None:
        """Record that a page could not be fetched; `hole`: it is to be fetched again, `stop`: why it is the last."""
        holes = {"$setUnion" if hole else "$setDifference": ["$holes", [number]]}
        # The failure may be older than the page, if it comes from a spill file.
        await self._update(sweep, [{"$set": _settled(number, holes, stop)}], unless=_has(number, since=failed_at))

    async def have_holes(self, sweeps: Sequence[str]) -> bool:
        """Return whether one of these sweeps has a missing page."""
        found = await self._outages.retry_while_away(
            lambda: self._database[SWEEPS].find_one({"_id": {"$in": list(sweeps)}, "holes": {"$ne": []}}, {"_id": 1})
        )
        return found is not None

    async def has_page(self, sweep: str, number: int, *, since: datetime) -> bool:
        """Return whether a page is recorded that was fetched `since` then (UTC)."""
        found = await self._outages.retry_while_away(
            lambda: self._database[SWEEPS].find_one({"_id": sweep, **_has(number, since=since)}, {"_id": 1})
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
        """Record that a sweep has ended.

        Args:
            sweep: the `_id` of the sweep.
            stop: why paging ended.
            authors: number of distinct authors that were found.
            fewer: by how many they are fewer than the API's `total_count`; None if that is unknown.
            finished_at: when it ended (UTC).
            complete: whether all pages and details are stored; if not, the sweep stays open.
            limits: the limits of the crawl by name, if one of them ended it.
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
        """Remove the failures of pages whose `sweep:page` begins with `of`."""
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


def _has(number: int, *, since: datetime) -> dict[str, Any]:
    return {f"pages.{number}.fetched_at": {"$gte": since}}


def _lacks(number: int) -> dict[str, Any]:
    return {"$eq": [{"$type": f"$pages.{number}"}, "missing"]}


def _settled(number: int, holes: dict[str, Any], stop: Stop | None) -> dict[str, Any]:
    """Return the fields that say how far paging has advanced, once page `number` is read or given up."""
    if stop is None:
        # If it is None, this page was a hole: the search still has no further page.
        following = {"$cond": [{"$isNumber": "$next_page"}, {"$max": ["$next_page", number + 1]}, None]}
        return {"holes": holes, "next_page": following}
    # Paging will read all later pages again, or there are none.
    bound = stop.void_from if stop.next_page is None else stop.next_page
    if bound is not None:
        holes = {"$filter": {"input": holes, "cond": {"$lt": ["$$this", bound]}}}
    return {"holes": holes, "next_page": stop.next_page, "stop_reason": stop.reason}


def _is_larger(limits: Mapping[str, int | None], *, than: Mapping[str, int | None]) -> bool:
    """Return whether one of the limits is larger than before, or was removed."""
    return any(
        before is not None and ((now := limits.get(name)) is None or now > before) for name, before in than.items()
    )
