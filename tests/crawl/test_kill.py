"""`kill -9`, then the same command again: benchmarks/kill.py, scaled down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.crawling import Place, faults, wait_until
from benchmarks.history_check import ENTITIES, check
from benchmarks.kill import SLOW, kill_repeatedly
from tests.harness import StartSandbox


def test_kill_9_loses_only_the_calls_in_flight(
    start_sandbox: StartSandbox, mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    sandbox = start_sandbox("--authors", "100", *SLOW, *faults(code_301=0.1, code_500=0.03, garbage=0.01))
    tally = kill_repeatedly(Place(sandbox, mongo_uri, mongo_db.name, tmp_path), kills=5, authors=100, seed=7)
    print(tally)
    assert tally.broken() == []
    assert len(tally.kills) == 5


def test_spells_that_a_killed_run_left_in_their_documents_are_moved_at_the_next_start(
    start_sandbox: StartSandbox, mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    sandbox = start_sandbox("--authors", "40", "--latency", "50")
    where = Place(sandbox, mongo_uri, mongo_db.name, tmp_path)
    assert where.crawl("author_square") == 0
    sandbox.control(day=5, reset_ledger=True)
    process = where.start("author_square", max_age=0)
    wait_until(lambda: sandbox.ledger()["answered"] >= 60)
    process.kill()
    process.wait()
    with where.documents() as database:
        # As if it had been killed right after these writes, an hour ago.
        for spell in database.history.find():
            waiting = {name: spell[name] for name in spell if name not in {"_id", "entity", "key", "star_id"}}
            database[spell["entity"]].update_one({"_id": spell["key"]}, {"$push": {"history_pending": waiting}})
        database.history.delete_many({})
        assert sum(database[name].count_documents({"history_pending": {"$exists": True}}) for name in ENTITIES) > 0
        database.runs.update_many(
            {"state": "running"}, {"$set": {"updated_at": datetime.now(UTC) - timedelta(hours=1)}}
        )
    assert where.crawl("author_square", max_age=0) == 0
    with where.documents() as database:
        result = check(database)
        assert [run["state"] for run in database.runs.find(sort=[("started_at", 1)])] == ["ended", "crashed", "ended"]
    assert result.violations == []
    assert result.entities["author_base_info"] == 40
