"""Runs: a record from the first moment on, also of those that never came to their end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import DATASET_VERSION
from xingtu_crawler.storage.runs import HEARTBEAT_S, Runs
from xingtu_crawler.storage.writer import BulkWriter

Database = AsyncDatabase[dict[str, Any]]

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def runs(mongo_db: Database) -> Runs:
    outages = Outages(5)
    return Runs(mongo_db, BulkWriter(mongo_db, outages), outages)


async def states(database: Database) -> dict[str, str]:
    return {run["_id"]: run["state"] async for run in database.runs.find()}


async def test_a_run_is_recorded_from_its_start_to_its_end(runs: Runs, mongo_db: Database) -> None:
    await runs.start("r", {"spider": "authors", "arguments": {"max_age": "1d"}}, started_at=NOW)
    begun = {
        "_id": "r",
        "spider": "authors",
        "arguments": {"max_age": "1d"},
        "state": "running",
        "started_at": NOW,
        "updated_at": NOW,
        "ended_at": None,
        "close_reason": None,
        "verdict": None,
        "findings": [],
        "dataset_version": DATASET_VERSION,
    }
    assert await mongo_db.runs.find_one() == begun

    await runs.beat("r", {"calls": {"total": 5}, "seconds": 10.0}, at=after(10))
    assert await mongo_db.runs.find_one() == {
        **begun,
        "calls": {"total": 5},
        "seconds": 10.0,
        "updated_at": after(10),
    }

    await runs.end("r", {"calls": {"total": 7}, "seconds": 15.0}, close_reason="finished", at=after(15))
    assert await mongo_db.runs.find_one() == {
        **begun,
        "calls": {"total": 7},
        "seconds": 15.0,
        "state": "ended",
        "updated_at": after(15),
        "ended_at": after(15),
        "close_reason": "finished",
    }


async def test_a_run_whose_start_was_lost_is_recorded_all_the_same(runs: Runs, mongo_db: Database) -> None:
    await runs.end("r", {"seconds": 1.0}, close_reason="finished", at=NOW)
    assert await states(mongo_db) == {"r": "ended"}


async def test_runs_that_show_no_sign_of_life_have_crashed(runs: Runs, mongo_db: Database) -> None:
    limit = 6 * HEARTBEAT_S
    for name, seen_at in {"dead": -limit - 1, "barely": -limit, "alive": -1.0}.items():
        await runs.start(name, {}, started_at=after(-3600))
        await runs.beat(name, {}, at=after(seen_at))
    await runs.start("ended", {}, started_at=after(-3600))
    await runs.end("ended", {}, close_reason="finished", at=after(-3000))
    await runs.mark_crashed(now=NOW)
    assert await states(mongo_db) == {"dead": "crashed", "barely": "running", "alive": "running", "ended": "ended"}
    verdicts = {run["_id"]: run["verdict"] async for run in mongo_db.runs.find()}
    assert verdicts == {"dead": "incomplete", "barely": None, "alive": None, "ended": None}


async def test_a_crashed_run_keeps_its_findings_and_says_that_it_crashed(runs: Runs, mongo_db: Database) -> None:
    await runs.start("r", {}, started_at=after(-3600))
    await runs.beat("r", {"findings": [{"kind": "spilled"}]}, at=after(-3600))
    await mongo_db.runs.insert_one({"_id": "old", "state": "running", "updated_at": after(-3600)})  # without findings
    await runs.mark_crashed(now=NOW)
    found = {run["_id"]: [each["kind"] for each in run["findings"]] async for run in mongo_db.runs.find()}
    assert found == {"r": ["spilled", "crashed"], "old": ["crashed"]}


async def test_a_run_that_was_taken_for_dead_and_is_not_is_running_again(runs: Runs, mongo_db: Database) -> None:
    await runs.start("r", {}, started_at=after(-3600))
    await runs.mark_crashed(now=NOW)
    assert await states(mongo_db) == {"r": "crashed"}
    await runs.beat("r", {}, at=NOW)
    assert await states(mongo_db) == {"r": "running"}
    assert (await mongo_db.runs.find_one({}) or {})["verdict"] is None
    await runs.end("r", {}, close_reason="finished", at=after(1))
    await runs.beat("r", {"seconds": 1.0}, at=after(2))  # the last one, overtaken by the end
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["state"], run["updated_at"]) == ("ended", after(1))


async def test_a_run_that_was_taken_for_dead_can_still_end(runs: Runs, mongo_db: Database) -> None:
    await runs.start("r", {}, started_at=after(-3600))
    await runs.mark_crashed(now=NOW)
    await runs.end("r", {}, close_reason="finished", at=after(1))
    assert await states(mongo_db) == {"r": "ended"}
