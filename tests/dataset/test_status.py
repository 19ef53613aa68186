"""The state of a dataset, read off a real MongoDB, and how it is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from rich.cells import cell_len
from rich.console import Console

from xingtu_crawler.dataset.status import read
from xingtu_crawler.dataset.status_tables import render
from xingtu_crawler.storage.collections import create_indexes, names

Database = AsyncDatabase[dict[str, Any]]

NOW = datetime(2026, 3, 8, 9, 30, tzinfo=UTC)


async def state_of(mongo_db: Database, spill: Path, *, cap: int = 0, exact_up_to: int = 1000) -> dict[str, Any]:
    return await read(mongo_db, now=NOW, spill=spill, daily_cap=cap, exact_up_to=exact_up_to)


def shown(state: dict[str, Any], *, width: int = 160) -> str:
    page = StringIO()
    Console(file=page, width=width).print(render(state), crop=False)
    return page.getvalue()


def run(name: str, started_at: datetime, **fields: Any) -> dict[str, Any]:
    return {
        "_id": name,
        "spider": "author_square",
        "state": "ended",
        "close_reason": "finished",
        "started_at": started_at,
        "updated_at": started_at,
        "seconds": 12.5,
        "calls": {"total": 100, "billed": 80},
        "authors": 20,
        "cost": None,
        **fields,
    }


def details(count: int, platform: str, age: timedelta, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"_id": f"{first + number}:{platform}", "platform": platform, "crawl": {"fetched_at": NOW - age}}
        for number in range(count)
    ]


async def test_an_empty_dataset_has_a_state_too(mongo_db: Database, tmp_path: Path) -> None:
    state = await state_of(mongo_db, tmp_path / "none")
    assert state["runs"] == state["open_sweeps"] == state["failures"] == state["coverage"]["details"] == []
    assert state["days"]["total"]["calls"] == 0
    assert set(state["documents"]) == set(names()) - {"planned_pages"}
    assert f"No crawl into the database {state['database']} yet. MONGO_URI, MONGO_DATABASE and" in shown(state)
    # Nothing was written: not even an empty collection is there.
    assert await mongo_db.list_collection_names() == []


async def test_the_last_ten_runs_come_newest_first(mongo_db: Database, tmp_path: Path) -> None:
    await mongo_db.runs.insert_many(run(f"r{hour:02}", NOW - timedelta(hours=hour)) for hour in range(12))
    state = await state_of(mongo_db, tmp_path)
    assert [each["run_id"] for each in state["runs"]] == [f"r{hour:02}" for hour in range(10)]
    assert state["runs"][0] == {
        "run_id": "r00",
        "spider": "author_square",
        "state": "ended",
        "close_reason": "finished",
        "verdict": None,
        "findings": [],
        "started_at": NOW,
        "seconds": 12.5,
        "calls": 100,
        "authors": 20,
    }


async def test_a_crashed_run_is_distinguished_from_a_running_one(mongo_db: Database, tmp_path: Path) -> None:
    alive = {"state": "running", "close_reason": None, "updated_at": NOW - timedelta(seconds=20)}
    dead = {**alive, "updated_at": NOW - timedelta(minutes=5)}
    begun = {"calls": None, "seconds": None}
    unstarted = {key: value for key, value in run("new", NOW, **alive).items() if key not in begun}
    await mongo_db.runs.insert_many([unstarted, run("dead", NOW - timedelta(hours=1), **dead)])
    state = await state_of(mongo_db, tmp_path)
    assert [(each["run_id"], each["state"], each["calls"]) for each in state["runs"]] == [
        ("new", "running", None),
        ("dead", "crashed", 100),
    ]
    assert (await mongo_db.runs.find_one({"_id": "dead"}) or {})["state"] == "running"
    assert "crashed" in shown(state)
    assert [each["verdict"] for each in state["runs"]] == [None, "incomplete"]


async def test_runs_have_their_verdict_and_old_ones_a_dash(mongo_db: Database, tmp_path: Path) -> None:
    reason = {"kind": "details_failed", "severity": "incomplete", "message": "3 requests failed", "count": 3}
    note = {"kind": "coverage", "severity": "complete", "message": "96 of 393 authors complete", "count": 1}
    await mongo_db.runs.insert_many(
        [
            run("new", NOW, verdict="incomplete", findings=[reason, note]),
            run("old", NOW - timedelta(hours=1)),
        ]
    )
    state = await state_of(mongo_db, tmp_path)
    assert [(each["verdict"], each["findings"]) for each in state["runs"]] == [
        ("incomplete", [reason, note]),
        (None, []),
    ]
    page = shown(state, width=80)
    assert "finished  incomplete" in page
    assert "finished  -  " in page
    assert "Last run incomplete: 3 requests failed" in page
    assert "393" not in page


async def test_the_tables_fit_80_columns_without_broken_words(mongo_db: Database, tmp_path: Path) -> None:
    await create_indexes(mongo_db)
    big = {"calls": {"total": 1_234_567, "billed": 1}, "authors": 1_234_567, "seconds": 123_456.7}
    await mongo_db.runs.insert_many(
        run(reason, NOW, close_reason=reason, verdict="incomplete", cost={"spent": "12345.6789"}, **big)
        for reason in ("finished", "insufficient_balance", "closespider_pagecount_no_item")
    )
    filters = {"keyword": "美食探店" * 10, "contentTag": "美妆,穿搭", "followerRange": "100000-1000000"}
    await mongo_db.sweeps.insert_one(sweep("s", "a", 1, filters=filters, pages_read=500))
    reason = "undocumented failure: the response has neither a code nor a message that this project knows"
    failure = {"endpoint": "video_distribution", "code": 300, "reason": reason, "terminal": False}
    await mongo_db.failures.insert_one(failure)
    await mongo_db.quarantine.insert_one({"reason": reason})
    await mongo_db.author_video_distribution.insert_many(details(9, "LIVE_STREAMING", timedelta(days=40)))
    page = shown(await state_of(mongo_db, tmp_path / "spill"), width=80)
    assert max(map(cell_len, page.splitlines())) <= 80
    words = ["insufficient_balance", "closespider_pagecount_no_item", "followerRange=100000-1000000", "incomplete"]
    for word in [
        *words,
        *reason.split(),
        "video_distribution",
        "LIVE_STREAMING",
        "1,234,567",
        "author_video_distribution",
    ]:
        assert word in page


async def test_calls_and_cost_are_summed_by_the_day_of_shanghai(mongo_db: Database, tmp_path: Path) -> None:
    cost = {"spent": "1.10", "per_call": "0.01"}
    await mongo_db.runs.insert_many(
        [
            run("a", datetime(2026, 3, 6, 15, 59, tzinfo=UTC), cost=cost),
            run("b", datetime(2026, 3, 6, 16, 0, tzinfo=UTC), cost={**cost, "spent": "2.25"}),
            run("c", datetime(2026, 3, 7, 15, 59, tzinfo=UTC)),
            run("d", datetime(2026, 3, 8, 1, 0, tzinfo=UTC)),
        ]
    )
    days = (await state_of(mongo_db, tmp_path))["days"]
    assert days["recent"] == [
        {"day": "2026-03-08", "runs": 1, "calls": 100, "billed": 80, "cost": None, "runs_with_cost": 0},
        {"day": "2026-03-07", "runs": 2, "calls": 200, "billed": 160, "cost": "2.25", "runs_with_cost": 1},
        {"day": "2026-03-06", "runs": 1, "calls": 100, "billed": 80, "cost": "1.10", "runs_with_cost": 1},
    ]
    assert days["total"] == {"runs": 4, "calls": 400, "billed": 320, "cost": "3.35", "runs_with_cost": 2}


async def test_a_run_of_several_days_counts_on_each_of_them(mongo_db: Database, tmp_path: Path) -> None:
    by_day = {"2026-03-06": {"calls": 10, "billed": 0}, "2026-03-07": {"calls": 60, "billed": 50}}
    by_day["2026-03-08"] = {"calls": 30, "billed": 30}
    calls = {"total": 100, "billed": 80, "by_day": by_day}
    await mongo_db.runs.insert_many(
        [
            run("long", datetime(2026, 3, 6, 12, tzinfo=UTC), calls=calls, cost={"spent": "1.0000"}),
            run("short", datetime(2026, 3, 8, 0, tzinfo=UTC), cost={"spent": "0.5"}),
        ]
    )
    days = (await state_of(mongo_db, tmp_path))["days"]
    assert days["recent"] == [
        {"day": "2026-03-08", "runs": 2, "calls": 130, "billed": 110, "cost": "0.8750", "runs_with_cost": 2},
        {"day": "2026-03-07", "runs": 1, "calls": 60, "billed": 50, "cost": "0.6250", "runs_with_cost": 1},
        {"day": "2026-03-06", "runs": 1, "calls": 10, "billed": 0, "cost": "0.0000", "runs_with_cost": 1},
    ]
    assert days["total"] == {"runs": 2, "calls": 200, "billed": 160, "cost": "1.5000", "runs_with_cost": 2}


def sweep(name: str, key: str, day: int, **fields: Any) -> dict[str, Any]:
    return {
        "_id": name,
        "query_key": key,
        "filters": {"keyword": "美食"},
        "state": "open",
        "started_at": datetime(2026, 3, day, tzinfo=UTC),
        "pages_read": 2,
        "next_page": 3,
        "holes": [2],
        "total_count": 10_000,
        "capped": True,
        "pages": {},
        **fields,
    }


async def test_only_a_sweep_that_can_be_resumed_is_open(mongo_db: Database, tmp_path: Path) -> None:
    await mongo_db.sweeps.insert_many(
        [
            sweep("left", "a", 1),
            sweep("taken over", "b", 1),
            sweep("newer", "b", 2, state="finished"),
            sweep("of another query", "c", 3, total_count=None, capped=None, next_page=None),
        ]
    )
    hits = [("left", 1, 1, "7"), ("left", 1, 2, "8"), ("left", 2, 1, "7"), ("newer", 1, 1, "9")]
    names = ("sweep", "page", "rank", "star_id")
    await mongo_db.search_hits.insert_many(dict(zip(names, hit, strict=True)) for hit in hits)
    state = await state_of(mongo_db, tmp_path)
    assert [each["sweep"] for each in state["open_sweeps"]] == ["of another query", "left"]
    left = state["open_sweeps"][1]
    assert (left["authors"], left["next_page"], left["holes"], left["total_count"]) == (2, 3, [2], 10_000)
    assert "10,000 or more" in shown(state)
    assert "keyword=美食" in shown(state)


async def test_coverage_is_by_endpoint_platform_and_age(mongo_db: Database, tmp_path: Path) -> None:
    await create_indexes(mongo_db)
    await mongo_db.authors.insert_many({"_id": str(number)} for number in range(9))
    await mongo_db.author_base_info.insert_many(
        [
            *details(4, "SHORT_VIDEO", timedelta(hours=1)),
            *details(3, "SHORT_VIDEO", timedelta(days=8), first=4),
            *details(2, "LIVE_STREAMING", timedelta(days=40)),
        ]
    )
    coverage = (await state_of(mongo_db, tmp_path))["coverage"]
    assert coverage["authors"] == {"count": 9, "estimate": False}
    same = {"endpoint": "base_info", "estimate": False}
    assert coverage["details"] == [
        {**same, "platform": "LIVE_STREAMING", "authors": 2, "older_than": {"1d": 2, "7d": 2, "30d": 2}},
        {**same, "platform": "SHORT_VIDEO", "authors": 7, "older_than": {"1d": 3, "7d": 3, "30d": 0}},
    ]


async def test_large_collections_are_estimated_and_marked(mongo_db: Database, tmp_path: Path) -> None:
    await create_indexes(mongo_db)
    await mongo_db.author_base_info.insert_many(
        [*details(30, "SHORT_VIDEO", timedelta(days=2)), *details(10, "LIVE_STREAMING", timedelta(days=2))]
    )
    state = await state_of(mongo_db, tmp_path, exact_up_to=20)
    assert state["documents"]["author_base_info"] == {"count": 40, "estimate": True}
    rows = {row["platform"]: row for row in state["coverage"]["details"]}
    assert {name: row["authors"] for name, row in rows.items()} == {"SHORT_VIDEO": 30, "LIVE_STREAMING": 10}
    assert rows["SHORT_VIDEO"]["older_than"] == {"1d": 30, "7d": 0, "30d": 0}
    assert all(row["estimate"] for row in rows.values())
    assert "~40" in shown(state)
    assert "~ marks an estimate" in shown(state)


async def test_failures_and_quarantine_are_counted_by_reason(mongo_db: Database, tmp_path: Path) -> None:
    failure = {"endpoint": "base_info", "code": 301, "reason": "collection failed", "terminal": False}
    await mongo_db.failures.insert_many(
        [dict(failure), dict(failure), {**failure, "code": None, "reason": "timeout"}, {**failure, "terminal": True}]
    )
    await mongo_db.quarantine.insert_many(
        {"reason": f"id is '{number}' and not '123456789'"} for number in (99999999, 88888888)
    )
    state = await state_of(mongo_db, tmp_path)
    assert state["failures"][0] == {**failure, "count": 2}
    assert [each["count"] for each in state["failures"]] == [2, 1, 1]
    assert state["quarantine"] == [{"reason": "id is '…' and not '…'", "count": 2}]
    assert "timeout" in shown(state)
    assert "scrapy replay --dry-run" in shown(state)


async def test_spill_files_are_counted(mongo_db: Database, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n{}\n")
    (tmp_path / "b.jsonl").write_text("{}\n")
    (tmp_path / "c.broken").write_text("{")
    (tmp_path / "d.refused").write_text("{}\n{}\n")
    state = await state_of(mongo_db, tmp_path)
    assert state["spill"] == {
        "directory": str(tmp_path),
        "files": 2,
        "answers": 3,
        "refused_files": 1,
        "refused_answers": 2,
        "broken_files": 1,
    }
    assert "3 answers in 2 files" in shown(state)
    assert "MongoDB refuses 2 answers in 1 files" in shown(state)


async def test_a_spill_directory_that_cannot_be_read_counts_as_empty(mongo_db: Database, tmp_path: Path) -> None:
    state = await state_of(mongo_db, tmp_path / ("x" * 300))
    assert (state["spill"]["files"], state["spill"]["answers"]) == (0, 0)


async def test_the_daily_cap_and_its_days(mongo_db: Database, tmp_path: Path) -> None:
    await mongo_db.daily_calls.insert_many([{"_id": "2026-03-07", "calls": 5}, {"_id": "2026-03-08", "calls": 7}])
    state = await state_of(mongo_db, tmp_path, cap=100)
    assert state["daily_calls"] == {
        "cap": 100,
        "today": "2026-03-08",
        "days": [{"day": "2026-03-08", "calls": 7}, {"day": "2026-03-07", "calls": 5}],
    }
    assert "limit 100" in shown(state)


async def test_spells_are_counted_by_collection(mongo_db: Database, tmp_path: Path) -> None:
    await mongo_db.history.insert_many({"entity": entity} for entity in ("videos", "authors", "videos"))
    state = await state_of(mongo_db, tmp_path)
    assert state["history"] == {"spells": {"count": 3, "estimate": False}, "by_entity": {"authors": 1, "videos": 2}}
    assert (await state_of(mongo_db, tmp_path, exact_up_to=2))["history"]["by_entity"] is None
