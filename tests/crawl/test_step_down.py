"""A crawl into a replica set whose primary steps down meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymongo import MongoClient

from benchmarks.history_check import check
from benchmarks.outage import AWAY, BACK
from tests.harness import PATIENCE_S, Crawler, StartSandbox, wait_until
from tests.mongods import replica_set


def test_a_primary_that_steps_down_costs_nothing(start_sandbox: StartSandbox, mongo_path: Path, tmp_path: Path) -> None:
    sandbox = start_sandbox("--authors", "60", "--latency", "50", "--jitter", "50")
    with replica_set(mongo_path / "db") as uri:
        crawler = Crawler(sandbox.base_url, uri, "stepped", tmp_path)
        process = crawler.start("author_square")
        wait_until(lambda: sandbox.ledger()["answered"] >= 100 or process.poll() is not None)
        with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
            client.admin.command("replSetStepDown", 3, force=True)
            log = tmp_path / "crawl.log"
            assert process.wait(PATIENCE_S) == 0, log.read_text()
            database = client["stepped"]
            names = ("author_base_info", "author_marketing_info", "author_rec_videos", "author_video_distribution")
            assert [database[name].count_documents({}) for name in ("authors", *names)] == [60] * 5
            assert check(database).violations == []
            run = database.runs.find_one({})
        assert run is not None
        assert (run["state"], run["close_reason"]) == ("ended", "finished")
        assert run["calls"]["total"] == sandbox.ledger()["calls"]
        assert sandbox.ledger()["answered_twice"] == 0
        # One outage is logged once, or not at all if no operation met it.
        logged = log.read_bytes()
        assert logged.count(AWAY) == logged.count(BACK) <= 1
