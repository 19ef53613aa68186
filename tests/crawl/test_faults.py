"""Crawls of an API with faults: nothing is lost, and nothing is paid for twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import MakeCrawler, StartSandbox

DETAILS = ("author_base_info", "author_marketing_info", "author_rec_videos", "author_video_distribution")
Database = AsyncDatabase[dict[str, Any]]


async def test_every_author_is_complete_in_spite_of_faults(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    faults = ("301=0.10", "500=0.03", "garbage=0.01", "timeout=0.005")
    options = [word for fault in faults for word in ("--fault", fault)]
    sandbox = start_sandbox("--authors", "200", *options)
    done = make_crawler(sandbox)("author_square", settings={"DOWNLOAD_TIMEOUT": 2})
    assert done.returncode == 0, done.stderr
    authors = {author["_id"] async for author in mongo_db.authors.find()}
    complete = [{detail["star_id"] async for detail in mongo_db[collection].find()} for collection in DETAILS]
    assert len(authors) == 200
    assert all(stars == authors for stars in complete)
    ledger = sandbox.ledger()
    assert ledger["answered_twice"] == 0
    assert ledger["calls"] > ledger["answered"] == 10 + 200 * 4  # there were faults


async def test_a_request_that_always_fails_is_recorded_in_failures(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "20")
    star_ids = await _star_ids(make_crawler, sandbox, mongo_db)
    fails = dict(
        zip(star_ids, ("301", "400", "404", "202", "777", "cut", "garbage", "inner", "wrong_id"), strict=False)
    )
    options = [word for star_id, name in fails.items() for word in ("--fail", f"base_info:{star_id}={name}")]
    broken = start_sandbox("--authors", "20", *options)
    done = make_crawler(broken)("authors", star_ids=",".join(fails), settings={"XINGTU_MAX_ATTEMPTS": 3})
    assert done.returncode == 1
    found = {each["star_id"]: each async for each in mongo_db.failures.find()}
    assert [_recorded(found[star_id]) for star_id in fails] == [
        (301, "collection failed, please retry", 3, False),
        (400, "invalid parameters", 1, False),  # a third of the requests is refused: none of them settles
        (404, "not found", 1, False),
        (202, "no content", 1, False),
        (777, "unknown code", 2, False),
        (None, "cut", 2, False),
        (None, "malformed", 2, False),  # the same bytes twice
        (0, "success outside, failure inside (base_resp)", 2, False),
        (0, "quarantined", 1, True),
    ]
    assert all(found[star_id]["request_id"] for star_id, name in fails.items() if name.isdigit())
    # Responses that may have been paid for and cannot become documents are kept raw.
    kept = {each["star_id"] async for each in mongo_db.quarantine.find()}
    by_name = {name: star_id for star_id, name in fails.items()}
    assert kept == {by_name[name] for name in ("wrong_id", "garbage", "777", "inner")}
    assert await mongo_db.author_marketing_info.count_documents({}) == len(fails)

    # The next crawl skips the answer in quarantine and removes the failures whose request succeeds.
    again = make_crawler(sandbox)("authors", star_ids=",".join(fails))
    assert again.returncode == 1, again.stderr
    run = await mongo_db.runs.find_one({}, sort=[("started_at", -1)])
    assert run is not None
    assert run["verdict"] == "incomplete"
    assert [(each["kind"], each["example"]) for each in run["findings"]] == [
        ("quarantined_earlier", by_name["wrong_id"])
    ]
    left = {each["code"] async for each in mongo_db.failures.find()}
    assert left == {0}
    assert await mongo_db.author_base_info.count_documents({}) == len(fails) - 1


@pytest.mark.parametrize("options", [(), ("--gzip",)])
async def test_a_response_that_is_too_large_is_paid_for_once(
    options: tuple[str, ...], start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "20", *options)
    star_ids = await _star_ids(make_crawler, sandbox, mongo_db)
    crawler = make_crawler(sandbox)
    # 3.5 kB, compressed 0.7 kB.
    for _ in range(2):
        crawler("authors", star_ids=star_ids[0], endpoints="marketing_info", settings={"DOWNLOAD_MAXSIZE": 2000})
    assert sandbox.ledger()["by_endpoint"]["marketing_info"]["calls"] == 1
    (failure,) = await mongo_db.failures.find().to_list()
    assert _recorded(failure) == (None, "too_large", 1, True)
    (kept,) = await mongo_db.quarantine.find().to_list()
    assert json.loads(kept["body"])["data"]["price_info"]  # as it came, but for the compression
    assert failure["message"] == (
        f"the answer has {len(kept['body']):,} bytes, more than DOWNLOAD_MAXSIZE: it is kept and not parsed"
    )
    run = await mongo_db.runs.find_one({"calls.total": 1, "arguments.star_ids": star_ids[0]})
    assert run is not None
    assert run["calls"]["maybe_billed"] == 1
    assert run["calls"]["by_endpoint"] == {"marketing_info": {"too_large": 1}}


async def test_a_page_that_fails_is_a_hole_and_not_the_end(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "100", "--fail", "search:2=500")
    crawler = make_crawler(sandbox)
    done = crawler("author_square", endpoints="none", settings={"XINGTU_MAX_ATTEMPTS": 2})
    assert done.returncode == 1
    assert await mongo_db.authors.count_documents({}) == 80
    sweep = await mongo_db.sweeps.find_one({})
    assert sweep is not None
    assert (sweep["holes"], sorted(sweep["pages"])) == ([2], ["1", "3", "4", "5"])
    failure = await mongo_db.failures.find_one({})
    assert failure is not None
    assert (failure["page"], failure["code"], failure["sweep"]) == (2, 500, sweep["_id"])
    assert sandbox.ledger()["by_code"]["500"] == 4  # requested in order and once more at the end, two attempts each


async def test_responses_that_mongodb_cannot_hold_do_not_affect_others(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    options = [word for name in ("bigint", "surrogate", "deep") for word in ("--fault", f"{name}=0.1")]
    sandbox = start_sandbox("--authors", "40", "--fault", "dotted=0.2", *options)
    done = make_crawler(sandbox)("author_square")
    assert "Traceback" not in done.stderr
    asked = 40 * 4
    documents = sum([await mongo_db[collection].count_documents({}) for collection in DETAILS])
    failed = await mongo_db.failures.count_documents({"star_id": {"$exists": True}, "reason": {"$ne": None}})
    details = await mongo_db.quarantine.count_documents({"request.star_id": {"$ne": None}})
    assert documents < asked
    assert documents + failed == asked
    assert details == failed
    assert sandbox.ledger()["answered_twice"] == 0


async def test_redirects_are_refused(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "5", "--fail", "search:1=redirect")
    done = make_crawler(sandbox)("author_square", settings={"XINGTU_MAX_ATTEMPTS": 2, "LOG_LEVEL": "DEBUG"})
    assert done.returncode == 1
    failure = await mongo_db.failures.find_one({})
    assert failure is not None
    assert failure["reason"] == "http_302"


async def _star_ids(make_crawler: MakeCrawler, sandbox: Any, mongo_db: Database) -> list[str]:
    assert make_crawler(sandbox)("author_square", endpoints="none").returncode == 0
    return [author["_id"] async for author in mongo_db.authors.find(sort=[("_id", 1)])]


def _recorded(failure: dict[str, Any]) -> tuple[Any, ...]:
    return failure["code"], failure["reason"], failure["attempts"], failure["terminal"]


async def test_many_quarantined_responses_do_not_flood_the_log(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "60", "--fault", "wrong_id=1")
    done = make_crawler(sandbox)("author_square", endpoints="base_info")
    assert done.returncode == 1
    assert await mongo_db.quarantine.count_documents({"request.endpoint": "base_info"}) > 20
    assert done.stderr.count("WARNING: Quarantined base_info of ") == 20
    assert done.stderr.count("WARNING: Further answers of base_info in quarantine are only counted: ") == 1
    assert f"quarantined: {await mongo_db.quarantine.count_documents({})}" in done.stderr
