"""Drift: which run a run is compared with, and what is reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.items.drift import FieldCounts
from xingtu_crawler.storage.drift import MOST_FIELDS, report_drift
from xingtu_crawler.verdict import Findings, Verdict

Database = AsyncDatabase[dict[str, Any]]

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
WHOLE = {"id": "1", "follower": 5_000, "nick_name": "示例"}
POOR = {"id": "1", "nick_name": "示例"}


def counted(answers: int, like: dict[str, Any] | None = None, *, odd: int | None = None) -> FieldCounts:
    """Return the counts of some answers, of which `odd` (None: all) are `like` that."""
    counts = FieldCounts()
    for number in range(answers):
        is_odd = like is not None and (odd is None or number < odd)
        counts.add("base_info", like if is_odd and like is not None else WHOLE, str(number))
    return counts


async def ran(database: Database, run_id: str, counts: FieldCounts, *, population: str = "q", **changes: Any) -> None:
    """Record a run of some days ago."""
    run = {
        "_id": run_id,
        "state": "ended",
        "verdict": Verdict.COMPLETE,
        "started_at": NOW - timedelta(days=int(run_id.removeprefix("r"))),
        "fields": {"population": population, "endpoints": counts.as_document()},
    }
    await database.runs.insert_one({**run, **changes})


async def reported(database: Database, counts: FieldCounts) -> Findings:
    findings = Findings()
    await report_drift(database, counts, findings, run_id="r0", population="q")
    return findings


def brief(findings: Findings) -> list[tuple[str, Verdict, int, str | None]]:
    return [(found.kind, found.severity, found.count, found.as_document()["example"]) for found in findings]


async def test_a_field_that_vanished_is_suspicious(mongo_db: Database) -> None:
    await ran(mongo_db, "r7", counted(60))
    (found,) = await reported(mongo_db, counted(60, POOR))
    assert found.text == "base_info: follower is missing in 60 of 60 answers; in run r7 it was so in 0 of 60"
    assert (found.kind, found.severity, found.examples) == ("fields_vanished", Verdict.SUSPICIOUS, ["0"])


async def test_below_a_tenth_of_the_answers_it_is_a_note(mongo_db: Database) -> None:
    await ran(mongo_db, "r7", counted(100))
    assert brief(await reported(mongo_db, counted(100, POOR, odd=5))) == [("fields_vanished", Verdict.COMPLETE, 5, "0")]
    assert brief(await reported(mongo_db, counted(100, POOR, odd=15))) == [
        ("fields_vanished", Verdict.SUSPICIOUS, 15, "0")
    ]


async def test_a_field_of_another_type_is_suspicious(mongo_db: Database) -> None:
    await ran(mongo_db, "r7", counted(60))
    (found,) = await reported(mongo_db, counted(60, {**WHOLE, "follower": "5000"}))
    assert found.text == "base_info: follower is a text in 60 of 60 answers; in run r7 it was so in 0 of 60"
    assert (found.kind, found.severity) == ("types_changed", Verdict.SUSPICIOUS)


async def test_the_last_run_with_enough_answers_counts(mongo_db: Database) -> None:
    await ran(mongo_db, "r7", counted(60))
    await ran(mongo_db, "r6", counted(60, POOR))
    await ran(mongo_db, "r5", counted(5))
    await ran(mongo_db, "r4", counted(60), state="crashed")
    await ran(mongo_db, "r0", counted(60))  # itself
    assert brief(await reported(mongo_db, counted(60, POOR))) == []


async def test_a_run_of_the_same_queries_is_preferred(mongo_db: Database) -> None:
    await ran(mongo_db, "r7", counted(60))
    await ran(mongo_db, "r6", counted(60, POOR), population="other")
    assert [found.text for found in await reported(mongo_db, counted(60, POOR))] == [
        "base_info: follower is missing in 60 of 60 answers; in run r7 it was so in 0 of 60"
    ]


async def test_other_queries_may_find_authors_that_lack_a_field(mongo_db: Database) -> None:
    await ran(mongo_db, "r7", counted(60), population="other")
    assert brief(await reported(mongo_db, counted(60, POOR, odd=30))) == [
        ("fields_vanished", Verdict.COMPLETE, 30, "0")
    ]
    assert brief(await reported(mongo_db, counted(60, POOR))) == [("fields_vanished", Verdict.SUSPICIOUS, 60, "0")]


async def test_a_run_that_stopped_early_has_seen_other_authors(mongo_db: Database) -> None:
    await ran(mongo_db, "r7", counted(60), verdict=Verdict.INCOMPLETE)
    assert brief(await reported(mongo_db, counted(60, POOR, odd=30))) == [
        ("fields_vanished", Verdict.COMPLETE, 30, "0")
    ]


async def test_nothing_before_it_and_few_answers_are_no_drift(mongo_db: Database) -> None:
    await mongo_db.runs.insert_one({"_id": "old", "state": "ended", "started_at": NOW})
    assert brief(await reported(mongo_db, counted(60))) == []
    await ran(mongo_db, "r7", counted(60))
    assert brief(await reported(mongo_db, counted(3, POOR))) == []
    assert brief(await reported(mongo_db, FieldCounts())) == []


async def test_a_renamed_answer_gives_a_bounded_number_of_findings(mongo_db: Database) -> None:
    whole = dict.fromkeys(("id", "follower", "city", "gender", "grade", "status", "sec_uid", "short_id"), 7)
    whole |= dict.fromkeys(("author_type", "category_id", "core_user_id", "creator_type", "province"), 7)
    await ran(mongo_db, "r7", counted(60, whole))
    found = list(await reported(mongo_db, counted(60, {"id": 7})))
    assert len(found) == MOST_FIELDS + 1
    assert found[-1].text == "base_info: 7 more fields differ from run r7"
