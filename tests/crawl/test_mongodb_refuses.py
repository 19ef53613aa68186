"""A MongoDB that refuses writes: one line before the first call; later answers are kept raw, no crawl is blocked."""

from __future__ import annotations

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import MakeCrawler, StartSandbox

Database = AsyncDatabase[dict[str, Any]]


async def test_a_validator_against_the_documents_of_a_crawl_ends_it_before_the_first_call(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "10")
    await mongo_db.create_collection("author_base_info", validator={"ours": True})
    done = make_crawler(sandbox)("author_square")
    assert done.returncode == 2
    (line,) = done.error_lines
    assert "MongoDB refuses a write that every crawl makes, to author_base_info (Document failed validation)" in line
    assert "Traceback" not in done.stderr
    assert sandbox.ledger()["calls"] == 0
    names = [name for name in await mongo_db.list_collection_names() if name not in {"spells", "system.views", "meta"}]
    assert sum([await mongo_db[name].count_documents({}) for name in names]) == 0


async def test_an_error_while_closing_counts_and_the_run_is_ended(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "10")
    await mongo_db.create_collection("runs", validator={"authors": {"$exists": False}})  # the last figures have it
    done = make_crawler(sandbox)("author_square", endpoints="none")
    assert "Closed (finished)" in done.stderr
    assert done.returncode == 1
    assert any("The run record could not be completed: MongoDB refuses a write to runs" in e for e in done.error_lines)
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["state"], run["close_reason"]) == ("ended", "finished")
    assert await mongo_db.authors.count_documents({}) == 10


async def test_a_sweep_that_takes_no_further_page_blocks_no_other_crawl(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "60")
    crawler = make_crawler(sandbox)
    await mongo_db.create_collection("sweeps", validator={"pages.2": {"$exists": False}})
    done = crawler("author_square", endpoints="none")
    assert done.returncode == 1
    assert await mongo_db.authors.count_documents({}) == 60  # what the pages show is stored
    kept = await mongo_db.quarantine.find({}, {"request": 1, "reason": 1}).to_list()
    assert {each["request"]["page"] for each in kept} == {2}
    assert "MongoDB refuses a write to sweeps" in kept[0]["reason"]
    other = crawler("author_square", endpoints="none", max_pages=1, follower_range="0-100000000")
    assert other.returncode == 0, other.stderr
    assert crawler("author_square", endpoints="none").returncode == 1
