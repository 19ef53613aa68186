"""What earlier crawls say of the next one."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.dataset.experience import Experience, cost_of, days_needed, experience, left_today

Database = AsyncDatabase[dict[str, Any]]


@given(calls=st.integers(0, 5000), left=st.integers(0, 500), cap=st.integers(1, 500))
def test_days_are_counted_as_they_pass(calls: int, left: int, cap: int) -> None:
    days, rest = 1, calls - left
    while rest > 0:
        days, rest = days + 1, rest - cap
    assert days_needed(calls, left=left, cap=cap) == days


def test_cost_is_to_four_places() -> None:
    assert cost_of(3, Decimal("0.05001")) == Decimal("0.1500")


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


async def test_retries_are_those_of_the_last_runs_with_room_for_chance(mongo_db: Database) -> None:
    await mongo_db.runs.insert_many(
        [
            run("clean", 1, calls={"total": 100, "billed": 100, "retries": 0}),
            run("a", 2, calls={"total": 110, "billed": 100, "retries": 10}),
            run("b", 3, calls={"total": 106, "billed": 100, "retries": 6}),
        ]
    )
    known = await experience(mongo_db)
    assert 16 / 300 < known.retries < 40 / 300
    assert known.retries_of(300) >= 16
    assert Experience().retries_of(300) == 0


async def test_counts_that_were_off_widen_the_next_plan(mongo_db: Database) -> None:
    sweep = {"state": "finished", "started_at": datetime(2026, 3, 1, tzinfo=UTC)}
    await mongo_db.sweeps.insert_many(
        [{**sweep, "_id": number, "total_count": 100, "fewer": fewer} for number, fewer in enumerate((0, 4, -2, None))]
    )
    known = await experience(mongo_db)
    assert (known.fewer, known.more) == (0.04, 0.02)


async def test_a_run_that_has_spent_nothing_is_passed_over(mongo_db: Database) -> None:
    paid = run("paid", 1, cost={"spent": "8.00", "per_call": "0.080000"})
    refused = run("refused", 2, cost={"spent": "0.00", "per_call": "0.000000"})
    await mongo_db.runs.insert_many([paid, refused])
    assert (await experience(mongo_db)).cost_from == "paid"
