"""Pages that `scrapy plan` has paid for, in a collection of their own: one document per query, its first page.

Such a page belongs to no sweep and its authors to no dataset until a crawl of the query takes it over
(`storage.adoption`). On its way into the database it travels as a page of the sweep `sweep_of(query_key)`, which does
not exist.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from pymongo import DESCENDING, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.exceptions import IdentityError, MalformedBodyError
from xingtu_crawler.items.answers import SearchAnswer
from xingtu_crawler.items.validation import ValidPage, validate_page
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import PLANNED_PAGES, SWEEPS
from xingtu_crawler.storage.spill import build_answer
from xingtu_crawler.storage.writer import Write

_PREFIX = "planned-"


def sweep_of(query_key: str) -> str:
    """Return the name that stands for the sweep of a planned page."""
    return _PREFIX + query_key


def is_planned(sweep: str | None) -> bool:
    """Return whether a sweep's name stands for a planned page."""
    return sweep is not None and sweep.startswith(_PREFIX)


def keep(valid: ValidPage, *, run_id: str) -> Write:
    """Return the write that keeps a planned page; a newer page of the query stays."""
    answer = valid.answer
    key = answer.sweep.removeprefix(_PREFIX)
    page = {
        "run_id": run_id,
        "fetched_at": answer.fetched_at,
        "total_count": valid.page.total_count,
        "authors": len(valid.page.authors),
        "stop": None if answer.stop is None else asdict(answer.stop),
        "body": answer.body,
    }
    older = {"_id": key, "fetched_at": {"$not": {"$gt": answer.fetched_at}}}
    return Write(PLANNED_PAGES, UpdateOne(older, {"$set": page}, upsert=True))


@dataclass(frozen=True, slots=True)
class PlannedPage:
    """The first page of a query that `scrapy plan` has fetched."""

    valid: ValidPage

    @property
    def answer(self) -> SearchAnswer:
        """The page as it was fetched."""
        return self.valid.answer

    @property
    def next_page(self) -> int | None:
        """The page to read next; None if the search has no further page."""
        stop = self.answer.stop
        return 2 if stop is None else stop.next_page

    @property
    def star_ids(self) -> list[str]:
        """The distinct authors on the page, in rank order."""
        return list(dict.fromkeys(star_id for star_id, _ in self.valid.authors.values()))

    @property
    def records(self) -> list[dict[str, Any]]:
        """The authors in the form of author documents."""
        crawl = {"fetched_at": self.answer.fetched_at}
        return [
            {"_id": star_id, "data": parsed.data, "crawl": crawl} for star_id, parsed in self.valid.authors.values()
        ]

    def of_sweep(self, sweep: str) -> ValidPage:
        """Return the page as one of `sweep`."""
        return replace(self.valid, answer=replace(self.answer, sweep=sweep))


class PlannedPages:
    """The planned pages of one database."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], outages: Outages) -> None:
        self._database = database
        self._outages = outages

    async def find(self, query_key: str, *, newer_than: datetime) -> PlannedPage | None:
        """Return the planned page of a query if a crawl may take it over.

        It may if the page was fetched since `newer_than` (UTC), no sweep of the query has begun since then, and the
        page does not contradict itself: one without authors is no page where the API counts some.
        """
        kept = await self._outages.retry_while_away(
            lambda: self._database[PLANNED_PAGES].find_one({"_id": query_key, "fetched_at": {"$gte": newer_than}})
        )
        if kept is None or (not kept["authors"] and kept["total_count"]):
            return None
        newest = await self._outages.retry_while_away(
            lambda: self._database[SWEEPS].find_one(
                {"query_key": query_key}, {"started_at": 1}, sort=[("started_at", DESCENDING)]
            )
        )
        if newest is not None and newest["started_at"] >= kept["fetched_at"]:
            return None
        request = {"sweep": sweep_of(query_key), "page": 1, "stop": kept["stop"]}
        try:
            answer = build_answer(request, bytes(kept["body"]), fetched_at=kept["fetched_at"])
            assert isinstance(answer, SearchAnswer)
            return PlannedPage(validate_page(answer))
        except (MalformedBodyError, IdentityError):  # kept by another version of the models
            return None

    async def forget(self, page: PlannedPage) -> None:
        """Remove a page that a crawl has taken over."""
        key = {"_id": page.answer.sweep.removeprefix(_PREFIX), "fetched_at": page.answer.fetched_at}
        await self._outages.retry_while_away(lambda: self._database[PLANNED_PAGES].delete_one(key))
