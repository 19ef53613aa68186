"""Claims: which details are fetched, which are left out, and none twice."""

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
from xingtu_crawler.storage.claims import Claims, DetailKey, Preview, details_of, settled_since

Database = AsyncDatabase[dict[str, Any]]

SINCE = datetime(2026, 3, 8, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
WEEK_AGO = SINCE - WEEK
MOMENT = timedelta(milliseconds=1)
ALL = tuple(DETAILS)
SHORT, LIVE = "SHORT_VIDEO", "LIVE_STREAMING"
BASE_INFO_OF_1 = [DetailKey("base_info", "1", SHORT)]


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
    code: int | None = 201,
    failed_at: datetime = SINCE,
) -> None:
    known = {"terminal": terminal, "reason": reason, "code": code, "failed_at": failed_at}
    await database.failures.insert_one({"_id": f"{endpoint}:{star_id}:{SHORT}", **known})


async def claimed(
    claims: Claims,
    star_ids: Iterable[str],
    platforms: Iterable[str] = (SHORT,),
    endpoints: Iterable[str] = ALL,
    **options: Any,
) -> list[tuple[str, str, str]]:
    found = await claims.claim(
        details_of(star_ids, platforms, endpoints), newer_than=SINCE, settled_since=WEEK_AGO, **options
    )
    return [(each.star_id, each.endpoint, each.platform) for each in found]


async def test_all_details_of_new_authors_are_claimed_author_by_author(claims: Claims) -> None:
    found = await claimed(claims, ["2", "1"], (LIVE, SHORT))
    assert found == list(
        itertools.chain.from_iterable(
            [(star_id, endpoint, platform) for platform in (LIVE, SHORT) for endpoint in ALL] for star_id in ("2", "1")
        )
    )
    assert claims.open_claims == 2 * 2 * 4


async def test_a_claim_brings_the_number_of_filled_fields_of_the_stored_document(
    claims: Claims, mongo_db: Database
) -> None:
    await stored(mongo_db, "base_info", "1", SINCE - MOMENT)
    await stored(mongo_db, "base_info", "2", SINCE - MOMENT)
    await mongo_db.author_base_info.update_one({"_id": f"1:{SHORT}"}, {"$set": {"crawl.filled": 54}})
    found = await claims.claim(details_of("123", [SHORT], ["base_info"]), newer_than=SINCE, settled_since=SINCE)
    assert {detail.star_id: detail.filled for detail in found} == {"1": 54, "2": 0, "3": 0}


async def test_no_details_give_no_claims(claims: Claims) -> None:
    assert await claimed(claims, []) == []
    assert await claimed(claims, ["1"], endpoints=()) == []
    assert await claimed(claims, ["1"], platforms=()) == []
    assert await claims.claim([], newer_than=SINCE, settled_since=WEEK_AGO) == []
    assert claims.open_claims == 0


@pytest.mark.parametrize(
    ("fetched_at", "is_claimed"),
    [
        (SINCE - timedelta(days=1), True),
        (SINCE - MOMENT, True),
        (SINCE, False),
        (SINCE + MOMENT, False),
    ],
)
async def test_a_detail_is_fresh_from_newer_than_on(
    claims: Claims, mongo_db: Database, fetched_at: datetime, is_claimed: bool
) -> None:
    await stored(mongo_db, "base_info", "1", fetched_at)
    assert (("1", "base_info", SHORT) in await claimed(claims, ["1"])) is is_claimed


async def test_each_endpoint_and_platform_is_decided_separately(claims: Claims, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE, SHORT)
    await stored(mongo_db, "base_info", "2", SINCE, LIVE)
    await stored(mongo_db, "rec_videos", "1", SINCE, LIVE)
    await stored(mongo_db, "rec_videos", "2", SINCE - MOMENT, LIVE)
    await stored(mongo_db, "marketing_info", "1", SINCE, SHORT)  # not among the endpoints below
    assert await claimed(claims, ["1", "2"], (SHORT, LIVE), ("base_info", "rec_videos")) == [
        ("1", "rec_videos", SHORT),
        ("1", "base_info", LIVE),
        ("2", "base_info", SHORT),
        ("2", "rec_videos", SHORT),
        ("2", "rec_videos", LIVE),
    ]


async def test_a_claimed_detail_is_not_claimed_again_until_it_is_released(claims: Claims) -> None:
    first = await claimed(claims, ["1", "2"])
    assert await claimed(claims, ["1", "2"]) == []
    claims.release("base_info", "1", SHORT)
    assert await claimed(claims, ["2", "1"]) == [("1", "base_info", SHORT)]
    for star_id, endpoint, platform in first:
        claims.release(endpoint, star_id, platform)
    assert claims.open_claims == 0
    claims.release("base_info", "unknown", SHORT)


async def test_an_author_listed_twice_is_claimed_once(claims: Claims) -> None:
    assert len(await claimed(claims, ["1", "2", "1"], endpoints=("base_info",))) == 2


async def test_a_fresh_detail_is_not_claimed(claims: Claims, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE)
    assert await claimed(claims, ["1"], endpoints=("base_info",)) == []
    assert claims.open_claims == 0
    assert len(await claims.claim(BASE_INFO_OF_1, newer_than=SINCE + MOMENT, settled_since=WEEK_AGO)) == 1


async def test_an_answer_stored_during_a_claim_is_not_fetched_again(claims: Claims, mongo_db: Database) -> None:
    """An author is listed again at the moment when the answers of the first time are being stored."""
    for round_ in range(60):
        star_id = str(round_)
        assert len(await claimed(claims, [star_id])) == len(ALL)

        async def answer(star_id: str = star_id) -> None:
            for endpoint in ALL:
                await stored(mongo_db, endpoint, star_id, SINCE)
                claims.release(endpoint, star_id, SHORT)

        again, _ = await asyncio.gather(claimed(claims, [star_id]), answer())
        assert again == []


async def test_concurrent_claims_share_the_details(claims: Claims) -> None:
    halves = await asyncio.gather(*(claimed(claims, ["1", "2", "3"]) for _ in range(10)))
    everything = [detail for half in halves for detail in half]
    assert len(everything) == len(set(everything)) == 3 * len(ALL)


@pytest.mark.parametrize(
    ("failure", "is_claimed"),
    [
        ({"terminal": False}, True),
        ({"terminal": False, "failed_at": SINCE + timedelta(days=9)}, True),
        ({"terminal": True}, False),
        ({"terminal": True, "failed_at": SINCE - WEEK}, False),
        ({"terminal": True, "failed_at": SINCE - WEEK - MOMENT}, True),
        ({"terminal": True, "reason": "too_large", "code": None, "failed_at": SINCE - WEEK}, False),
        ({"terminal": True, "reason": "too_large", "code": None, "failed_at": SINCE - WEEK - MOMENT}, True),
        # A quarantined answer has the maximum age of an answer.
        ({"terminal": True, "reason": "quarantined", "failed_at": SINCE + MOMENT}, False),
        ({"terminal": True, "reason": "quarantined", "failed_at": SINCE}, False),
        ({"terminal": True, "reason": "quarantined", "failed_at": SINCE - MOMENT}, True),
    ],
)
async def test_terminal_failures_and_recent_quarantined_answers_are_left_out(
    claims: Claims, mongo_db: Database, failure: dict[str, Any], is_claimed: bool
) -> None:
    await failed(mongo_db, "base_info", "1", **failure)
    details = await claims.claim(BASE_INFO_OF_1, newer_than=SINCE, settled_since=WEEK_AGO)
    assert details == ([DetailKey("base_info", "1", SHORT, had_failed=True)] if is_claimed else [])
    assert claims.open_claims == len(details)


@pytest.mark.parametrize("code", [201, 202, 400, 404])
async def test_a_refusal_does_not_settle_what_has_a_document(claims: Claims, mongo_db: Database, code: int) -> None:
    """However old the document is: the author was there once."""
    await stored(mongo_db, "base_info", "1", SINCE - timedelta(days=900))
    for star_id in "12":
        await failed(mongo_db, "base_info", star_id, terminal=True, code=code, failed_at=SINCE - MOMENT)
    assert await claimed(claims, "12", endpoints=("base_info",)) == [("1", "base_info", SHORT)]


async def test_an_answer_that_is_too_large_settles_what_has_a_document(claims: Claims, mongo_db: Database) -> None:
    """The next one would be as large, and is billed."""
    await stored(mongo_db, "base_info", "1", SINCE - timedelta(days=900))
    await failed(mongo_db, "base_info", "1", terminal=True, code=None, reason="too_large")
    assert await claimed(claims, "1", endpoints=("base_info",)) == []


async def test_missing_details_are_quarantined_for_no_longer_than_refused_ones(
    claims: Claims, mongo_db: Database
) -> None:
    """`missing=1` has no maximum age of a document."""
    for star_id, failed_at in (("1", SINCE - WEEK), ("2", SINCE - WEEK - MOMENT)):
        await failed(mongo_db, "base_info", star_id, terminal=True, reason="quarantined", failed_at=failed_at)
    details = details_of("12", (SHORT,), ("base_info",))
    found = await claims.claim(details, newer_than=SINCE - 999 * WEEK, settled_since=WEEK_AGO)
    assert [detail.star_id for detail in found] == ["2"]


@pytest.mark.parametrize(
    ("max_age", "settles_for"),
    [
        (timedelta(), timedelta()),  # everything is fetched
        (timedelta(hours=1), WEEK),
        (WEEK, WEEK),
        (timedelta(days=30), timedelta(days=30)),
    ],
)
def test_a_refusal_settles_for_a_week_or_max_age(max_age: timedelta, settles_for: timedelta) -> None:
    assert settled_since(SINCE, max_age) == SINCE - settles_for


async def test_terminal_claims_terminal_failures_again(claims: Claims, mongo_db: Database) -> None:
    await failed(mongo_db, "base_info", "1", terminal=True)
    assert await claimed(claims, ["1"], endpoints=("base_info",), terminal=True) == [("1", "base_info", SHORT)]


async def test_a_failure_of_one_endpoint_does_not_affect_the_others(claims: Claims, mongo_db: Database) -> None:
    await failed(mongo_db, "base_info", "1", terminal=True)
    details = await claims.claim(details_of(["1"], (SHORT,), ALL), newer_than=SINCE, settled_since=WEEK_AGO)
    assert [each.endpoint for each in details] == [endpoint for endpoint in ALL if endpoint != "base_info"]
    assert not any(each.had_failed for each in details)


async def test_without_newer_than_what_failed_after_its_last_answer_is_claimed(
    claims: Claims, mongo_db: Database
) -> None:
    await stored(mongo_db, "base_info", "1", SINCE + MOMENT)
    await stored(mongo_db, "base_info", "2", SINCE - MOMENT)
    await stored(mongo_db, "base_info", "3", SINCE)
    for star_id in ("1", "2", "3", "4"):
        await failed(mongo_db, "base_info", star_id, terminal=False)
    await failed(mongo_db, "base_info", "5", terminal=True)
    details = details_of("123456", (SHORT,), ("base_info",))
    preview = Preview(mongo_db, Outages(5))
    wanted = [DetailKey("base_info", star_id, SHORT, had_failed=True) for star_id in ("2", "4")]
    assert await preview.claim(details, newer_than=None, settled_since=WEEK_AGO) == wanted
    assert await mongo_db.failures.count_documents({}) == 5
    assert await claims.claim(details, newer_than=None, settled_since=WEEK_AGO) == wanted
    # Failures that are older than the answer are removed.
    left = [failure["_id"] async for failure in mongo_db.failures.find(sort=[("_id", 1)])]
    assert left == [f"base_info:{star_id}:{SHORT}" for star_id in ("2", "4", "5")]
    assert await claims.claim(details, newer_than=None, settled_since=WEEK_AGO, terminal=True) == [
        DetailKey("base_info", "5", SHORT, had_failed=True)
    ]


async def test_a_failure_older_than_the_answer_does_not_count(claims: Claims, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE - MOMENT)
    await failed(mongo_db, "base_info", "1", terminal=True, failed_at=SINCE - 2 * MOMENT)
    assert await claims.claim(BASE_INFO_OF_1, newer_than=SINCE, settled_since=WEEK_AGO) == [
        DetailKey("base_info", "1", SHORT)
    ]
    assert await mongo_db.failures.count_documents({}) == 0


async def test_a_cancelled_claim_claims_nothing(claims: Claims) -> None:
    task = asyncio.create_task(claimed(claims, ["1", "2"]))
    await asyncio.sleep(0)
    assert claims.open_claims > 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert claims.open_claims == 0
    assert len(await claimed(claims, ["1", "2"])) == 2 * len(ALL)


async def test_a_batch_of_2000_authors_is_claimed(claims: Claims, mongo_db: Database) -> None:
    star_ids = [str(7_000_000_000_000_000_000 + number) for number in range(2000)]
    await mongo_db.author_base_info.insert_many(
        [{"_id": f"{star_id}:{SHORT}", "crawl": {"fetched_at": SINCE}} for star_id in star_ids[::2]]
    )
    found = await claimed(claims, star_ids, endpoints=("base_info",))
    assert [star_id for star_id, _, _ in found] == star_ids[1::2]


async def test_a_preview_returns_what_a_crawl_would_fetch_and_claims_nothing(mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE)
    preview = Preview(mongo_db, Outages(5))
    for _ in range(2):
        assert await claimed(preview, ["1", "2"], endpoints=("base_info",)) == [("2", "base_info", SHORT)]
        assert preview.open_claims == 0


@pytest.mark.parametrize("terminal", [False, True])
async def test_what_failed_in_this_run_is_left_out_and_counted_unless_terminal(
    claims: Claims, mongo_db: Database, terminal: bool
) -> None:
    await failed(mongo_db, "base_info", "1", terminal=False, failed_at=SINCE)
    for star_id in ("2", "3"):
        await failed(mongo_db, "base_info", star_id, terminal=True, failed_at=SINCE)
    await failed(mongo_db, "base_info", "4", terminal=False, failed_at=SINCE - MOMENT)
    found = await claimed(
        claims, ["1", "2", "3", "4", "5"], endpoints=["base_info"], failed_before=SINCE, terminal=terminal
    )
    assert found == [("4", "base_info", SHORT), ("5", "base_info", SHORT)]
    assert claims.passed_over == 1  # a later crawl fetches "1"; it fetches neither "2" nor "3"


@pytest.mark.parametrize(("terminal", "is_claimed"), [(False, False), (True, True)])
async def test_without_newer_than_a_quarantined_answer_is_claimed_only_with_terminal(
    claims: Claims, mongo_db: Database, terminal: bool, is_claimed: bool
) -> None:
    await failed(mongo_db, "base_info", "1", terminal=True, reason="quarantined")
    found = await claims.claim(BASE_INFO_OF_1, newer_than=None, settled_since=WEEK_AGO, terminal=terminal)
    assert bool(found) is is_claimed
    assert claims.passed_over == 0


async def test_lacks_says_whether_a_detail_is_to_be_fetched_and_claims_none(claims: Claims, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE)
    await failed(mongo_db, "base_info", "2", terminal=True)
    assert not await claims.lacks(
        details_of(["1", "2"], [SHORT], ["base_info"]), newer_than=SINCE, settled_since=WEEK_AGO
    )
    assert await claims.lacks(
        details_of(["1", "2", "3"], [SHORT], ["base_info"]), newer_than=SINCE, settled_since=WEEK_AGO
    )
    assert claims.open_claims == 0
    # It does not keep a concurrent claim from its details.
    lacks, found = await asyncio.gather(
        claims.lacks(details_of(["3"], [SHORT], ["base_info"]), newer_than=SINCE, settled_since=WEEK_AGO),
        claimed(claims, ["3"], endpoints=["base_info"]),
    )
    assert lacks
    assert found == [("3", "base_info", SHORT)]
    assert not await claims.lacks(details_of(["3"], [SHORT], ["base_info"]), newer_than=SINCE, settled_since=WEEK_AGO)
