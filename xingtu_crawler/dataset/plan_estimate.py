"""What a crawl would come to before it is paid for: calls, time, cost.

Knows the rules of paging and what MongoDB holds; what is to be asked of an author it is told by the spider's own
code, so that plan and crawl cannot disagree.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from pymongo import DESCENDING
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import PAGE_SIZE
from xingtu_crawler.api.tokens import QUOTA_ZONE
from xingtu_crawler.storage.collections import DAILY_CALLS, RUNS
from xingtu_crawler.storage.sweeps import RESULT_CAP, Sweeps

FEWEST_CALLS = 20
"""A run of fewer calls says nothing of the pace: its time is that of starting and stopping."""
_AT_ONCE = 500
_LONG_AGO = datetime.fromtimestamp(0, UTC)

CountMissing = Callable[[Sequence[str], datetime | None], Awaitable[int]]
"""Returns how many detail calls these authors need, if what was fetched before that time (UTC) needs one too."""


class Span(NamedTuple):
    """From `low` to `high`; the same where one number is known or estimated."""

    low: int
    high: int

    def __add__(self, other: object) -> Span:
        assert isinstance(other, Span)
        return Span(self.low + other.low, self.high + other.high)

    def capped(self, most: int | None) -> Span:
        """Return the span with nothing beyond `most` (None: no limit)."""
        return self if most is None else Span(min(self.low, most), min(self.high, most))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a crawl would ask, retries aside.

    `basis` is `exact`, `estimate` (one number, of which some part is inferred) or `bounds` (nothing is known of
    the query yet). `fresh` counts the details that need not be asked, as far as they have been looked at. `notes` say
    what it rests on, one line each.
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


@dataclass(frozen=True, slots=True)
class SquareLimits:
    """What bounds a crawl of `author_square`: its arguments, and how many details it asks of one author at most."""

    max_pages: int | None
    max_authors: int | None
    per_author: int
    restart: bool = False
    newer_than: datetime = _LONG_AGO
    """What has been read since then is not read again."""

    @property
    def by_name(self) -> dict[str, int | None]:
        """The limits that end the paging of a sweep."""
        return {"max_pages": self.max_pages, "max_authors": self.max_authors}


def together(estimates: Sequence[Estimate], limits: SquareLimits) -> Estimate:
    """Return the estimate of a crawl of several queries."""
    if len(estimates) == 1:
        return estimates[0]
    bases = ("bounds", "estimate", "exact")
    authors = sum((each.authors for each in estimates), Span(0, 0)).capped(limits.max_authors)
    details = sum((each.details for each in estimates), Span(0, 0))
    most = None if limits.max_authors is None else limits.max_authors * limits.per_author
    note = f"{len(estimates)} queries: an author whom several of them find counts in each, and is asked once."
    return Estimate(
        min((each.basis for each in estimates), key=bases.index),
        authors,
        sum((each.search for each in estimates), Span(0, 0)),
        details.capped(most),
        sum(each.fresh for each in estimates),
        (note,),
    )


async def of_square(sweeps: Sweeps, query_key: str, limits: SquareLimits, count_missing: CountMissing) -> Estimate:
    """Estimate a crawl of a search query from its open sweep, else from an earlier one, else by bounds.

    Authors whom the open sweep has found are counted exactly; in place of those whom it will find stand the
    authors of an earlier sweep, who are counted too. The rest is like those of the open sweep who are new in it:
    details that were fresh before it began are taken to be as frequent.
    """
    under_way = (
        None
        if limits.restart
        else await sweeps.find_open(query_key, newer_than=limits.newer_than, limits=limits.by_name)
    )
    earlier = await sweeps.find_earlier(query_key, than=under_way.sweep if under_way else None)
    known = await sweeps.star_ids(under_way.sweep, before_page=under_way.next_page) if under_way else []
    place = Place(
        next_page=under_way.next_page if under_way else 1,
        holes=len(under_way.holes) if under_way else 0,
        known=len(known),
    )
    taken = known[: limits.max_authors]
    found = await _in_batches(taken, count_missing)
    fresh = len(taken) * limits.per_author - found
    total = under_way.total_count if under_way else None
    notes: list[str] = []
    if total is None and earlier is not None:
        total = earlier.total_count
        notes.append(f"Rests on the sweep of {earlier.started_at:%Y-%m-%d}: the API counted {_counted(total)} then.")
    elif total is not None:
        notes.append(f"The API counts {_counted(total)}.")
    if place.next_page is None and place.holes == 0:
        notes = [*notes, "Every page has been read: only details are left."]
        return Estimate("exact", Span(len(taken), len(taken)), Span(0, 0), Span(found, found), fresh, tuple(notes))
    if total is None:
        low, high = place.ahead(0, limits), place.ahead(RESULT_CAP, limits)
        details = Span(found, found + max(0, high.authors - len(taken)) * limits.per_author)
        notes.append("Nothing is known of this query yet: these are the bounds. One page of the search narrows them.")
        return Estimate(
            "bounds", Span(len(taken), high.authors), Span(low.pages, high.pages), details, fresh, tuple(notes)
        )
    ahead = place.ahead(total, limits)
    rest = max(0, ahead.authors - len(taken))
    before = await sweeps.star_ids(earlier.sweep) if rest and earlier is not None else []
    of_open, of_earlier = set(known), set(before)
    likely = [star_id for star_id in before if star_id not in of_open][:rest]
    needed = found + await _in_batches(likely, count_missing)
    fresh = (len(taken) + len(likely)) * limits.per_author - needed
    unseen = rest - len(likely)
    if unseen and limits.per_author:
        share = 1.0
        sample = [star_id for star_id in taken if star_id not in of_earlier]
        if sample and under_way:
            lacking = await _in_batches(sample, count_missing)
            fresh_before = await _in_batches(sample, count_missing, since=under_way.started_at) - lacking
            share = 1 - fresh_before / (len(sample) * limits.per_author)
        needed += round(unseen * limits.per_author * share)
        notes.append(f"Of {unseen:,} authors nothing is known: {share:.0%} of their details are taken to be missing.")
    authors = max(ahead.authors, len(taken))
    return Estimate(
        "estimate" if ahead.pages else "exact",
        Span(authors, authors),
        Span(ahead.pages, ahead.pages),
        Span(needed, needed),
        fresh,
        tuple(notes),
    )


class Ahead(NamedTuple):
    """How many pages are still to be read, and how many authors there are in the end."""

    pages: int
    authors: int


@dataclass(frozen=True, slots=True)
class Place:
    """How far a sweep has come; `next_page` is None where only pages that were left out are to be read."""

    next_page: int | None
    holes: int
    known: int

    def ahead(self, total: int, limits: SquareLimits) -> Ahead:
        """Return what is ahead of a query with `total` authors: the rules by which the spider pages."""
        reachable = min(total, RESULT_CAP)
        pages = 0
        if self.next_page is not None:
            # Where a next page is asked for, it is asked even if there turns out to be none.
            pages = max(1, -(-reachable // PAGE_SIZE) - (self.next_page - 1))
            if limits.max_pages is not None:
                pages = min(pages, max(0, limits.max_pages - (self.next_page - 1)))
            if limits.max_authors is not None:
                pages = min(pages, max(0, -(-(limits.max_authors - self.known) // PAGE_SIZE)))
        pages += self.holes
        authors = max(self.known, min(reachable, self.known + pages * PAGE_SIZE))
        return Ahead(pages, authors if limits.max_authors is None else min(authors, limits.max_authors))


async def _in_batches(star_ids: Sequence[str], count_missing: CountMissing, *, since: datetime | None = None) -> int:
    batches = (star_ids[at : at + _AT_ONCE] for at in range(0, len(star_ids), _AT_ONCE))
    return sum([await count_missing(batch, since) for batch in batches])


def _counted(total: int) -> str:
    return (
        f"{total:,} or more authors, of whom {RESULT_CAP:,} can be reached"
        if total >= RESULT_CAP
        else f"{total:,} authors"
    )


@dataclass(frozen=True, slots=True)
class Experience:
    """What earlier runs say of the pace (calls per second) and the cost of a call, and which runs say so."""

    rate: float | None = None
    rate_from: str | None = None
    cost_per_call: Decimal | None = None
    cost_from: str | None = None


async def experience(database: AsyncDatabase[dict[str, Any]]) -> Experience:
    """Return what the last run with enough calls, and the last run with a known cost, say."""
    newest = [("started_at", DESCENDING)]
    paced = await database[RUNS].find_one(
        {"state": {"$ne": "running"}, "calls.total": {"$gte": FEWEST_CALLS}, "seconds": {"$gt": 0}},
        {"calls.total": 1, "seconds": 1},
        sort=newest,
    )
    known = {"cost.per_call": {"$type": "string"}, "calls.total": {"$gt": 0}}
    priced = None
    # The one call of a plan is a search: what details cost a crawl knows better.
    for condition in ({**known, "close_reason": {"$ne": "planned"}}, known):
        priced = priced or await database[RUNS].find_one(condition, {"cost": 1, "calls": 1}, sort=newest)
    cost = None
    if priced is not None:
        # There are no retries in an estimate, so every call in it is billed.
        billed = priced["calls"].get("billed") or priced["calls"]["total"]
        cost = Decimal(priced["cost"]["spent"]) / billed
    if cost is not None and cost <= 0:  # the account was topped up during the run
        cost = None
    return Experience(
        rate=paced["calls"]["total"] / paced["seconds"] if paced else None,
        rate_from=paced["_id"] if paced else None,
        cost_per_call=cost,
        cost_from=priced["_id"] if priced and cost is not None else None,
    )


async def left_today(database: AsyncDatabase[dict[str, Any]], cap: int, now: datetime) -> int | None:
    """Return how many of the day's calls are left; None where `cap` is 0, for no cap. `now` is timezone-aware."""
    if not cap:
        return None
    day = await database[DAILY_CALLS].find_one({"_id": now.astimezone(QUOTA_ZONE).date().isoformat()})
    return max(0, cap - (day["calls"] if day else 0))


def days_needed(calls: int, *, left: int, cap: int) -> int:
    """Return on how many days a crawl has to be typed until so many calls are made."""
    return 1 if calls <= left else 1 + -(-(calls - left) // cap)


def cost_of(calls: int, per_call: Decimal) -> Decimal:
    """Return what so many calls cost, in the account's currency, to four places."""
    return (calls * per_call).quantize(Decimal("0.0001"), ROUND_HALF_UP)
