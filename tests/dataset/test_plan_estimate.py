"""The estimate of a crawl: the paging rules against a walk page by page, and what MongoDB holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.dataset.plan_estimate import (
    Estimate,
    Experience,
    Place,
    Span,
    SquareLimits,
    cost_of,
    days_needed,
    experience,
    left_today,
    of_square,
    together,
)
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.sweeps import Sweeps
from xingtu_crawler.storage.writer import BulkWriter

Database = AsyncDatabase[dict[str, Any]]
NO_LIMITS = SquareLimits(None, None, 4)


@pytest.fixture
async def sweeps(mongo_db: Database) -> Sweeps:
    outages = Outages(1)
    return Sweeps(mongo_db, BulkWriter(mongo_db, outages), outages)


def walk(total: int, done: int, limits: SquareLimits) -> tuple[int, int]:
    """Return (pages read, authors in the end) of a crawl that goes on behind page `done`, page by page."""
    reachable = min(total, 10_000)
    most = limits.max_authors if limits.max_authors is not None else 10**9
    authors, pages, page = min(reachable, done * 20), 0, done
    while not (authors >= most or (limits.max_pages is not None and page >= limits.max_pages)):
        page += 1
        pages += 1
        authors = min(reachable, page * 20)
        if page * 20 >= reachable:
            break
    return pages, min(authors, most)


limit = st.none() | st.integers(1, 700)


@given(
    total=st.integers(0, 12_000),
    done=st.integers(0, 30),
    max_pages=limit,
    max_authors=st.none() | st.integers(1, 12_000),
)
def test_the_number_of_pages_is_exact(total: int, done: int, max_pages: int | None, max_authors: int | None) -> None:
    limits = SquareLimits(max_pages, max_authors, 4)
    place = Place(next_page=done + 1, holes=0, known=min(total, done * 20, 10_000))
    assert tuple(place.ahead(total, limits)) == walk(total, done, limits)


def test_holes_are_read_too() -> None:
    assert tuple(Place(None, holes=2, known=60).ahead(100, NO_LIMITS)) == (2, 100)
    assert tuple(Place(4, holes=1, known=40).ahead(100, NO_LIMITS)) == (3, 100)


@given(calls=st.integers(0, 5000), left=st.integers(0, 500), cap=st.integers(1, 500))
def test_days_are_counted_as_they_pass(calls: int, left: int, cap: int) -> None:
    days, rest = 1, calls - left
    while rest > 0:
        days, rest = days + 1, rest - cap
    assert days_needed(calls, left=left, cap=cap) == days


def test_cost_is_to_four_places() -> None:
    assert cost_of(3, Decimal("0.05001")) == Decimal("0.1500")


@pytest.mark.parametrize(("span", "most", "capped"), [((1, 9), 5, (1, 5)), ((7, 9), 5, (5, 5)), ((7, 9), None, (7, 9))])
def test_limits_cap_both_ends(span: tuple[int, int], most: int | None, capped: tuple[int, int]) -> None:
    assert Span(*span).capped(most) == Span(*capped)


class Missing:
    """Says that the authors in `fresh` lack nothing, those in `lately` lacked all when the open sweep began, and all
    others lack `per_author` details; remembers whose details were counted."""

    def __init__(self, fresh: set[str], per_author: int = 4, lately: set[str] | None = None) -> None:
        self.fresh = fresh
        self.lately = lately or set()
        self.per_author = per_author
        self.counted: list[str] = []

    async def __call__(self, star_ids: Sequence[str], since: datetime | None) -> int:
        self.counted += star_ids
        there = self.lately if since else self.fresh | self.lately
        return self.per_author * sum(star_id not in there for star_id in star_ids)


async def add_sweep(
    mongo_db: Database,
    name: str,
    authors: Sequence[str],
    *,
    day: int = 1,
    state: str = "open",
    next_page: int | None = 2,
    total_count: int | None = 100,
) -> None:
    pages = -(-len(authors) // 20)
    await mongo_db.sweeps.insert_one(
        {
            "_id": name,
            "query_key": "key",
            "state": state,
            "started_at": datetime(2026, 3, day, tzinfo=UTC),
            "finished_at": None,
            "stop_reason": None,
            "next_page": next_page,
            "pages_read": pages,
            "holes": [],
            "total_count": total_count,
        }
    )
    hits = [
        {"sweep": name, "page": 1 + at // 20, "rank": 1 + at % 20, "star_id": each} for at, each in enumerate(authors)
    ]
    if hits:
        await mongo_db.search_hits.insert_many(hits)


def numbered(begin: int, end: int) -> list[str]:
    return [str(1000 + number) for number in range(begin, end)]


async def test_an_unknown_query_gets_bounds(sweeps: Sweeps) -> None:
    missing = Missing(set())
    estimate = await of_square(sweeps, "key", NO_LIMITS, missing)
    assert (estimate.basis, estimate.authors, estimate.search) == ("bounds", Span(0, 10_000), Span(1, 500))
    assert estimate.calls == Span(1, 40_500)
    few = await of_square(sweeps, "key", SquareLimits(3, 50, 4), missing)
    assert (few.authors, few.search, few.details) == (Span(0, 50), Span(1, 3), Span(0, 200))


async def test_the_missing_share_of_the_first_page_stands_for_the_rest(mongo_db: Database, sweeps: Sweeps) -> None:
    await add_sweep(mongo_db, "now", numbered(0, 20))
    estimate = await of_square(sweeps, "key", NO_LIMITS, Missing(set(numbered(0, 5))))
    # 15 of 20 lack 4 details each; so do, it is taken, 60 of the other 80.
    assert estimate == Estimate("estimate", Span(100, 100), Span(4, 4), Span(300, 300), 20, estimate.notes)


async def test_details_that_the_sweep_fetched_do_not_count_for_the_rest(mongo_db: Database, sweeps: Sweeps) -> None:
    await add_sweep(mongo_db, "now", numbered(0, 40), next_page=3)
    missing = Missing(set(numbered(0, 10)), lately=set(numbered(10, 35)))
    estimate = await of_square(sweeps, "key", NO_LIMITS, missing)
    # 5 known authors are left; of the 60 to come a quarter is up to date, as of the 40 before the sweep.
    assert estimate.details == Span(4 * 5 + 4 * 45, 4 * 5 + 4 * 45)


async def test_authors_of_an_earlier_sweep_do_not_count_for_new_ones(mongo_db: Database, sweeps: Sweeps) -> None:
    await add_sweep(mongo_db, "before", numbered(0, 40), day=1, state="finished", next_page=None)
    await add_sweep(mongo_db, "now", numbered(0, 20), day=2)
    estimate = await of_square(sweeps, "key", NO_LIMITS, Missing(set(numbered(0, 40))))
    assert estimate.details == Span(60 * 4, 60 * 4)
    assert "100%" in estimate.notes[1]


async def test_the_authors_of_an_earlier_sweep_are_counted_exactly(mongo_db: Database, sweeps: Sweeps) -> None:
    await add_sweep(mongo_db, "before", numbered(10, 100), day=1, state="finished", next_page=None, total_count=90)
    await add_sweep(mongo_db, "now", numbered(0, 20), day=2)
    missing = Missing(set(numbered(20, 60)))
    estimate = await of_square(sweeps, "key", NO_LIMITS, missing)
    assert missing.counted == numbered(0, 100)
    assert estimate.details == Span(60 * 4, 60 * 4)
    assert not any("nothing is known" in note for note in estimate.notes)


async def test_without_a_page_the_count_is_that_of_an_earlier_sweep(mongo_db: Database, sweeps: Sweeps) -> None:
    await add_sweep(mongo_db, "before", numbered(0, 45), state="finished", next_page=None, total_count=45)
    estimate = await of_square(sweeps, "key", NO_LIMITS, Missing(set(numbered(0, 40))))
    assert (estimate.basis, estimate.authors, estimate.search, estimate.details) == (
        "estimate",
        Span(45, 45),
        Span(3, 3),
        Span(20, 20),
    )
    assert "2026-03-01" in estimate.notes[0]


async def test_when_every_page_is_read_the_plan_is_exact(mongo_db: Database, sweeps: Sweeps) -> None:
    await add_sweep(mongo_db, "now", numbered(0, 30), next_page=None, total_count=31)
    estimate = await of_square(sweeps, "key", SquareLimits(None, 25, 4), Missing(set(numbered(0, 10))))
    assert (estimate.basis, estimate.calls) == ("exact", Span(60, 60))


async def test_a_limit_that_is_reached_leaves_details_only(mongo_db: Database, sweeps: Sweeps) -> None:
    await add_sweep(mongo_db, "now", numbered(0, 20))
    for limits in (SquareLimits(1, None, 4), SquareLimits(None, 20, 4)):
        estimate = await of_square(sweeps, "key", limits, Missing(set()))
        assert (estimate.basis, estimate.search, estimate.details) == ("exact", Span(0, 0), Span(80, 80))


async def test_a_restart_begins_with_page_1(mongo_db: Database, sweeps: Sweeps) -> None:
    await add_sweep(mongo_db, "now", numbered(0, 20), total_count=40)
    estimate = await of_square(sweeps, "key", SquareLimits(None, None, 4, restart=True), Missing(set()))
    assert (estimate.search, estimate.details) == (Span(2, 2), Span(160, 160))


async def test_a_capped_count_reaches_10000(mongo_db: Database, sweeps: Sweeps) -> None:
    await add_sweep(mongo_db, "now", numbered(0, 20), total_count=10_000)
    estimate = await of_square(sweeps, "key", SquareLimits(None, None, 1), Missing(set(), per_author=1))
    assert (estimate.authors, estimate.search) == (Span(10_000, 10_000), Span(499, 499))
    assert "10,000 or more" in estimate.notes[0]


async def test_a_search_alone_costs_pages_alone(mongo_db: Database, sweeps: Sweeps) -> None:
    await add_sweep(mongo_db, "now", numbered(0, 20))
    estimate = await of_square(sweeps, "key", SquareLimits(None, None, 0), Missing(set(), per_author=0))
    assert (estimate.search, estimate.details) == (Span(4, 4), Span(0, 0))


async def test_the_sweeps_of_other_queries_do_not_count(mongo_db: Database, sweeps: Sweeps) -> None:
    await add_sweep(mongo_db, "now", numbered(0, 20))
    assert (await of_square(sweeps, "other", NO_LIMITS, Missing(set()))).basis == "bounds"


def test_queries_add_up_within_the_limit_of_the_crawl() -> None:
    one = Estimate("exact", Span(40, 40), Span(2, 2), Span(160, 160), 4, ("one",))
    two = Estimate("estimate", Span(60, 60), Span(3, 3), Span(200, 200), 40, ("two",))
    assert together([one], NO_LIMITS) is one
    both = together([one, two], NO_LIMITS)
    assert (both.basis, both.authors, both.search, both.details) == (
        "estimate",
        Span(100, 100),
        Span(5, 5),
        Span(360, 360),
    )
    assert both.fresh == 44
    few = together([one, two], SquareLimits(None, 50, 4))
    assert (few.authors, few.details) == (Span(50, 50), Span(200, 200))


async def test_a_sweep_that_ended_at_a_limit_is_planned_from_where_the_crawl_resumes_it(
    mongo_db: Database, sweeps: Sweeps
) -> None:
    await add_sweep(mongo_db, "before", numbered(0, 40), state="finished", next_page=3)
    ended = {"finished_at": datetime(2026, 3, 1, tzinfo=UTC), "stop_reason": "max_pages"}
    await mongo_db.sweeps.update_one({}, {"$set": {**ended, "limits": {"max_pages": 2, "max_authors": None}}})
    for limits, pages in ((SquareLimits(4, None, 4), 2), (SquareLimits(2, None, 4), 2), (SquareLimits(3, None, 4), 1)):
        assert (await of_square(sweeps, "key", limits, Missing(set()))).search == Span(pages, pages)
    later = SquareLimits(4, None, 4, newer_than=datetime(2026, 3, 2, tzinfo=UTC))
    assert (await of_square(sweeps, "key", later, Missing(set()))).search == Span(4, 4)


def run(name: str, day: int, **fields: Any) -> dict[str, Any]:
    return {
        "_id": name,
        "state": "ended",
        "close_reason": "finished",
        "started_at": datetime(2026, 3, day, tzinfo=UTC),
        "seconds": 10.0,
        "calls": {"total": 100, "billed": 80},
        "cost": None,
        **fields,
    }


async def test_nothing_is_known_before_the_first_run(mongo_db: Database) -> None:
    assert await experience(mongo_db) == Experience()


async def test_pace_and_cost_are_those_of_the_last_run_that_has_them(mongo_db: Database) -> None:
    cost = {"spent": "8.00", "per_call": "0.080000", "per_author": None}
    await mongo_db.runs.insert_many(
        [
            run("old", 1, cost={**cost, "spent": "80.00"}),
            run("priced", 2, cost=cost),
            run("paced", 3, seconds=20.0),
            run("short", 4, calls={"total": 3, "billed": 3}),
            run("planned", 5, calls={"total": 1, "billed": 1}, close_reason="planned", cost={**cost, "spent": "1.00"}),
            run("now", 6, state="running", calls={"total": 50, "billed": 50}),
        ]
    )
    # What was billed is what costs: retries are in the calls of a run and not in a plan.
    assert await experience(mongo_db) == Experience(5.0, "paced", Decimal("0.1"), "priced")


async def test_the_call_of_a_plan_gives_the_cost_if_no_crawl_does(mongo_db: Database) -> None:
    spent = {"spent": "0.05", "per_call": "0.050000"}
    await mongo_db.runs.insert_one(run("p", 1, calls={"total": 1, "billed": 1}, close_reason="planned", cost=spent))
    assert (await experience(mongo_db)).cost_per_call == Decimal("0.05")


@pytest.mark.parametrize("spent", ["-50.00", "0.00", "0"])
async def test_a_balance_that_did_not_fall_gives_no_cost(mongo_db: Database, spent: str) -> None:
    """The account was topped up during the run, or bills later: a plan that says 0 would look free."""
    await mongo_db.runs.insert_one(run("a", 1, cost={"spent": spent, "per_call": "0.000000"}))
    found = await experience(mongo_db)
    assert (found.cost_per_call, found.cost_from) == (None, None)
    assert found.rate_from == "a"


async def test_the_day_of_the_cap_is_that_of_shanghai(mongo_db: Database) -> None:
    await mongo_db.daily_calls.insert_one({"_id": "2026-03-02", "calls": 70})
    late = datetime(2026, 3, 1, 16, 30, tzinfo=UTC)
    assert await left_today(mongo_db, 100, late) == 30
    assert await left_today(mongo_db, 50, late) == 0
    assert await left_today(mongo_db, 100, late.replace(hour=15)) == 100
    assert await left_today(mongo_db, 0, late) is None
