"""The authors in the dataset that a search may still show: who they are, and what each of them lacks.

Only authors with fresh details matter: all others lack everything, as strangers do. Three things say whether such an
author matches the query, the first two by the API's own word:

- a fresh sweep of a narrower query has found the author: the author matches;
- a fresh and complete sweep of a wider query has not: the author does not match, and no stranger does;
- the stored values (`plan_match`), as long as the authors that the search has shown do not contradict them. A search by
  followers shows all authors with more followers than the last one on its pages. So an author who should be among them
  and is not refutes the rules too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymongo import DESCENDING
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.dataset.plan_bounds import Pool
from xingtu_crawler.dataset.plan_match import FIELDS, Match, Matcher, followers_of, implies, is_by_followers
from xingtu_crawler.storage.collections import AUTHORS, FAILURES, SWEEPS
from xingtu_crawler.storage.sweeps import Sweeps

_BATCH = 500
_MAX_SWEEPS = 200
"""Maximum number of fresh sweeps that are compared with a query, and of narrower ones whose authors are read."""
_MAX_NARROW, _MAX_WIDE = 20, 3
_CONTRADICTIONS = 0.05
"""Share of the authors who should be on the pages read and are not, above which stored values prove no match."""

CountMissing = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]
"""Returns how many details of each of these authors a crawl would fetch; an author without any may be left out."""


@dataclass(slots=True)
class Shown:
    """What the pages of a search have shown so far: its authors in order, and their documents."""

    star_ids: Collection[str]
    records: Sequence[Mapping[str, Any]]

    @property
    def fewest_followers(self) -> int | None:
        """The smallest follower count shown, None if none is known."""
        return min((count for record in self.records if (count := followers_of(record)) is not None), default=None)


@dataclass(slots=True)
class Pools:
    """Builds the pools of the queries of one crawl from the dataset."""

    database: AsyncDatabase[dict[str, Any]]
    sweeps: Sweeps
    count_missing: CountMissing
    endpoints: Sequence[str]
    newer_than: datetime
    """Details and sweeps of runs that started since then (UTC) are fresh."""
    now: datetime
    notes: list[str] = field(default_factory=list)
    _fresh: set[str] | None = None

    async def of(self, query: AuthorQuery, shown: Shown, *, matching: int, own_sweep: str | None) -> Pool:
        """Return the authors in the dataset that the search may still show.

        Args:
            query: the search.
            shown: what its pages have shown.
            matching: how many authors it has not shown yet.
            own_sweep: the sweep that the crawl continues, which is no evidence.
        """
        self.notes.clear()
        narrow, wide = await self._evidence(query, own_sweep)
        matcher = Matcher(query.filters, self.now)
        matcher.learn(shown.records)
        candidates = (await self._fresh_authors() | narrow | (wide or set())) - set(shown.star_ids)
        if wide is not None:
            candidates &= wide | narrow
        judged = await self._judge(candidates, matcher)
        if self._is_refuted(judged, query, shown):
            judged = {star_id: (min(match, Match.OPEN), count) for star_id, (match, count) in judged.items()}
            self.notes.append("The stored values do not say which authors the search shows.")
        elif matcher.refuted:
            self.notes.append(f"The search does not go by the stored values: {', '.join(matcher.refuted)}.")
        certain = {star_id for star_id, (match, _) in judged.items() if match is Match.YES} | (narrow & candidates)
        if len(certain) > matching:  # more than the API counts: the stored values match too much
            certain = narrow & candidates
        possible = {star_id for star_id, (match, _) in judged.items() if match is not Match.NO} - certain
        missing = await self._missing([*certain, *possible])
        return Pool(
            [missing.get(star_id, 0) for star_id in certain],
            [missing.get(star_id, 0) for star_id in possible],
            is_closed=wide is not None and len(certain | possible) >= matching,
        )

    async def _evidence(self, query: AuthorQuery, own_sweep: str | None) -> tuple[set[str], set[str] | None]:
        """Return the authors of fresh narrower sweeps, and of a fresh complete wider one (None: there is none)."""
        fields = ("filters", "next_page", "holes", "total_count", "capped", "stop_reason")
        fresh = {"started_at": {"$gte": self.newer_than}, "_id": {"$ne": own_sweep}}
        found = await (
            self.database[SWEEPS]
            .find(fresh, dict.fromkeys(fields, 1), sort=[("started_at", DESCENDING)], limit=_MAX_SWEEPS)
            .to_list()
        )
        narrower = [sweep["_id"] for sweep in found if implies(sweep["filters"], query.filters)][:_MAX_NARROW]
        narrow: set[str] = set()
        for sweep in narrower:
            narrow.update(await self.sweeps.star_ids(sweep))
        complete = [each for each in found if _is_complete(each) and implies(query.filters, each["filters"])]
        wide: set[str] | None = None
        for sweep in complete[:_MAX_WIDE]:
            star_ids = set(await self.sweeps.star_ids(sweep["_id"]))
            if len(star_ids) >= sweep["total_count"]:
                wide = star_ids if wide is None else wide & star_ids
        return narrow, wide

    async def _fresh_authors(self) -> set[str]:
        """Return the authors with a fresh detail, or with one that the API does not have."""
        if self._fresh is None:
            self._fresh = set()
            for endpoint in self.endpoints:
                condition = {"crawl.fetched_at": {"$gte": self.newer_than}}
                async for document in self.database[DETAILS[endpoint].collection].find(condition, {"_id": 1}):
                    self._fresh.add(document["_id"].partition(":")[0])
            settled = {"endpoint": {"$in": list(self.endpoints)}, "terminal": True}
            async for failure in self.database[FAILURES].find(settled, {"star_id": 1}):
                self._fresh.add(failure["star_id"])
        return self._fresh

    async def _judge(self, star_ids: Iterable[str], matcher: Matcher) -> dict[str, tuple[Match, int | None]]:
        """Return by author whether the stored values match, and the followers if they are known."""
        judged: dict[str, tuple[Match, int | None]] = dict.fromkeys(star_ids, (Match.OPEN, None))
        for batch in _batches(list(judged)):
            async for author in self.database[AUTHORS].find({"_id": {"$in": batch}}, FIELDS):
                judged[author["_id"]] = matcher.judge(author), followers_of(author)
        return judged

    def _is_refuted(self, judged: Mapping[str, tuple[Match, int | None]], query: AuthorQuery, shown: Shown) -> bool:
        """Return whether authors who match by their stored values are missing where the search must show them."""
        least = shown.fewest_followers
        if least is None or not is_by_followers(query.filters):
            return False
        matches = [count for match, count in judged.values() if match is Match.YES and count is not None]
        absent = sum(count > least * 1.02 for count in matches)
        return absent > _CONTRADICTIONS * (absent + len(shown.records))

    async def _missing(self, star_ids: Sequence[str]) -> dict[str, int]:
        missing: dict[str, int] = {}
        for batch in _batches(star_ids):
            missing |= await self.count_missing(batch)
        return missing


def _batches(star_ids: Sequence[str]) -> Iterable[list[str]]:
    return (list(star_ids[at : at + _BATCH]) for at in range(0, len(star_ids), _BATCH))


def _is_complete(sweep: Mapping[str, Any]) -> bool:
    """Return whether a sweep has read every page of a search that shows all of its authors."""
    is_read = sweep["stop_reason"] is not None and sweep["next_page"] is None and not sweep["holes"]
    return is_read and bool(sweep["total_count"]) and not sweep["capped"]
