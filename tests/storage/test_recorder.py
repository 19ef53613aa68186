"""What becomes of an answer where MongoDB refuses it, part of it, or what should have kept it instead."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from tests.mongods import mongod
from xingtu_crawler.api import envelope
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.items.answers import DetailAnswer, FailedRequest, SearchAnswer
from xingtu_crawler.items.validation import ValidDetail, ValidPage, validate_detail, validate_page
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.claims import Claims, DetailKey
from xingtu_crawler.storage.history import History
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.sweeps import Sweeps
from xingtu_crawler.storage.writer import BulkWriter

Database = AsyncDatabase[dict[str, Any]]

STAR_ID = "6600000000000000001"
PLATFORM = "SHORT_VIDEO"
AT = datetime(2026, 3, 8, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
SWEEP = "s"


def rec_videos(at: datetime = AT, *, had_failed: bool = False) -> ValidDetail:
    videos = [{"item_id": "71", "play": 5, "create_time": 1_700_000_000}]
    body = json.dumps({"code": 0, "data": {"newest_videos": videos}}).encode()
    answer = DetailAnswer("rec_videos", STAR_ID, PLATFORM, envelope.parse(body), body, at, had_failed)
    return validate_detail(answer)


def page(*star_ids: str, at: datetime = AT, items: list[dict[str, Any]] | None = None) -> ValidPage:
    """Return a page whose authors show the same videos, each with a tag of its author."""
    authors = [
        {"star_id": star_id, "items": [{**item, "video_tag": number} for item in items or ()]}
        for number, star_id in enumerate(star_ids)
    ]
    body = json.dumps({"code": 0, "data": {"authors": authors}}).encode()
    return validate_page(SearchAnswer(SWEEP, 1, envelope.parse(body), body, at))


def failure(at: datetime = AT, **changes: Any) -> FailedRequest:
    known: dict[str, Any] = {
        "endpoint": "rec_videos",
        "code": None,
        "reason": "too_deep",
        "message": "the JSON is nested too deeply to be read",
        "request_id": None,
        "attempts": 1,
        "terminal": True,
        "failed_at": at,
        "star_id": STAR_ID,
        "platform": PLATFORM,
    }
    return FailedRequest(**{**known, **changes})


def page_failure(at: datetime = AT) -> FailedRequest:
    return failure(at, endpoint="search", star_id=None, platform=None, sweep=SWEEP, page=1, terminal=False)


@pytest.fixture
def claims(mongo_db: Database) -> Claims:
    return Claims(mongo_db, Outages(5))


@pytest.fixture
def sweeps(mongo_db: Database) -> Sweeps:
    return Sweeps(mongo_db, BulkWriter(mongo_db, Outages(5)), Outages(5))


@pytest.fixture
def recorder(mongo_db: Database, claims: Claims, sweeps: Sweeps) -> Recorder:
    writer = BulkWriter(mongo_db, Outages(5))
    return Recorder(writer, claims, sweeps, None, run_id="run", count=lambda _what, _count: None)


async def refuse(database: Database, *collections: str) -> None:
    """Let MongoDB refuse whatever is written there."""
    for collection in collections:
        await database.create_collection(collection, validator={"never": {"$exists": True}})


async def begin_sweep(sweeps: Sweeps) -> None:
    await sweeps.start(SWEEP, query_key="k", filters={}, run_id="run", started_at=AT)


async def test_what_neither_the_collection_nor_the_quarantine_takes_is_told(
    recorder: Recorder, mongo_db: Database
) -> None:
    await refuse(mongo_db, "author_rec_videos", "quarantine")
    with pytest.raises(StorageError, match="refuses a write to quarantine"):
        await recorder.detail(rec_videos())
    assert await mongo_db.failures.count_documents({}) == 0


async def test_an_author_whom_nothing_takes_is_told(recorder: Recorder, sweeps: Sweeps, mongo_db: Database) -> None:
    await begin_sweep(sweeps)
    await refuse(mongo_db, "authors", "quarantine")
    with pytest.raises(StorageError, match="refuses a write to quarantine"):
        await recorder.page(page(STAR_ID))
    sweep = await mongo_db.sweeps.find_one({})
    assert sweep is not None
    assert sweep["pages_read"] == 0


@pytest.mark.parametrize("collection", ["failures", "sweeps"])
async def test_a_failure_that_cannot_be_recorded_is_told(
    recorder: Recorder, mongo_db: Database, collection: str
) -> None:
    await refuse(mongo_db, collection)
    if collection == "failures":
        with pytest.raises(StorageError, match="refuses a write to failures"):
            await recorder.failure(failure())
    else:
        with pytest.raises(StorageError, match="refuses a write to sweeps"):
            await recorder._sweeps.start(SWEEP, query_key="k", filters={}, run_id="run", started_at=AT)


async def test_a_failure_settles_a_question_only_when_its_body_is_kept(recorder: Recorder, mongo_db: Database) -> None:
    await refuse(mongo_db, "quarantine")
    with pytest.raises(StorageError):
        await recorder.failure(failure(body=b"[[[["))
    assert await mongo_db.failures.count_documents({}) == 0


async def test_a_document_is_an_answer_though_one_of_its_videos_is_refused(
    recorder: Recorder, mongo_db: Database
) -> None:
    await recorder.failure(failure(AT - HOUR, terminal=False))
    await refuse(mongo_db, "videos")
    assert not await recorder.detail(rec_videos(had_failed=True))
    assert await mongo_db.author_rec_videos.count_documents({}) == 1
    assert await mongo_db.quarantine.count_documents({}) == 1
    assert await mongo_db.failures.count_documents({}) == 0


async def test_a_document_that_is_refused_is_no_answer(recorder: Recorder, mongo_db: Database) -> None:
    await recorder.failure(failure(AT - HOUR, terminal=False))
    await refuse(mongo_db, "author_rec_videos")
    assert not await recorder.detail(rec_videos(had_failed=True))
    (kept,) = await mongo_db.failures.find().to_list()
    assert (kept["reason"], kept["failed_at"], kept["first_failed_at"]) == ("quarantined", AT, AT - HOUR)


async def test_a_failure_that_comes_late_overrides_nothing_newer(
    recorder: Recorder, claims: Claims, mongo_db: Database
) -> None:
    await recorder.failure(failure(AT, code=301, terminal=False))
    await recorder.failure(failure(AT - HOUR, code=404))  # out of a spill file
    (kept,) = await mongo_db.failures.find().to_list()
    assert (kept["code"], kept["terminal"]) == (301, False)
    assert await recorder.detail(rec_videos(AT + HOUR, had_failed=True))
    await recorder.failure(failure(AT + HOUR / 2, code=404))
    assert await mongo_db.failures.count_documents({}) == 0
    # One that is newer than the answer counts.
    await recorder.failure(failure(AT + 2 * HOUR, code=404))
    assert await mongo_db.failures.count_documents({"code": 404, "terminal": False}) == 1


async def test_a_refusal_is_open_until_the_end_of_the_run(recorder: Recorder, mongo_db: Database) -> None:
    """A run that is killed settles nothing; a body that is too large is final at once."""
    await recorder.failure(failure(AT, code=404))
    assert await mongo_db.failures.count_documents({"terminal": False}) == 1
    await recorder.failure(failure(AT, code=None, reason="too_large"))
    assert await mongo_db.failures.count_documents({"terminal": True}) == 1


async def test_a_page_that_was_read_is_no_hole_any_more(recorder: Recorder, sweeps: Sweeps, mongo_db: Database) -> None:
    await begin_sweep(sweeps)
    await recorder.failure(page_failure())
    await recorder.page(page(STAR_ID, at=AT + HOUR))
    await recorder.failure(page_failure())  # once more, out of a spill file
    sweep = await mongo_db.sweeps.find_one({})
    assert sweep is not None
    assert (sweep["holes"], sweep["pages_read"], sweep["next_page"]) == ([], 1, 2)
    assert await mongo_db.failures.count_documents({}) == 0


async def test_a_page_that_is_read_again_with_fewer_authors_keeps_none_of_the_others(
    recorder: Recorder, sweeps: Sweeps, mongo_db: Database
) -> None:
    await begin_sweep(sweeps)
    await recorder.authors(page("1", "2", "3"))  # the crawl was killed before the page counted
    await recorder.page(page("2", "1", at=AT + HOUR))
    hits = mongo_db.search_hits.find({}, sort=[("rank", 1)])
    assert [(hit["rank"], hit["star_id"], hit["seen_at"]) async for hit in hits] == [
        (1, "2", AT + HOUR),
        (2, "1", AT + HOUR),
    ]
    await recorder.authors(page("1"))  # out of a spill file
    assert await sweeps.star_ids(SWEEP) == ["2", "1"]


async def test_a_video_of_two_authors_on_one_page_is_one(
    recorder: Recorder, sweeps: Sweeps, mongo_db: Database
) -> None:
    await begin_sweep(sweeps)
    for hours in range(3):
        co_created = page("1", "2", at=AT + hours * HOUR, items=[{"item_id": "71", "vv": 5}])
        await recorder.page(co_created)
        await recorder.authors(co_created)  # the same once more, as where the acknowledgement was lost
    (video,) = await mongo_db.videos.find().to_list()
    assert (video["star_id"], video["data"]["video_tag"], video["data"]["play"]) == ("1", 0, 5)
    crawl = video["crawl"]
    assert (crawl["spell"], crawl["observations"], crawl["sources"]) == (1, 3, ["search.items"])


async def test_an_author_who_is_listed_three_times_on_a_page_is_observed_once(
    claims: Claims, sweeps: Sweeps, mongo_db: Database
) -> None:
    history = History(mongo_db, Outages(5))
    writer = BulkWriter(mongo_db, Outages(5))
    recorder = Recorder(writer, claims, sweeps, history, run_id="run", count=lambda _what, _count: None)
    await begin_sweep(sweeps)
    body = json.dumps(
        {
            "code": 0,
            "data": {
                "authors": [
                    {"star_id": "1", "attribute_datas": {"follower": str(follower)}, "items": [{"item_id": item}]}
                    for follower, item in ((5, "71"), (5, "72"), (6, "73"))
                ]
            },
        }
    ).encode()
    await recorder.page(validate_page(SearchAnswer(SWEEP, 1, envelope.parse(body), body, AT)))
    await recorder.settle()
    assert await mongo_db.history.count_documents({}) == 0
    (author,) = await mongo_db.authors.find().to_list()
    assert (author["data"]["attribute_datas"]["follower"], author["crawl"]["spell"]) == (5, 1)
    assert author["crawl"]["observations"] == 1
    assert await sweeps.star_ids(SWEEP) == ["1"]
    assert await mongo_db.search_hits.count_documents({"star_id": "1"}) == 3
    assert sorted(await mongo_db.videos.distinct("_id")) == ["71", "72", "73"]


async def test_a_detail_is_not_there_before_its_videos_are(mongo_path: Path) -> None:
    """What a kill in between leaves behind: nothing that would count as an answer."""
    with mongod(mongo_path / "db", "--setParameter", "enableTestCommands=1") as server:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(server.uri, retryWrites=False, tz_aware=True)
        database, outages = client.test, Outages(0.5)
        writer = BulkWriter(database, outages)
        claims = Claims(database, Outages(5))
        recorder = Recorder(
            writer, claims, Sweeps(database, writer, outages), None, run_id="run", count=lambda _what, _count: None
        )
        data = {"failCommands": ["insert", "update"], "namespace": "test.videos", "errorCode": 11600}
        await client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
        storing = asyncio.create_task(recorder.detail(rec_videos()))
        while not outages.is_waiting:
            await asyncio.sleep(0.01)
        assert await database.author_rec_videos.count_documents({}) == 0
        asked = DetailKey("rec_videos", STAR_ID, PLATFORM)
        assert await claims.claim([asked], newer_than=AT, settled_since=AT) == [asked]
        with pytest.raises(StorageError):
            await storing
        await client.close()
