"""The claims: what is asked, what is left, and nothing twice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.claims import Claims, DetailKey, Preview, details_of

Database = AsyncDatabase[dict[str, Any]]

SINCE = datetime(2026, 3, 8, 12, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)
ALL = tuple(DETAILS)
SHORT, LIVE = "SHORT_VIDEO", "LIVE_STREAMING"


@pytest.fixture
def claims(mongo_db: Database) -> Claims:
    return Claims(mongo_db, Outages(5))


async def stored(database: Database, endpoint: str, star_id: str, fetched_at: datetime, platform: str = SHORT) -> None:
    document = {"_id": f"{star_id}:{platform}", "crawl": {"fetched_at": fetched_at}}
    await database[DETAILS[endpoint].collection].insert_one(document)


async def failed(
    database: Database,
    endpoint: str,
    star_id: str,
    *,
    terminal: bool,
    reason: str = "no content",
    failed_at: datetime = SINCE,
) -> None:
    await database.failures.insert_one(
        {"_id": f"{endpoint}:{star_id}:{SHORT}", "terminal": terminal, "reason": reason, "failed_at": failed_at}
    )


async def asked(
    claims: Claims,
    star_ids: Iterable[str],
    platforms: Iterable[str] = (SHORT,),
    endpoints: Iterable[str] = ALL,
    **options: Any,
) -> list[tuple[str, str, str]]:
    questions = await claims.claim(details_of(star_ids, platforms, endpoints), newer_than=SINCE, **options)
    return [(each.star_id, each.endpoint, each.platform) for each in questions]


async def test_of_new_authors_everything_is_asked_author_by_author(claims: Claims) -> None:
    found = await asked(claims, ["2", "1"], (LIVE, SHORT))
    assert found == list(
        itertools.chain.from_iterable(
            [(star_id, endpoint, platform) for platform in (LIVE, SHORT) for endpoint in ALL] for star_id in ("2", "1")
        )
    )
    assert claims.open_claims == 2 * 2 * 4


async def test_nothing_to_ask_is_nothing(claims: Claims) -> None:
    assert await asked(claims, []) == []
    assert await asked(claims, ["1"], endpoints=()) == []
    assert await asked(claims, ["1"], platforms=()) == []
    assert await claims.claim([], newer_than=SINCE) == []
    assert claims.open_claims == 0


@pytest.mark.parametrize(
    ("fetched_at", "is_asked"),
    [
        (SINCE - timedelta(days=1), True),
        (SINCE - MOMENT, True),
        (SINCE, False),
        (SINCE + MOMENT, False),
    ],
)
async def test_what_was_fetched_since_then_is_fresh(
    claims: Claims, mongo_db: Database, fetched_at: datetime, is_asked: bool
) -> None:
    await stored(mongo_db, "base_info", "1", fetched_at)
    assert (("1", "base_info", SHORT) in await asked(claims, ["1"])) is is_asked


async def test_every_endpoint_and_platform_is_judged_by_itself(claims: Claims, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE, SHORT)
    await stored(mongo_db, "base_info", "2", SINCE, LIVE)
    await stored(mongo_db, "rec_videos", "1", SINCE, LIVE)
    await stored(mongo_db, "rec_videos", "2", SINCE - MOMENT, LIVE)
    await stored(mongo_db, "marketing_info", "1", SINCE, SHORT)  # not asked for
    assert await asked(claims, ["1", "2"], (SHORT, LIVE), ("base_info", "rec_videos")) == [
        ("1", "rec_videos", SHORT),
        ("1", "base_info", LIVE),
        ("2", "base_info", SHORT),
        ("2", "rec_videos", SHORT),
        ("2", "rec_videos", LIVE),
    ]


async def test_what_is_being_asked_is_not_asked_again_until_it_is_released(claims: Claims) -> None:
    first = await asked(claims, ["1", "2"])
    assert await asked(claims, ["1", "2"]) == []
    claims.release("base_info", "1", SHORT)
    assert await asked(claims, ["2", "1"]) == [("1", "base_info", SHORT)]
    for star_id, endpoint, platform in first:
        claims.release(endpoint, star_id, platform)
    assert claims.open_claims == 0
    claims.release("base_info", "unknown", SHORT)


async def test_an_author_who_comes_twice_is_asked_about_once(claims: Claims) -> None:
    assert len(await asked(claims, ["1", "2", "1"], endpoints=("base_info",))) == 2


async def test_what_is_fresh_is_not_held(claims: Claims, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE)
    assert await asked(claims, ["1"], endpoints=("base_info",)) == []
    assert claims.open_claims == 0
    assert len(await claims.claim(details_of(["1"], (SHORT,), ("base_info",)), newer_than=SINCE + MOMENT)) == 1


async def test_what_is_answered_while_the_ledger_is_read_is_not_asked_again(claims: Claims, mongo_db: Database) -> None:
    """An author who comes twice, the second time just when the answer to the first question is stored."""
    for round_ in range(60):
        star_id = str(round_)
        assert len(await asked(claims, [star_id])) == len(ALL)

        async def answer(star_id: str = star_id) -> None:
            for endpoint in ALL:
                await stored(mongo_db, endpoint, star_id, SINCE)
                claims.release(endpoint, star_id, SHORT)

        again, _ = await asyncio.gather(asked(claims, [star_id]), answer())
        assert again == []


async def test_two_who_ask_at_once_share_the_questions(claims: Claims) -> None:
    halves = await asyncio.gather(*(asked(claims, ["1", "2", "3"]) for _ in range(10)))
    everything = [question for half in halves for question in half]
    assert len(everything) == len(set(everything)) == 3 * len(ALL)


@pytest.mark.parametrize(
    ("failure", "is_asked"),
    [
        ({"terminal": False}, True),
        ({"terminal": False, "failed_at": SINCE + timedelta(days=9)}, True),
        ({"terminal": True}, False),
        # "There is nothing to be had" does not grow old, a body that could not be read may.
        ({"terminal": True, "failed_at": SINCE - timedelta(days=900)}, False),
        ({"terminal": True, "reason": "quarantined", "failed_at": SINCE + MOMENT}, False),
        ({"terminal": True, "reason": "quarantined", "failed_at": SINCE}, False),
        ({"terminal": True, "reason": "quarantined", "failed_at": SINCE - MOMENT}, True),
    ],
)
async def test_what_has_failed_for_good_is_not_asked_again(
    claims: Claims, mongo_db: Database, failure: dict[str, Any], is_asked: bool
) -> None:
    await failed(mongo_db, "base_info", "1", **failure)
    questions = await claims.claim(details_of(["1"], (SHORT,), ("base_info",)), newer_than=SINCE)
    assert questions == ([DetailKey("base_info", "1", SHORT, had_failed=True)] if is_asked else [])
    assert claims.open_claims == len(questions)


async def test_what_has_failed_for_good_is_asked_again_on_request(claims: Claims, mongo_db: Database) -> None:
    await failed(mongo_db, "base_info", "1", terminal=True)
    assert await asked(claims, ["1"], endpoints=("base_info",), terminal=True) == [("1", "base_info", SHORT)]


async def test_a_failure_of_one_endpoint_says_nothing_of_the_others(claims: Claims, mongo_db: Database) -> None:
    await failed(mongo_db, "base_info", "1", terminal=True)
    questions = await claims.claim(details_of(["1"], (SHORT,), ALL), newer_than=SINCE)
    assert [each.endpoint for each in questions] == [endpoint for endpoint in ALL if endpoint != "base_info"]
    assert not any(each.had_failed for each in questions)


async def test_of_what_has_failed_everything_is_asked_that_was_not_answered_since(
    claims: Claims, mongo_db: Database
) -> None:
    await stored(mongo_db, "base_info", "1", SINCE + MOMENT)
    await stored(mongo_db, "base_info", "2", SINCE - MOMENT)
    await stored(mongo_db, "base_info", "3", SINCE)
    for star_id in ("1", "2", "3", "4"):
        await failed(mongo_db, "base_info", star_id, terminal=False)
    await failed(mongo_db, "base_info", "5", terminal=True)
    questions = details_of("123456", (SHORT,), ("base_info",))
    preview = Preview(mongo_db, Outages(5))
    wanted = [DetailKey("base_info", star_id, SHORT, had_failed=True) for star_id in ("2", "4")]
    assert await preview.claim(questions, newer_than=None) == wanted
    assert await mongo_db.failures.count_documents({}) == 5
    assert await claims.claim(questions, newer_than=None) == wanted
    # What was answered since is no failure any more.
    left = [failure["_id"] async for failure in mongo_db.failures.find(sort=[("_id", 1)])]
    assert left == [f"base_info:{star_id}:{SHORT}" for star_id in ("2", "4", "5")]
    assert await claims.claim(questions, newer_than=None, terminal=True) == [
        DetailKey("base_info", "5", SHORT, had_failed=True)
    ]


async def test_a_failure_that_was_answered_since_settles_nothing(claims: Claims, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE - MOMENT)
    await failed(mongo_db, "base_info", "1", terminal=True, failed_at=SINCE - 2 * MOMENT)
    assert await claims.claim(details_of(["1"], (SHORT,), ("base_info",)), newer_than=SINCE) == [
        DetailKey("base_info", "1", SHORT)
    ]
    assert await mongo_db.failures.count_documents({}) == 0


async def test_a_claim_that_comes_to_nothing_holds_nothing(claims: Claims) -> None:
    task = asyncio.create_task(asked(claims, ["1", "2"]))
    await asyncio.sleep(0)
    assert claims.open_claims > 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert claims.open_claims == 0
    assert len(await asked(claims, ["1", "2"])) == 2 * len(ALL)


async def test_a_whole_batch_of_authors_is_looked_up_at_once(claims: Claims, mongo_db: Database) -> None:
    star_ids = [str(7_000_000_000_000_000_000 + number) for number in range(2000)]
    await mongo_db.author_base_info.insert_many(
        [{"_id": f"{star_id}:{SHORT}", "crawl": {"fetched_at": SINCE}} for star_id in star_ids[::2]]
    )
    found = await asked(claims, star_ids, endpoints=("base_info",))
    assert [star_id for star_id, _, _ in found] == star_ids[1::2]


async def test_a_preview_says_what_would_be_asked_and_holds_nothing(mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE)
    preview = Preview(mongo_db, Outages(5))
    for _ in range(2):
        assert await asked(preview, ["1", "2"], endpoints=("base_info",)) == [("2", "base_info", SHORT)]
        assert preview.open_claims == 0


@pytest.mark.parametrize("terminal", [False, True])
async def test_what_has_failed_in_this_run_is_not_asked_again_by_it(
    claims: Claims, mongo_db: Database, terminal: bool
) -> None:
    await failed(mongo_db, "base_info", "1", terminal=False, failed_at=SINCE)
    await failed(mongo_db, "base_info", "2", terminal=True, failed_at=SINCE)
    await failed(mongo_db, "base_info", "3", terminal=False, failed_at=SINCE - MOMENT)
    found = await asked(claims, ["1", "2", "3"], endpoints=["base_info"], failed_before=SINCE, terminal=terminal)
    assert found == [("3", "base_info", SHORT)]
    assert claims.passed_over == 1  # which somebody has to ask again


async def test_what_is_lacking_is_told_and_not_claimed(claims: Claims, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE)
    await failed(mongo_db, "base_info", "2", terminal=True)
    assert not await claims.lacks(details_of(["1", "2"], [SHORT], ["base_info"]), newer_than=SINCE)
    assert await claims.lacks(details_of(["1", "2", "3"], [SHORT], ["base_info"]), newer_than=SINCE)
    assert claims.open_claims == 0
