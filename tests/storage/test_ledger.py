"""The ledger: what is asked, what is left, and nothing twice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.storage.ledger import Ledger, Preview, Question, questions_about
from xingtu_crawler.storage.patience import Patience

Database = AsyncDatabase[dict[str, Any]]

SINCE = datetime(2026, 3, 8, 12, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)
ALL = tuple(DETAILS)
SHORT, LIVE = "SHORT_VIDEO", "LIVE_STREAMING"


@pytest.fixture
def ledger(mongo_db: Database) -> Ledger:
    return Ledger(mongo_db, Patience(5))


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
    ledger: Ledger,
    star_ids: Iterable[str],
    platforms: Iterable[str] = (SHORT,),
    endpoints: Iterable[str] = ALL,
    **options: Any,
) -> list[tuple[str, str, str]]:
    questions = await ledger.claim(questions_about(star_ids, platforms, endpoints), newer_than=SINCE, **options)
    return [(each.star_id, each.endpoint, each.platform) for each in questions]


async def test_of_new_authors_everything_is_asked_author_by_author(ledger: Ledger) -> None:
    found = await asked(ledger, ["2", "1"], (LIVE, SHORT))
    assert found == list(
        itertools.chain.from_iterable(
            [(star_id, endpoint, platform) for platform in (LIVE, SHORT) for endpoint in ALL] for star_id in ("2", "1")
        )
    )
    assert ledger.open_claims == 2 * 2 * 4


async def test_nothing_to_ask_is_nothing(ledger: Ledger) -> None:
    assert await asked(ledger, []) == []
    assert await asked(ledger, ["1"], endpoints=()) == []
    assert await asked(ledger, ["1"], platforms=()) == []
    assert await ledger.claim([], newer_than=SINCE) == []
    assert ledger.open_claims == 0


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
    ledger: Ledger, mongo_db: Database, fetched_at: datetime, is_asked: bool
) -> None:
    await stored(mongo_db, "base_info", "1", fetched_at)
    assert (("1", "base_info", SHORT) in await asked(ledger, ["1"])) is is_asked


async def test_every_endpoint_and_platform_is_judged_by_itself(ledger: Ledger, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE, SHORT)
    await stored(mongo_db, "base_info", "2", SINCE, LIVE)
    await stored(mongo_db, "rec_videos", "1", SINCE, LIVE)
    await stored(mongo_db, "rec_videos", "2", SINCE - MOMENT, LIVE)
    await stored(mongo_db, "marketing_info", "1", SINCE, SHORT)  # not asked for
    assert await asked(ledger, ["1", "2"], (SHORT, LIVE), ("base_info", "rec_videos")) == [
        ("1", "rec_videos", SHORT),
        ("1", "base_info", LIVE),
        ("2", "base_info", SHORT),
        ("2", "rec_videos", SHORT),
        ("2", "rec_videos", LIVE),
    ]


async def test_what_is_being_asked_is_not_asked_again_until_it_is_released(ledger: Ledger) -> None:
    first = await asked(ledger, ["1", "2"])
    assert await asked(ledger, ["1", "2"]) == []
    ledger.release("base_info", "1", SHORT)
    assert await asked(ledger, ["2", "1"]) == [("1", "base_info", SHORT)]
    for star_id, endpoint, platform in first:
        ledger.release(endpoint, star_id, platform)
    assert ledger.open_claims == 0
    ledger.release("base_info", "unknown", SHORT)


async def test_an_author_who_comes_twice_is_asked_about_once(ledger: Ledger) -> None:
    assert len(await asked(ledger, ["1", "2", "1"], endpoints=("base_info",))) == 2


async def test_what_is_fresh_is_not_held(ledger: Ledger, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE)
    assert await asked(ledger, ["1"], endpoints=("base_info",)) == []
    assert ledger.open_claims == 0
    assert len(await ledger.claim(questions_about(["1"], (SHORT,), ("base_info",)), newer_than=SINCE + MOMENT)) == 1


async def test_what_is_answered_while_the_ledger_is_read_is_not_asked_again(ledger: Ledger, mongo_db: Database) -> None:
    """An author who comes twice, the second time just when the answer to the first question is stored."""
    for round_ in range(60):
        star_id = str(round_)
        assert len(await asked(ledger, [star_id])) == len(ALL)

        async def answer(star_id: str = star_id) -> None:
            for endpoint in ALL:
                await stored(mongo_db, endpoint, star_id, SINCE)
                ledger.release(endpoint, star_id, SHORT)

        again, _ = await asyncio.gather(asked(ledger, [star_id]), answer())
        assert again == []


async def test_two_who_ask_at_once_share_the_questions(ledger: Ledger) -> None:
    halves = await asyncio.gather(*(asked(ledger, ["1", "2", "3"]) for _ in range(10)))
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
    ledger: Ledger, mongo_db: Database, failure: dict[str, Any], is_asked: bool
) -> None:
    await failed(mongo_db, "base_info", "1", **failure)
    questions = await ledger.claim(questions_about(["1"], (SHORT,), ("base_info",)), newer_than=SINCE)
    assert questions == ([Question("base_info", "1", SHORT, had_failed=True)] if is_asked else [])
    assert ledger.open_claims == len(questions)


async def test_what_has_failed_for_good_is_asked_again_on_request(ledger: Ledger, mongo_db: Database) -> None:
    await failed(mongo_db, "base_info", "1", terminal=True)
    assert await asked(ledger, ["1"], endpoints=("base_info",), terminal=True) == [("1", "base_info", SHORT)]


async def test_a_failure_of_one_endpoint_says_nothing_of_the_others(ledger: Ledger, mongo_db: Database) -> None:
    await failed(mongo_db, "base_info", "1", terminal=True)
    questions = await ledger.claim(questions_about(["1"], (SHORT,), ALL), newer_than=SINCE)
    assert [each.endpoint for each in questions] == [endpoint for endpoint in ALL if endpoint != "base_info"]
    assert not any(each.had_failed for each in questions)


async def test_of_what_has_failed_everything_is_asked_that_was_not_answered_since(
    ledger: Ledger, mongo_db: Database
) -> None:
    await stored(mongo_db, "base_info", "1", SINCE + MOMENT)
    await stored(mongo_db, "base_info", "2", SINCE - MOMENT)
    await stored(mongo_db, "base_info", "3", SINCE)
    for star_id in ("1", "2", "3", "4"):
        await failed(mongo_db, "base_info", star_id, terminal=False)
    await failed(mongo_db, "base_info", "5", terminal=True)
    questions = questions_about("123456", (SHORT,), ("base_info",))
    preview = Preview(mongo_db, Patience(5))
    wanted = [Question("base_info", star_id, SHORT, had_failed=True) for star_id in ("2", "4")]
    assert await preview.claim(questions, newer_than=None) == wanted
    assert await mongo_db.failures.count_documents({}) == 5
    assert await ledger.claim(questions, newer_than=None) == wanted
    # What was answered since is no failure any more.
    left = [failure["_id"] async for failure in mongo_db.failures.find(sort=[("_id", 1)])]
    assert left == [f"base_info:{star_id}:{SHORT}" for star_id in ("2", "4", "5")]
    assert await ledger.claim(questions, newer_than=None, terminal=True) == [
        Question("base_info", "5", SHORT, had_failed=True)
    ]


async def test_a_failure_that_was_answered_since_settles_nothing(ledger: Ledger, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE - MOMENT)
    await failed(mongo_db, "base_info", "1", terminal=True, failed_at=SINCE - 2 * MOMENT)
    assert await ledger.claim(questions_about(["1"], (SHORT,), ("base_info",)), newer_than=SINCE) == [
        Question("base_info", "1", SHORT)
    ]
    assert await mongo_db.failures.count_documents({}) == 0


async def test_a_claim_that_comes_to_nothing_holds_nothing(ledger: Ledger) -> None:
    task = asyncio.create_task(asked(ledger, ["1", "2"]))
    await asyncio.sleep(0)
    assert ledger.open_claims > 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ledger.open_claims == 0
    assert len(await asked(ledger, ["1", "2"])) == 2 * len(ALL)


async def test_a_whole_batch_of_authors_is_looked_up_at_once(ledger: Ledger, mongo_db: Database) -> None:
    star_ids = [str(7_000_000_000_000_000_000 + number) for number in range(2000)]
    await mongo_db.author_base_info.insert_many(
        [{"_id": f"{star_id}:{SHORT}", "crawl": {"fetched_at": SINCE}} for star_id in star_ids[::2]]
    )
    found = await asked(ledger, star_ids, endpoints=("base_info",))
    assert [star_id for star_id, _, _ in found] == star_ids[1::2]


async def test_a_preview_says_what_would_be_asked_and_holds_nothing(mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE)
    preview = Preview(mongo_db, Patience(5))
    for _ in range(2):
        assert await asked(preview, ["1", "2"], endpoints=("base_info",)) == [("2", "base_info", SHORT)]
        assert preview.open_claims == 0


@pytest.mark.parametrize("terminal", [False, True])
async def test_what_has_failed_in_this_run_is_not_asked_again_by_it(
    ledger: Ledger, mongo_db: Database, terminal: bool
) -> None:
    await failed(mongo_db, "base_info", "1", terminal=False, failed_at=SINCE)
    await failed(mongo_db, "base_info", "2", terminal=True, failed_at=SINCE)
    await failed(mongo_db, "base_info", "3", terminal=False, failed_at=SINCE - MOMENT)
    found = await asked(ledger, ["1", "2", "3"], endpoints=["base_info"], failed_before=SINCE, terminal=terminal)
    assert found == [("3", "base_info", SHORT)]
    assert ledger.passed_over == 1  # which somebody has to ask again


async def test_what_is_lacking_is_told_and_not_claimed(ledger: Ledger, mongo_db: Database) -> None:
    await stored(mongo_db, "base_info", "1", SINCE)
    await failed(mongo_db, "base_info", "2", terminal=True)
    assert not await ledger.lacks(questions_about(["1", "2"], [SHORT], ["base_info"]), newer_than=SINCE)
    assert await ledger.lacks(questions_about(["1", "2", "3"], [SHORT], ["base_info"]), newer_than=SINCE)
    assert ledger.open_claims == 0
