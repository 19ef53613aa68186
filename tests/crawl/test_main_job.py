"""The main job end to end: a crawl of a sandbox into MongoDB."""

from __future__ import annotations

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import MakeCrawler, StartSandbox

DETAILS = ("author_base_info", "author_marketing_info", "author_rec_videos", "author_video_distribution")


async def test_a_query_is_crawled_completely(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: AsyncDatabase[dict[str, Any]]
) -> None:
    sandbox = start_sandbox("--authors", "60")
    done = make_crawler(sandbox)("author_square")
    assert done.returncode == 0, done.stderr
    assert done.error_lines == []

    authors = {author["_id"] async for author in mongo_db.authors.find()}
    assert len(authors) == 60
    for collection in DETAILS:
        assert {detail["star_id"] async for detail in mongo_db[collection].find()} == authors
    ledger = sandbox.ledger()
    assert ledger["calls"] == 3 + 60 * 4
    assert ledger["answered_twice"] == 0

    sweep = await mongo_db.sweeps.find_one({})
    assert sweep is not None
    assert (sweep["state"], sweep["stop_reason"], sweep["pages_read"]) == ("finished", "no_more_pages", 3)
    assert await mongo_db.search_hits.count_documents({"sweep": sweep["_id"]}) == 60
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["state"], run["close_reason"], run["calls"]["total"]) == ("ended", "finished", 243)


async def test_the_same_command_makes_no_detail_call(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> None:
    sandbox = start_sandbox("--authors", "60")
    crawler = make_crawler(sandbox)
    assert crawler("author_square").returncode == 0
    sandbox.control(reset_ledger=True)
    assert crawler("author_square").returncode == 0
    assert set(sandbox.ledger()["by_endpoint"]) == {"search"}
