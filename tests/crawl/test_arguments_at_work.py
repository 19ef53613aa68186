"""What the spider arguments change in a crawl: the sandbox's ledger and MongoDB show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import MakeCrawler, StartSandbox

Database = AsyncDatabase[dict[str, Any]]


async def test_several_platforms_and_chosen_endpoints(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "20")
    crawler = make_crawler(sandbox)
    done = crawler("author_square", platform="SHORT_VIDEO,live_streaming", endpoints="base_info,rec_videos")
    assert done.returncode == 0, done.stderr
    assert {each["_id"].split(":")[1] async for each in mongo_db.author_base_info.find()} == {
        "SHORT_VIDEO",
        "LIVE_STREAMING",
    }
    assert await mongo_db.author_rec_videos.count_documents({"platform": "LIVE_STREAMING"}) == 20
    assert set(sandbox.ledger()["by_endpoint"]) == {"search", "base_info", "rec_videos"}


async def test_max_pages_and_max_authors(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "200")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", max_pages=2, endpoints="none").returncode == 0
    assert await mongo_db.authors.count_documents({}) == 40
    assert crawler("author_square", max_authors=30, sort="DEFAULT").returncode == 0
    # A page is stored whole because it is paid for; details are fetched for `max_authors` authors only.
    assert await mongo_db.author_base_info.count_documents({}) == 30
    reasons = [run["close_reason"] async for run in mongo_db.runs.find(sort=[("started_at", 1)])]
    assert reasons == ["finished", "max_authors"]


async def test_max_age_zero_fetches_everything_again_but_nothing_twice_in_one_run(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "60", "--overlap", "0.3")
    crawler = make_crawler(sandbox)
    for _ in range(2):
        sandbox.control(reset_ledger=True)
        assert crawler("author_square", endpoints="base_info", max_age=0).returncode == 0
        ledger = sandbox.ledger()
        assert ledger["by_endpoint"]["base_info"]["calls"] == await mongo_db.author_base_info.count_documents({})
        assert ledger["answered_twice"] == 0
    hits = await mongo_db.search_hits.count_documents({})
    assert hits > 2 * await mongo_db.authors.count_documents({})  # the overlap was there


async def test_filters_reach_the_api(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "2000")
    done = make_crawler(sandbox)(
        "author_square",
        content_tag="美食",
        follower_range="100000-500000",
        kol_price_type="VIDEO_21_60S",
        kol_price_range="1000-1000000",
        endpoints="none",
    )
    assert done.returncode == 0, done.stderr
    found = [author["data"]["attribute_datas"] async for author in mongo_db.authors.find()]
    assert found
    assert all(100_000 <= each["follower"] <= 500_000 for each in found)
    assert all("美食" in each["tags_relation"] for each in found)
    sweep = await mongo_db.sweeps.find_one({})
    assert sweep is not None
    assert sweep["filters"]["followerRange"] == "100000-500000"


async def test_authors_from_a_file(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    sandbox = start_sandbox("--authors", "250")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", endpoints="none").returncode == 0
    star_ids = [author["_id"] async for author in mongo_db.authors.find()]
    (tmp_path / "ids.txt").write_text("# chosen\n" + "\n".join(star_ids), encoding="utf-8")
    sandbox.control(reset_ledger=True)
    done = crawler("authors", star_ids_file="ids.txt", endpoints="video_distribution")
    assert done.returncode == 0, done.stderr
    assert sandbox.ledger()["by_endpoint"] == {"video_distribution": {"calls": 250, "answered": 250}}
    assert await mongo_db.author_video_distribution.count_documents({}) == 250


async def test_an_author_listed_twice_in_a_file_is_fetched_once(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    sandbox = start_sandbox("--authors", "150")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", endpoints="none").returncode == 0
    star_ids = [author["_id"] async for author in mongo_db.authors.find()]
    # The two occurrences are far apart, so the first is stored before the second is read. One id is unknown.
    (tmp_path / "ids.txt").write_text("\n".join([*star_ids, "123"] * 2), encoding="utf-8")
    sandbox.control(reset_ledger=True)
    done = crawler("authors", star_ids_file="ids.txt", endpoints="base_info", max_age=0, terminal=1)
    assert done.returncode == 0, done.stderr
    assert sandbox.ledger()["by_endpoint"]["base_info"] == {"calls": 151, "answered": 150}


async def test_an_unknown_author_is_not_requested_again(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "20")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", endpoints="none").returncode == 0
    star_ids = ",".join([*[author["_id"] async for author in mongo_db.authors.find()], "123"])
    for _ in range(2):
        assert crawler("authors", star_ids=star_ids, endpoints="base_info").returncode == 0
    assert sandbox.ledger()["by_endpoint"]["base_info"]["calls"] == 21
    failure = await mongo_db.failures.find_one({})
    assert failure is not None
    assert (failure["_id"], failure["code"], failure["terminal"]) == ("base_info:123:SHORT_VIDEO", 404, True)


async def test_a_limit_that_is_already_reached_leaves_an_unfinished_sweep_open(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "100")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", endpoints="none", max_calls=3).returncode == 0
    assert crawler("author_square", endpoints="none", max_authors=40).returncode == 0
    assert sandbox.ledger()["calls"] == 3
    assert crawler("author_square", endpoints="none").returncode == 0
    # Five pages in total: none was paid for twice.
    assert sandbox.ledger()["by_endpoint"]["search"] == {"calls": 5, "answered": 5}
    sweeps = [(each["state"], each["pages_read"]) async for each in mongo_db.sweeps.find()]
    assert sweeps == [("finished", 5)]
