"""The number of calls that a crawl of the author search will make, as a range that holds.

Known are the pages that an open sweep, or an earlier plan, has read, and what every author on them lacks. Three things
are unknown:

- **How many authors follow.** The API counts them, up to the cap of the search. Earlier complete sweeps say how far
  such counts were off; without one, the count is believed.
- **How many of their details are up to date.** Page 1 says nothing about it: a search lists the largest authors first,
  and those are the ones that other searches have found before. The dataset says more: only its authors with fresh
  details can save calls, and `plan_pool` sorts them into those who match the query for certain, possibly and not at
  all. `plan_bounds` turns them into two bounds that hold in every case that is left.
- **How many calls fail and are repeated.** Earlier runs say so; retries are added to the high end.

Where the dataset leaves more than a factor of 6 open, the low end is raised to a sixth of the high end. The high end
never falls: a crawl should not cost more than its plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import PAGE_SIZE
from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.dataset.experience import Experience
from xingtu_crawler.dataset.plan_bounds import Span, fewest, most
from xingtu_crawler.dataset.plan_match import FIELDS, are_disjoint
from xingtu_crawler.dataset.plan_pool import CountMissing, Pools, Shown
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import AUTHORS
from xingtu_crawler.storage.planned import PlannedPage, PlannedPages
from xingtu_crawler.storage.sweeps import EarlierSweep, OpenSweep, Sweeps

NO_MATCH = "No author matches this query."
_BATCH = 500
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The requests of a crawl, without retries.

    `basis` is `exact` (one number), `estimate` (a range, or what an earlier sweep says) or `bounds` (nothing is known
    of the query yet). `fresh` counts the details that are up to date for certain. `notes` say where the numbers come
    from, one line each.
    """

    basis: str
    authors: Span
    search: Span
    details: Span
    fresh: int
    notes: tuple[str, ...] = ()

    @property
    def calls(self) -> Span:
        """All calls."""
        return self.search + self.details

    @classmethod
    def of_nothing(cls, *, pages: int) -> Estimate:
        """Return the estimate of a query that no author matches."""
        return cls("exact", Span(0, 0), Span(pages, pages), Span(0, 0), 0, (NO_MATCH,))


@dataclass(frozen=True, slots=True)
class SquareLimits:
    """The limits of a crawl of `author_square`; `per_author` is the number of details that it fetches for an author."""

    max_pages: int | None
    max_authors: int | None
    per_author: int
    restart: bool = False
    newer_than: datetime = _LONG_AGO
    """Pages that were read since then are not read again."""
    open_since: datetime = _LONG_AGO
    """A sweep that is unfinished, and a planned page, is continued if it is not older than this."""

    @property
    def by_name(self) -> dict[str, int | None]:
        """The limits that end a sweep."""
        return {"max_pages": self.max_pages, "max_authors": self.max_authors}


class Ahead(NamedTuple):
    """The number of pages that are left to read, and the number of authors in the end."""

    pages: int
    authors: int


@dataclass(frozen=True, slots=True)
class Place:
    """The state of a sweep: the next page (None: only holes are left), the number of holes and of known authors."""

    next_page: int | None
    holes: int
    known: int
    page_size: int = PAGE_SIZE
    cap: int = 10_000

    def ahead(self, total: int, limits: SquareLimits) -> Ahead:
        """Return what is ahead in a query of `total` authors, by the paging rules of the spider."""
        reachable = min(total, self.cap)
        pages = 0
        if self.next_page is not None:
            # The spider requests the next page even if it turns out not to exist.
            pages = max(1, -(-reachable // self.page_size) - (self.next_page - 1))
            if limits.max_pages is not None:
                pages = min(pages, max(0, limits.max_pages - (self.next_page - 1)))
            if limits.max_authors is not None:
                pages = min(pages, max(0, -(-(limits.max_authors - self.known) // self.page_size)))
        pages += self.holes
        authors = max(self.known, min(reachable, self.known + pages * self.page_size))
        return Ahead(pages, authors if limits.max_authors is None else min(authors, limits.max_authors))


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a crawl would begin: what is known of its query when it starts."""

    place: Place
    shown: Shown
    sweep: str | None = None
    total: int | None = None
    earlier: EarlierSweep | None = None

    @property
    def has_ended(self) -> bool:
        """Whether every page is read."""
        return self.place.next_page is None and self.place.holes == 0


@dataclass(slots=True)
class SquarePlanner:
    """Estimates the crawls of search queries from one database."""

    database: AsyncDatabase[dict[str, Any]]
    outages: Outages
    sweeps: Sweeps
    limits: SquareLimits
    experience: Experience
    count_missing: CountMissing
    endpoints: Sequence[str]
    now: datetime

    async def estimate(self, queries: Sequence[AuthorQuery], *, empty: AbstractSet[str] = frozenset()) -> Estimate:
        """Return the estimate of a crawl of these queries; `empty` are the keys of those that no author matches."""
        pools = Pools(self.database, self.sweeps, self.count_missing, self.endpoints, self.limits.newer_than, self.now)
        found = [await self._of(query, pools, is_empty=query.key in empty) for query in queries]
        return together(queries, found, self.limits)

    async def _of(self, query: AuthorQuery, pools: Pools, *, is_empty: bool) -> Estimate:
        start = await self._start(query)
        taken = list(start.shown.star_ids)[: self.limits.max_authors]
        known = Span(len(taken), len(taken))
        found = await self._count(taken)
        fresh = len(taken) * self.limits.per_author - found
        if start.has_ended:
            if not start.shown.star_ids:
                return Estimate.of_nothing(pages=0)
            notes = (*_counted(start), "Every page has been read: only details are left.")
            return Estimate("exact", known, Span(0, 0), Span(found, found), fresh, notes)
        if is_empty:  # a refusal that is no page: the crawl requests page 1 again
            return Estimate.of_nothing(pages=1)
        if start.total is None:
            low, high = start.place.ahead(0, self.limits), start.place.ahead(start.place.cap, self.limits)
            details = Span(found, found + max(0, high.authors - len(taken)) * self.limits.per_author)
            note = "Nothing is known of this query yet, so these are bounds. One page of the search narrows them."
            authors, pages = Span(len(taken), high.authors), Span(low.pages, high.pages)
            return Estimate("bounds", authors, pages, details, fresh, (note,))
        return await self._of_counted(query, pools, start, found=found, fresh=fresh)

    async def _of_counted(self, query: AuthorQuery, pools: Pools, start: _Start, *, found: int, fresh: int) -> Estimate:
        """Return the estimate of a query that the API has counted; `found` and `fresh` are of the authors shown."""
        assert start.total is not None
        per_author, shown = self.limits.per_author, len(start.shown.star_ids)
        taken = min(shown, self.limits.max_authors or shown)
        totals = (int(start.total * (1 - self.experience.fewer)), -int(-start.total * (1 + self.experience.more) // 1))
        pages = start.place.ahead(start.total, self.limits).pages
        authors = Span(*(max(taken, start.place.ahead(total, self.limits).authors) for total in totals))
        matching = Span(*(max(0, min(total, start.place.cap) - shown) for total in totals))
        reached = Span(*(each - taken for each in authors))
        notes = list(_counted(start))
        details = Span(0, 0)
        if reached.high and per_author:
            pool = await pools.of(query, start.shown, matching=matching.high, own_sweep=start.sweep)
            notes += pools.notes
            details = Span(
                fewest(pool, matching=max(matching.low, reached.low), reached=reached.low, per_author=per_author),
                most(pool, matching=max(matching.high, reached.high), reached=reached.high, per_author=per_author),
            )
            fresh += max(0, reached.high * per_author - details.high)
            if not details.is_known:
                saved = f"{reached.high * per_author - details.high:,} to {reached.high * per_author - details.low:,}"
                notes.append(f"{reached.high:,} authors are not shown yet; {saved} of their details are up to date.")
        estimate = Estimate("", authors, Span(pages, pages), Span(found, found) + details, fresh, tuple(notes))
        is_exact = estimate.calls.is_known and start.earlier is None
        return replace(estimate, basis="exact" if is_exact else "estimate")

    async def _start(self, query: AuthorQuery) -> _Start:
        """Return where a crawl of the query would begin."""
        limits, cap = self.limits, self.sweeps.search_cap
        if not limits.restart:
            found = await self.sweeps.find_open(
                query.key, newer_than=limits.newer_than, open_since=limits.open_since, limits=limits.by_name
            )
            if found is not None and found.next_page != 1:
                return await self._behind(query.key, found)
            page = await PlannedPages(self.database, self.outages).find(query.key, newer_than=limits.open_since)
            if page is not None:
                return _behind_planned(page, cap)
        earlier = await self.sweeps.find_earlier(query.key, than=None)
        total = None if earlier is None else earlier.total_count
        return _Start(Place(1, 0, 0, cap=cap), Shown([], []), total=total, earlier=earlier)

    async def _behind(self, query_key: str, found: OpenSweep) -> _Start:
        star_ids = await self.sweeps.star_ids(found.sweep, before_page=found.next_page)
        records = await self.database[AUTHORS].find({"_id": {"$in": star_ids}}, FIELDS).to_list()
        size = found.page_size or PAGE_SIZE
        place = Place(found.next_page, len(found.holes), len(star_ids), size, self.sweeps.search_cap)
        total, earlier = found.total_count, None
        if total is None:
            earlier = await self.sweeps.find_earlier(query_key, than=found.sweep)
            total = None if earlier is None else earlier.total_count
        return _Start(place, Shown(star_ids, records), found.sweep, total, earlier)

    async def _count(self, star_ids: Sequence[str]) -> int:
        batches = (star_ids[at : at + _BATCH] for at in range(0, len(star_ids), _BATCH))
        return sum([sum((await self.count_missing(batch)).values()) for batch in batches])


def _behind_planned(page: PlannedPage, cap: int) -> _Start:
    star_ids, on_page = page.star_ids, page.valid.page
    size = len(on_page.authors) or PAGE_SIZE
    if on_page.total_count is not None and on_page.total_count <= size:
        size = max(size, on_page.limit or PAGE_SIZE)
    place = Place(page.next_page, 0, len(star_ids), size, cap)
    return _Start(place, Shown(star_ids, page.records), total=on_page.total_count)


def _counted(start: _Start) -> list[str]:
    if start.total is None:
        return []
    total, cap = start.total, start.place.cap
    count = f"{total:,} or more authors, of which it shows {cap:,}" if total >= cap else f"{total:,} authors"
    if start.earlier is not None:
        return [f"From the sweep of {start.earlier.started_at:%Y-%m-%d}, when the API counted {count}."]
    return [f"The API counts {count}."]


def together(queries: Sequence[AuthorQuery], estimates: Sequence[Estimate], limits: SquareLimits) -> Estimate:
    """Return the estimate of a crawl of several queries.

    Several queries may find the same author, who is fetched once. The low end counts only queries that no author can
    match twice, those with most calls first; the high end counts all of them.
    """
    if len(estimates) == 1:
        return estimates[0]
    apart: list[int] = []
    for at in sorted(range(len(estimates)), key=lambda at: -estimates[at].details.low):
        if all(are_disjoint(queries[at].filters, queries[other].filters) for other in apart):
            apart.append(at)
    bases = ("bounds", "estimate", "exact")
    details = Span(sum(estimates[at].details.low for at in apart), sum(each.details.high for each in estimates))
    authors = Span(sum(estimates[at].authors.low for at in apart), sum(each.authors.high for each in estimates))
    limit = None if limits.max_authors is None else limits.max_authors * limits.per_author
    basis = min((each.basis for each in estimates), key=bases.index)
    if not details.is_known and basis == "exact":
        basis = "estimate"
    notes = [f"{len(estimates)} queries: an author that several of them find is fetched once."]
    if empty := sum(each.notes == (NO_MATCH,) for each in estimates):
        notes.append(f"No author matches {empty} of them.")
    return Estimate(
        basis,
        authors.capped(limits.max_authors),
        sum((each.search for each in estimates), Span(0, 0)),
        details.capped(limit),
        sum(each.fresh for each in estimates),
        tuple(notes),
    )
