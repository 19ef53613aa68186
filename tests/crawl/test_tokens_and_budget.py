"""Crawls whose tokens are refused one after another, and crawls with a maximum cost."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import MakeCrawler, StartSandbox

Database = AsyncDatabase[dict[str, Any]]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("invalid", "no_valid_token"),
        ("quota:50", "quota_exhausted"),
        ("balance:50", "insufficient_balance"),
        ("spend:50", "insufficient_balance"),
    ],
)
async def test_a_crawl_whose_only_token_is_refused_closes_with_the_reason(
    state: str, reason: str, start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "40", "--token", f"one={state}")
    done = make_crawler(sandbox, token="one")("author_square")
    assert done.returncode == 1
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert run["close_reason"] == reason
    assert await mongo_db.failures.count_documents({}) == 0  # left for the next run, not recorded as failed

    # With a valid token, the same command fetches the rest and pays for nothing twice.
    again = make_crawler(sandbox, token="tok-b")("author_square")
    assert again.returncode == 0, again.stderr
    assert await mongo_db.author_base_info.count_documents({}) == 40
    assert sandbox.ledger()["answered_twice"] == 0
    assert await mongo_db.sweeps.count_documents({"state": "finished"}) == 1


async def test_the_crawl_continues_with_the_remaining_tokens(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    options = [
        "tok-bad=invalid",
        "tok-day=quota:20",
        "acct1=balance:20,account:A",
        "acct2=balance:20,account:A",
        "tok-cap=spend:20",
    ]
    sandbox = start_sandbox("--authors", "60", *(word for option in options for word in ("--token", option)))
    done = make_crawler(sandbox, token="tok-bad,tok-day,A:acct1,A:acct2,tok-cap,tok-good")("author_square")
    assert done.returncode == 0, done.stderr
    assert await mongo_db.author_video_distribution.count_documents({}) == 60
    codes = sandbox.ledger()["by_code"]
    assert {"100", "303", "601", "602"} <= set(codes)
    assert sandbox.ledger()["answered_twice"] == 0


async def test_the_quota_of_the_only_token_that_may_use_an_endpoint_leaves_its_requests_open(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    options = ("--token", "tok-one=deny:marketing_info", "--token", "tok-two=quota:10")
    sandbox = start_sandbox("--authors", "40", *options)
    done = make_crawler(sandbox, token="tok-one,tok-two")("author_square", endpoints="base_info,marketing_info")
    assert done.returncode == 1
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["close_reason"], run["verdict"]) == ("quota_exhausted", "incomplete")
    assert await mongo_db.failures.count_documents({}) == 0
    assert await mongo_db.author_base_info.count_documents({}) == 40
    again = make_crawler(sandbox, token="tok-b")("author_square", endpoints="base_info,marketing_info")
    assert again.returncode == 0, again.stderr
    assert await mongo_db.author_marketing_info.count_documents({}) == 40
    assert sandbox.ledger()["answered_twice"] == 0


async def test_an_endpoint_that_no_token_may_use_fails_alone(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "20", "--token", "one=deny:marketing_info")
    done = make_crawler(sandbox, token="one")("author_square")
    assert done.returncode == 1
    assert await mongo_db.author_base_info.count_documents({}) == 20
    assert await mongo_db.author_marketing_info.count_documents({}) == 0
    failures = [each async for each in mongo_db.failures.find()]
    assert {(each["endpoint"], each["code"], each["terminal"]) for each in failures} == {("marketing_info", 600, False)}
    assert len(failures) == 20
    # Each has the API's message, whether it was sent or skipped.
    assert {each["message"] for each in failures} == {"Permission denied"}
    assert all(each["request_id"] for each in failures)
    assert sum(each["attempts"] for each in failures) == sandbox.ledger()["by_endpoint"]["marketing_info"]["calls"]
    # Requests in flight at the first refusal may be refused too; no other is sent.
    assert sandbox.ledger()["by_endpoint"]["marketing_info"]["calls"] <= 20


async def test_a_crawl_outlasts_a_rate_limit(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "40", "--rate", "40")
    done = make_crawler(sandbox)("author_square", settings={"XINGTU_MAX_ATTEMPTS": 1})
    assert done.returncode == 0, done.stderr
    assert await mongo_db.author_rec_videos.count_documents({}) == 40
    assert sandbox.ledger()["by_code"].get("302", 0) > 0


async def test_a_crawl_that_ends_at_max_calls_counts_its_responses_and_leaves_the_sweep_open(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    max_calls = 100
    sandbox = start_sandbox("--authors", "60", "--fault", "301=0.15", "--fault", "reset=0.05")
    done = make_crawler(sandbox)("author_square", max_calls=max_calls)
    assert done.returncode == 0, done.stderr
    assert sandbox.ledger()["calls"] == max_calls
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["close_reason"], run["calls"]["total"]) == ("max_calls", max_calls)
    answered = sandbox.ledger()["answered"]
    assert sum(codes.get("0", 0) for codes in run["calls"]["by_endpoint"].values()) == answered
    stored = await mongo_db.sweeps.find_one({})
    assert stored is not None
    assert stored["state"] == "open"
