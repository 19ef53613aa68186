"""`scrapy plan`: the number of calls that a crawl would make, and what earlier runs say of pace and cost.

Knows the rules of paging and the sweeps in MongoDB. The caller counts the missing details of authors with the spider's
own code, so that plan and crawl cannot disagree.
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
"""Minimum number of calls of a run whose pace counts: a shorter one takes most of its time to start and stop."""
_BATCH = 500
_LONG_AGO = datetime.fromtimestamp(0, UTC)

CountMissing = Callable[[Sequence[str], datetime | None], Awaitable[int]]
"""Returns the number of detail calls that authors need, if what was fetched before a time (UTC) counts as missing."""


class Span(NamedTuple):
    """From `low` to `high`; both are the same if one number is known or estimated."""

    low: int
    high: int

    def __add__(self, other: object) -> Span:
        assert isinstance(other, Span)
        return Span(self.low + other.low, self.high + other.high)

    def capped(self, limit: int | None) -> Span:
        """Return the span cut at `limit` (None: no limit)."""
        return self if limit is None else Span(min(self.low, limit), min(self.high, limit))


@dataclass(frozen=True, slots=True)
class Estimate:
    """The requests of a crawl, without retries.

    `basis` is `exact`, `estimate` (one number, part of which is inferred) or `bounds` (nothing is known of the query
    yet). `fresh` counts the details that are up to date, as far as they were counted. `notes` say where the numbers
    come from, one line each.
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
    """The limits of a crawl of `author_square`; `per_author` is the number of details that it fetches for an author."""

    max_pages: int | None
    max_authors: int | None
    per_author: int
    restart: bool = False
    newer_than: datetime = _LONG_AGO
    """Pages that were read since then are not read again."""
    open_since: datetime = _LONG_AGO
    """A sweep that is unfinished is continued if it started since then."""

    @property
    def by_name(self) -> dict[str, int | None]:
        """The limits that end a sweep."""
        return {"max_pages": self.max_pages, "max_authors": self.max_authors}


def together(estimates: Sequence[Estimate], limits: SquareLimits) -> Estimate:
    """Return the estimate of a crawl of several queries."""
    if len(estimates) == 1:
        return estimates[0]
    bases = ("bounds", "estimate", "exact")
    authors = sum((each.authors for each in estimates), Span(0, 0)).capped(limits.max_authors)
    details = sum((each.details for each in estimates), Span(0, 0))
    limit = None if limits.max_authors is None else limits.max_authors * limits.per_author
    note = f"{len(estimates)} queries: an author that several of them find counts in each, but is fetched once."
    return Estimate(
        min((each.basis for each in estimates), key=bases.index),
        authors,
        sum((each.search for each in estimates), Span(0, 0)),
        details.capped(limit),
        sum(each.fresh for each in estimates),
        (note,),
    )


async def of_square(sweeps: Sweeps, query_key: str, limits: SquareLimits, count_missing: CountMissing) -> Estimate:
    """Estimate the crawl of a search query from its open sweep, else from an earlier one, else by bounds.

    The authors that the open sweep has found are counted exactly. The authors of an earlier sweep stand for those that
    it will find, and are counted too. The rest is taken to be like the new authors of the open sweep: the same share of
    their details was up to date before the sweep began.
    """
    open_sweep = (
        None
        if limits.restart
        else await sweeps.find_open(
            query_key, newer_than=limits.newer_than, open_since=limits.open_since, limits=limits.by_name
        )
    )
    earlier = await sweeps.find_earlier(query_key, than=open_sweep.sweep if open_sweep else None)
    known = await sweeps.star_ids(open_sweep.sweep, before_page=open_sweep.next_page) if open_sweep else []
    place = Place(
        next_page=open_sweep.next_page if open_sweep else 1,
        holes=len(open_sweep.holes) if open_sweep else 0,
        known=len(known),
    )
    taken = known[: limits.max_authors]
    found = await _in_batches(taken, count_missing)
    fresh = len(taken) * limits.per_author - found
    total = open_sweep.total_count if open_sweep else None
    notes: list[str] = []
    if total is None and earlier is not None:
        total = earlier.total_count
        notes.append(f"From the sweep of {earlier.started_at:%Y-%m-%d}, when the API counted {_counted(total)}.")
    elif total is not None:
        notes.append(f"The API counts {_counted(total)}.")
    if place.next_page is None and place.holes == 0:
        notes = [*notes, "Every page has been read: only details are left."]
        return Estimate("exact", Span(len(taken), len(taken)), Span(0, 0), Span(found, found), fresh, tuple(notes))
    if total is None:
        low, high = place.ahead(0, limits), place.ahead(RESULT_CAP, limits)
        details = Span(found, found + max(0, high.authors - len(taken)) * limits.per_author)
        notes.append("Nothing is known of this query yet, so these are bounds. One page of the search narrows them.")
        return Estimate(
            "bounds", Span(len(taken), high.authors), Span(low.pages, high.pages), details, fresh, tuple(notes)
        )
    ahead = place.ahead(total, limits)
    rest = max(0, ahead.authors - len(taken))
    before = await sweeps.star_ids(earlier.sweep) if rest and earlier is not None else []
    known_ids, earlier_ids = set(known), set(before)
    likely = [star_id for star_id in before if star_id not in known_ids][:rest]
    needed = found + await _in_batches(likely, count_missing)
    fresh = (len(taken) + len(likely)) * limits.per_author - needed
    unseen = rest - len(likely)
    if unseen and limits.per_author:
        share = 1.0
        sample = [star_id for star_id in taken if star_id not in earlier_ids]
        if sample and open_sweep:
            lacking = await _in_batches(sample, count_missing)
            fresh_before = await _in_batches(sample, count_missing, since=open_sweep.started_at) - lacking
            share = 1 - fresh_before / (len(sample) * limits.per_author)
        needed += round(unseen * limits.per_author * share)
        notes.append(f"{unseen:,} authors are unknown: the plan assumes that {share:.0%} of their details are missing.")
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
    """The number of pages that are left to read, and the number of authors in the end."""

    pages: int
    authors: int


@dataclass(frozen=True, slots=True)
class Place:
    """The state of a sweep: the next page (None: only holes are left), the number of holes and of known authors."""

    next_page: int | None
    holes: int
    known: int

    def ahead(self, total: int, limits: SquareLimits) -> Ahead:
        """Return what is ahead in a query of `total` authors, by the paging rules of the spider."""
        reachable = min(total, RESULT_CAP)
        pages = 0
        if self.next_page is not None:
            # The spider requests the next page even if it turns out not to exist.
            pages = max(1, -(-reachable // PAGE_SIZE) - (self.next_page - 1))
            if limits.max_pages is not None:
                pages = min(pages, max(0, limits.max_pages - (self.next_page - 1)))
            if limits.max_authors is not None:
                pages = min(pages, max(0, -(-(limits.max_authors - self.known) // PAGE_SIZE)))
        pages += self.holes
        authors = max(self.known, min(reachable, self.known + pages * PAGE_SIZE))
        return Ahead(pages, authors if limits.max_authors is None else min(authors, limits.max_authors))


async def _in_batches(star_ids: Sequence[str], count_missing: CountMissing, *, since: datetime | None = None) -> int:
    batches = (star_ids[at : at + _BATCH] for at in range(0, len(star_ids), _BATCH))
    return sum([await count_missing(batch, since) for batch in batches])


def _counted(total: int) -> str:
    return (
        f"{total:,} or more authors, of which it shows {RESULT_CAP:,}" if total >= RESULT_CAP else f"{total:,} authors"
    )


@dataclass(frozen=True, slots=True)
class Experience:
    """The pace (calls per second) and the cost of a call in earlier runs, and the ids of those runs."""

    rate: float | None = None
    rate_from: str | None = None
    cost_per_call: Decimal | None = None
    cost_from: str | None = None


async def experience(database: AsyncDatabase[dict[str, Any]]) -> Experience:
    """Return the pace of the last run with enough calls, and the cost of the last run whose cost is known."""
    newest = [("started_at", DESCENDING)]
    paced = await database[RUNS].find_one(
        {"state": {"$ne": "running"}, "calls.total": {"$gte": FEWEST_CALLS}, "seconds": {"$gt": 0}},
        {"calls.total": 1, "seconds": 1},
        sort=newest,
    )
    known = {"cost.per_call": {"$type": "string"}, "calls.total": {"$gt": 0}}
    priced = None
    # The one call of a plan is a search; the cost of a crawl includes details.
    for condition in ({**known, "close_reason": {"$ne": "planned"}}, known):
        priced = priced or await database[RUNS].find_one(condition, {"cost": 1, "calls": 1}, sort=newest)
    cost = None
    if priced is not None:
        # An estimate has no retries, so each of its calls is billed.
        billed = priced["calls"].get("billed") or priced["calls"]["total"]
        cost = Decimal(priced["cost"]["spent"]) / billed
    if cost is not None and cost <= 0:  # the account was topped up during the run, or bills later
        cost = None
    return Experience(
        rate=paced["calls"]["total"] / paced["seconds"] if paced else None,
        rate_from=paced["_id"] if paced else None,
        cost_per_call=cost,
        cost_from=priced["_id"] if priced and cost is not None else None,
    )


async def left_today(database: AsyncDatabase[dict[str, Any]], cap: int, now: datetime) -> int | None:
    """Return the number of calls left today (`now`, timezone-aware), or None if there is no limit (`cap` 0)."""
    if not cap:
        return None
    day = await database[DAILY_CALLS].find_one({"_id": now.astimezone(QUOTA_ZONE).date().isoformat()})
    return max(0, cap - (day["calls"] if day else 0))


def days_needed(calls: int, *, left: int, cap: int) -> int:
    """Return the number of days on which the crawl must run to make `calls` calls, `left` of them today."""
    return 1 if calls <= left else 1 + -(-(calls - left) // cap)


def cost_of(calls: int, per_call: Decimal) -> Decimal:
    """Return the cost of a number of calls in the account's currency, to four places."""
    return (calls * per_call).quantize(Decimal("0.0001"), ROUND_HALF_UP)
