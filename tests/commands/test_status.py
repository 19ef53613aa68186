"""`scrapy status` as a user runs it, after real crawls of a sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import MakeCrawler, StartSandbox, command, environment, run

Database = AsyncDatabase[dict[str, Any]]

KEYS = {
    "database",
    "at",
    "runs",
    "open_sweeps",
    "coverage",
    "failures",
    "quarantine",
    "spill",
    "days",
    "daily_calls",
    "documents",
    "history",
}


async def test_the_state_is_that_of_the_crawls(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "60")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", endpoints="base_info", max_calls=45, sort="DEFAULT").returncode == 0
    done = crawler.scrapy("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    state = json.loads(done.stdout)
    assert set(state) == KEYS
    assert state["database"] == mongo_db.name
    (last,) = state["runs"]
    assert (last["spider"], last["close_reason"], last["calls"]) == ("author_square", "max_calls", 45)
    (sweep,) = state["open_sweeps"]
    found = await mongo_db.sweeps.find_one({})
    assert found is not None
    assert sweep["pages_read"] == found["pages_read"] > 0
    assert sweep["next_page"] == found["next_page"]
    assert sweep["authors"] == await mongo_db.authors.count_documents({})
    (row,) = state["coverage"]["details"]
    assert row["authors"] == await mongo_db.author_base_info.count_documents({})
    assert state["documents"]["authors"] == {"count": await mongo_db.authors.count_documents({}), "estimate": False}
    assert state["days"]["total"]["calls"] == 45
    assert sum(day["calls"] for day in state["days"]["recent"]) == 45
    (run_of_it,) = await mongo_db.runs.find().to_list()
    by_day = run_of_it["calls"]["by_day"].values()
    assert sum(day["calls"] for day in by_day) == 45
    assert sum(day["billed"] for day in by_day) == run_of_it["calls"]["billed"] > 0
    assert state["days"]["total"]["runs_with_cost"] == 1
    assert state["history"]["spells"]["count"] == await mongo_db.history.count_documents({}) == 0

    shown = crawler.scrapy("status")
    assert (shown.returncode, shown.stderr) == (0, "")
    for text in ("Last runs", "max_calls", "sort=DEFAULT", "base_info", "SHORT_VIDEO", "Documents", "Runs by day"):
        assert text in shown.stdout


async def test_nothing_is_written(mongo_uri: str, mongo_db: Database, tmp_path: Path) -> None:
    env = environment(MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_db.name)
    done = run(command("status"), cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "No crawl into the database" in done.stdout
    assert await mongo_db.list_collection_names() == []
    assert list(tmp_path.iterdir()) == []


def test_without_a_dataset_there_is_an_error_line(tmp_path: Path) -> None:
    done = run(command("status"), cwd=tmp_path, env=environment())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: There is no dataset in .data yet: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--jsn"], "Unknown option --jsn: did you mean --json?"),
        (["--verbose"], "Unknown option --verbose: run scrapy status -h for the options."),
        (["runs"], "scrapy status does not take 'runs': "),
        (["-s", "XINGTU_DAILY_CALLS=many"], "XINGTU_DAILY_CALLS is 'many': "),
    ],
)
def test_a_mistake_is_one_error_line(tmp_path: Path, words: list[str], said: str) -> None:
    done = run(command("status", *words), cwd=tmp_path, env=environment())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1
