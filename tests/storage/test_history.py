"""History: spells that go on and end, late answers, two writers at once, a crash after any command."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.history_check import Checked, check
from tests.harness import PATIENCE_S
from xingtu_crawler.api import envelope
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.items.answers import DetailAnswer, SearchAnswer
from xingtu_crawler.items.content_hash import VOLATILE
from xingtu_crawler.items.validation import ValidDetail, ValidPage, validate_detail, validate_page
from xingtu_crawler.options import Options
from xingtu_crawler.storage import history as history_module
from xingtu_crawler.storage import late, projection
from xingtu_crawler.storage.history import History
from xingtu_crawler.storage.lease import Lease
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.store import Store

Database = AsyncDatabase[dict[str, Any]]
Valid = ValidDetail | ValidPage
Record = Callable[[Valid], Any]

STAR = "6600000000000000001"
OTHER = "6600000000000000002"
KEY = f"{STAR}:SHORT_VIDEO"
BEGIN = datetime(2026, 3, 8, tzinfo=UTC)
RUN = "20260308T000000-000000"


def at(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def base_info(follower: int | str, minutes: float, star_id: str = STAR, **more: object) -> ValidDetail:
    return _detail("base_info", star_id, minutes, {"id": star_id, "follower": follower, **more})


def rec_videos(plays: dict[str, int], minutes: float, star_id: str = STAR) -> ValidDetail:
    videos = [{"item_id": item, "play": play, "create_time": 1_700_000_000} for item, play in plays.items()]
    return _detail("rec_videos", star_id, minutes, {"newest_videos": videos})


def page(
    plays: dict[str, int], minutes: float, star_id: str = STAR, follower: int = 1, shown: Sequence[str] = ()
) -> ValidPage:
    """Return a page of one author with these videos, and with those that are `shown` beside the author."""
    items = [
        {"item_id": item, "vv": str(play), "item_create_time": "1700000000", "item_title": f"title of {item}"}
        for item, play in plays.items()
    ]
    attributes = {"id": star_id, "follower": str(follower), "last_10_items": json.dumps(items)}
    beside = [{"item_id": item, "video_tag": 3} for item in shown]
    data = {"authors": [{"star_id": star_id, "attribute_datas": attributes, "items": beside}]}
    body = json.dumps({"code": 0, "data": data}).encode()
    return validate_page(SearchAnswer("sweep", 1, envelope.parse(body), body, at(minutes)))


def _detail(endpoint: str, star_id: str, minutes: float, data: dict[str, Any]) -> ValidDetail:
    body = json.dumps({"code": 0, "data": data}).encode()
    return validate_detail(
        DetailAnswer(endpoint, star_id, "SHORT_VIDEO", envelope.parse(body), body, fetched_at=at(minutes))
    )


def options(uri: str, database: str) -> Options:
    return Options.read({"MONGO_URI": uri, "MONGO_DATABASE": database, "XINGTU_STORAGE_PATIENCE": 5})


@asynccontextmanager
async def recording(uri: str, database: str, *, history: bool = True) -> AsyncIterator[tuple[Store, Record]]:
    """Open a store of its own and yield it with what records answers."""
    store = await Store.open(options(uri, database), history=history)
    try:
        yield store, _record(store)
    finally:
        await store.close()


def _record(store: Store, run_id: str = RUN) -> Record:
    recorder = Recorder(
        store.writer, store.claims, store.sweeps, store.history, run_id=run_id, count=lambda _what, _count: None
    )

    async def record(valid: Valid) -> None:
        if isinstance(valid, ValidDetail):
            assert await recorder.detail(valid)
        else:
            await recorder.page(valid)

    return record


async def record_all(uri: str, database: str, answers: Iterable[Valid]) -> None:
    async with recording(uri, database) as (_, record):
        for answer in answers:
            await record(answer)


def checked(uri: str, database: str) -> Checked:
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        return check(client[database])


def minute(time: datetime) -> int:
    return round((time - BEGIN) / timedelta(minutes=1))


async def spells(mongo_db: Database, entity: str = "author_base_info", field: str = "follower") -> list[Any]:
    """Return (spell, value, first and last minute, observations, current), entity by entity, in order."""
    found = mongo_db.spells.find({"entity": entity}, sort=[("key", 1), ("valid_from", 1)])
    return [
        (
            each["spell"],
            each["data"].get(field),
            minute(each["valid_from"]),
            minute(each["last_observed_at"]),
            each["observations"],
            each["current"],
        )
        async for each in found
    ]


async def as_of(mongo_db: Database, entity: str, key: str, time: datetime) -> dict[str, Any] | None:
    """Return the `data` of an entity at a time, by the query of docs/history.md."""
    condition = {"entity": entity, "key": key, "valid_from": {"$lte": time}}
    found = await mongo_db.spells.find(condition).sort([("valid_from", -1)]).limit(1).to_list()
    return found[0]["data"] if found else None


@pytest.fixture
async def store(mongo_uri: str, mongo_db: Database) -> AsyncIterator[Store]:
    async with recording(mongo_uri, mongo_db.name) as (store, _):
        yield store


async def forget_everything(mongo_db: Database) -> None:
    for name in await mongo_db.list_collection_names(filter={"type": "collection"}):
        if not name.startswith("system."):
            await mongo_db[name].delete_many({})


async def test_a_first_crawl_writes_nothing_into_history(mongo_uri: str, mongo_db: Database) -> None:
    await record_all(mongo_uri, mongo_db.name, [page({"71": 1}, 0), base_info(1, 1), rec_videos({"71": 1, "72": 1}, 1)])
    assert await mongo_db.history.count_documents({}) == 0
    assert await spells(mongo_db) == [(1, 1, 1, 1, 1, True)]
    assert checked(mongo_uri, mongo_db.name).spells.total() == 5


async def test_values_a_b_a_are_three_spells(mongo_uri: str, mongo_db: Database) -> None:
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 0), base_info(2, 1), base_info(1, 2)])
    assert await spells(mongo_db) == [(1, 1, 0, 0, 1, False), (2, 2, 1, 1, 1, False), (3, 1, 2, 2, 1, True)]
    assert await mongo_db.history.count_documents({}) == 2
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_an_unchanged_observation_extends_the_spell(mongo_uri: str, mongo_db: Database) -> None:
    for minutes in range(4):  # a crawl of its own each time
        await record_all(mongo_uri, mongo_db.name, [base_info(1, minutes)])
    assert await spells(mongo_db) == [(1, 1, 0, 3, 4, True)]
    document = await mongo_db.author_base_info.find_one()
    assert document is not None
    assert document["crawl"]["observed_between"] == [at(1), at(2)]
    await record_all(mongo_uri, mongo_db.name, [base_info(2, 4)])
    ended = await mongo_db.history.find_one()
    assert ended is not None
    assert ended["observed_between"] == [at(1), at(2)]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_volatile_fields_change_nothing(mongo_uri: str, mongo_db: Database) -> None:
    first, second = (dict.fromkeys(VOLATILE["base_info"] - {"base_resp"}, f"{value}") for value in (10, 20))
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 0, **first), base_info(1, 1, **second)])
    assert await spells(mongo_db) == [(1, 1, 0, 1, 2, True)]
    current = await as_of(mongo_db, "author_base_info", KEY, at(0))
    assert current is not None
    assert current["avatar_uri"] == "20"  # as it was seen last
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_the_videos_that_a_search_shows_beside_an_author_are_no_content_of_the_author(
    mongo_uri: str, mongo_db: Database
) -> None:
    await record_all(mongo_uri, mongo_db.name, [page({"71": 1}, 0, shown=["71"]), page({"71": 1}, 1, shown=["72"])])
    assert await spells(mongo_db, "authors", "star_id") == [(1, STAR, 0, 1, 2, True)]
    author = await mongo_db.authors.find_one()
    assert author is not None
    assert [item["item_id"] for item in author["data"]["items"]] == ["72"]


async def test_the_same_write_sent_again_is_one_observation(mongo_uri: str, mongo_db: Database) -> None:
    again = [base_info(1, 0), base_info(1, 0), base_info(2, 1), base_info(2, 1), base_info(1, 0)]
    await record_all(mongo_uri, mongo_db.name, again)
    assert await spells(mongo_db) == [(1, 1, 0, 0, 1, False), (2, 2, 1, 1, 1, True)]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_as_of_a_time_after_a_late_answer_the_newer_one_holds(mongo_uri: str, mongo_db: Database) -> None:
    async with recording(mongo_uri, mongo_db.name) as (_, one), recording(mongo_uri, mongo_db.name) as (_, other):
        await one(base_info(1, 600))
        await one(base_info(1, 720))
        await other(base_info(2, 660))
    assert await spells(mongo_db) == [
        (1, 1, 600, 600, 1, False),
        (2, 2, 660, 660, 1, False),
        (3, 1, 720, 720, 1, True),
    ]
    seen = [await as_of(mongo_db, "author_base_info", KEY, at(minutes)) for minutes in (659, 661, 780)]
    assert [data and data["follower"] for data in seen] == [1, 2, 1]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_a_late_answer_takes_its_place_in_time(mongo_uri: str, mongo_db: Database) -> None:
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 10), base_info(2, 15), base_info(3, 13)])
    assert [spell[:4] for spell in await spells(mongo_db)] == [(1, 1, 10, 10), (2, 3, 13, 13), (3, 2, 15, 15)]
    # The same as the spell before it, as the spell after it, and as the current spell at a time within it.
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 11), base_info(2, 14), base_info(2, 19), base_info(2, 17)])
    assert await spells(mongo_db) == [
        (1, 1, 10, 11, 2, False),
        (2, 3, 13, 13, 1, False),
        (3, 2, 14, 19, 4, True),
    ]
    # Before everything, within a spell that has ended, and within the current one.
    await record_all(mongo_uri, mongo_db.name, [base_info(4, 5), base_info(5, 18), base_info(1, 12)])
    await record_all(mongo_uri, mongo_db.name, [base_info(6, 11.5)])
    assert [spell[:5] for spell in await spells(mongo_db)] == [
        (1, 4, 5, 5, 1),
        (2, 1, 10, 11, 2),
        (3, 6, 12, 12, 1),
        (4, 1, 12, 12, 1),
        (5, 3, 13, 13, 1),
        (6, 2, 14, 17, 3),
        (7, 5, 18, 18, 1),
        (8, 2, 19, 19, 1),
    ]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_two_contents_of_one_moment_are_both_kept(mongo_uri: str, mongo_db: Database) -> None:
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 0), base_info(1, 5), base_info(2, 5), base_info(2, 5)])
    assert await spells(mongo_db) == [(1, 1, 0, 0, 1, False), (2, 2, 5, 5, 1, False), (3, 1, 5, 5, 1, True)]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_late_answers_about_an_unstored_newer_one_are_not_lost(mongo_uri: str, mongo_db: Database) -> None:
    """A document that is older than a late answer: another crawl has removed the newer one meanwhile."""
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 0)])
    late = {"spell": "late-1", "valid_from": at(5), "content_hash": "x", "data": {"follower": 2}}
    await mongo_db.author_base_info.update_one({}, {"$set": {"history_pending": [late]}})
    await record_all(mongo_uri, mongo_db.name, [])
    assert await spells(mongo_db) == [(1, 1, 0, 0, 1, False), (2, 2, 5, 5, 1, True)]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_a_spell_remembers_its_newest_times_only(
    mongo_uri: str, mongo_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (projection, late):
        monkeypatch.setattr(module, "MOST_TIMES", 3)
    await record_all(mongo_uri, mongo_db.name, [base_info(1, minutes) for minutes in range(10)])
    await record_all(mongo_uri, mongo_db.name, [base_info(2, 7.5)])
    assert await spells(mongo_db) == [
        (1, 1, 0, 7, 8, False),
        (2, 2, 8, 8, 1, False),
        (3, 1, 8, 9, 2, True),
    ]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_videos_from_several_sources_are_one_entity(mongo_uri: str, mongo_db: Database) -> None:
    answers: list[Valid] = [
        page({"71": 10, "72": 20}, 0),
        rec_videos({"71": 12, "73": 5}, 1),  # knows no title, and takes none away; its count is another list's
        rec_videos({"71": 13}, 20),
        page({"73": 5}, 0, follower=2),  # late, and the only one that knows the title
    ]
    await record_all(mongo_uri, mongo_db.name, answers)
    assert [spell[:2] + spell[4:] for spell in await spells(mongo_db, "videos", "play")] == [
        (1, 10, 1, False),
        (2, 13, 1, True),
        (1, 20, 1, True),
        (1, 5, 2, True),
    ]
    videos = {each["_id"]: each["data"] async for each in mongo_db.videos.find()}
    assert {key: (data["play"], data["title"]) for key, data in videos.items()} == {
        "71": (13, "title of 71"),
        "72": (20, "title of 72"),
        "73": (5, "title of 73"),
    }
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_without_history_there_is_none(mongo_uri: str, mongo_db: Database) -> None:
    async with recording(mongo_uri, mongo_db.name, history=False) as (_, record):
        for answer in (base_info(1, 0), base_info(2, 1), base_info(3, 0)):
            await record(answer)
        await record(rec_videos({"71": 1}, 1))
        await record(page({"71": 2}, 0))
    assert await mongo_db.history.count_documents({}) == 0
    document = await mongo_db.author_base_info.find_one()
    assert document is not None
    assert document["data"]["follower"] == 2
    assert "history_pending" not in document
    video = await mongo_db.videos.find_one()
    assert video is not None
    assert (video["data"]["play"], video["data"]["title"]) == (1, "title of 71")
    assert "history_pending" not in video


async def test_a_crawl_without_history_between_two_with_it_leaves_a_gap_in_the_numbers(
    mongo_uri: str, mongo_db: Database
) -> None:
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 0)])
    async with recording(mongo_uri, mongo_db.name, history=False) as (_, record):
        await record(base_info(2, 1))
        await record(base_info(1, 4))
    await record_all(mongo_uri, mongo_db.name, [base_info(4, 5)])
    assert await spells(mongo_db) == [(3, 1, 4, 4, 1, False), (4, 4, 5, 5, 1, True)]
    # Where spells are missing, equal contents on both sides are two spells.
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 0), base_info(1, 3)])
    assert await spells(mongo_db) == [(1, 1, 0, 3, 2, False), (4, 1, 4, 4, 1, False), (5, 4, 5, 5, 1, True)]


async def test_a_value_that_does_not_fit_is_content_too(mongo_uri: str, mongo_db: Database) -> None:
    followers: list[int | str] = ["1.2w", "1.2w", "1.3w", 14000]
    answers = [base_info(follower, minutes) for minutes, follower in enumerate(followers)]
    await record_all(mongo_uri, mongo_db.name, [*answers, base_info("1.1w", 1.5)])
    found = mongo_db.spells.find({}, sort=[("valid_from", 1)])
    told = [
        (each["data"]["follower"], each.get("unparsed", {}).get("follower", {}).get("raw"), each["observations"])
        async for each in found
    ]
    assert told == [(None, "1.2w", 2), (None, "1.1w", 1), (None, "1.3w", 1), (14000, None, 1)]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_a_spell_that_history_refuses_stays_in_its_document_until_it_does_not(
    mongo_uri: str, mongo_db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await mongo_db.create_collection("history", validator={"key": {"$ne": KEY}})
    answers = [base_info(follower, follower, star_id) for follower in (1, 2) for star_id in (STAR, OTHER)]
    with pytest.raises(StorageError, match="the next crawl tries again"):
        await record_all(mongo_uri, mongo_db.name, answers)
    assert [each["star_id"] async for each in mongo_db.history.find()] == [OTHER]
    assert sum("Cannot move a spell" in record.getMessage() for record in caplog.records) in {1, 2}
    # What waits is shown all the same.
    assert [spell[:2] for spell in await spells(mongo_db)] == [(1, 1), (2, 2), (1, 1), (2, 2)]
    await mongo_db.command("collMod", "history", validator={})
    await record_all(mongo_uri, mongo_db.name, [])
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_a_refused_spell_is_tried_once_and_at_the_end_again(
    mongo_uri: str, mongo_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[int] = []
    move = History._move

    async def counted(history: History, collection: str, waiting: dict[str, list[int | str]]) -> None:
        moves.append(len(waiting))
        assert len(moves) < 10, "a flush that never returns"
        await move(history, collection, waiting)

    monkeypatch.setattr(History, "_move", counted)
    await mongo_db.create_collection("history", validator={"key": {"$ne": KEY}})
    async with recording(mongo_uri, mongo_db.name) as (store, record):
        assert store.history is not None
        for answer in (base_info(follower, follower, star_id) for follower in (1, 2) for star_id in (STAR, OTHER)):
            await record(answer)
        await store.history.flush()
        assert moves == [2, 1, 1]  # both, then each one
        await store.history.flush()
        assert moves == [2, 1, 1]
        await mongo_db.command("collMod", "history", validator={})
    assert moves == [2, 1, 1, 1]
    assert checked(mongo_uri, mongo_db.name).violations == []
    assert await mongo_db.history.count_documents({}) == 2


async def test_a_flush_that_fails_is_made_up_for_by_the_next_one(
    mongo_uri: str, mongo_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recording(mongo_uri, mongo_db.name) as (store, record):
        assert store.history is not None
        for answer in (
            base_info(1, 0),
            base_info(2, 1),
            base_info(3, 0.5),
            base_info(4, 0, OTHER),
            base_info(5, 1, OTHER),
        ):
            await record(answer)
        with monkeypatch.context() as patched:
            for name in ("aggregate", "bulk_write"):
                patched.setattr(AsyncCollection, name, _crash)
                with pytest.raises(CrashError):
                    await store.history.flush()
        assert await mongo_db.history.count_documents({}) == 0
        await store.history.flush()
        assert [spell[:2] for spell in await spells(mongo_db)] == [(1, 1), (2, 3), (3, 2), (1, 4), (2, 5)]
        assert await mongo_db.history.count_documents({}) == 3


async def test_what_waits_is_moved_while_the_crawl_runs(
    mongo_uri: str, mongo_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "INTERVAL_S", 0.01)
    async with recording(mongo_uri, mongo_db.name) as (store, record):
        await store.catch_up()
        await record(base_info(1, 0))
        await record(base_info(2, 1))
        async with asyncio.timeout(PATIENCE_S):
            while not await mongo_db.history.count_documents({}):
                await asyncio.sleep(0.01)


async def test_more_spells_than_a_batch_are_moved(mongo_uri: str, mongo_db: Database) -> None:
    async with recording(mongo_uri, mongo_db.name) as (_, record):
        for follower in (1, 2):
            await asyncio.gather(*(record(base_info(follower, follower, str(10**18 + n))) for n in range(1234)))
    result = checked(mongo_uri, mongo_db.name)
    assert (result.entities["author_base_info"], result.spells["author_base_info"]) == (1234, 2468)
    assert result.violations == []


Seen = tuple[int, int, bool]
"""The minute, the value, and whether the second of two crawls has seen it."""
SEEN = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 2), st.booleans()),
    min_size=1,
    max_size=14,
    unique_by=lambda seen: seen[0],
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seen=SEEN, flushes=st.sets(st.integers(0, 14)), entity=st.sampled_from(["author_base_info", "videos"]))
@example(seen=[(10, 0, False), (12, 0, False), (11, 1, True)], flushes=set(), entity="author_base_info")
@example(seen=[(10, 0, False), (30, 0, False), (11, 1, True)], flushes=set(), entity="videos")
@example(seen=[(0, 0, False), (4, 0, False), (6, 0, False), (2, 1, True), (5, 1, True)], flushes={3}, entity="videos")
async def test_in_whatever_order_answers_are_stored_history_is_what_was_seen(
    store: Store, mongo_uri: str, seen: list[Seen], flushes: set[int], entity: str
) -> None:
    mongo_db = store.database
    await forget_everything(mongo_db)
    key, field = (KEY, "follower") if entity == "author_base_info" else ("71", "play")
    crawls = [_record(store, run_id) for run_id in ("20260308T000000-000000", "20260308T000000-000001")]
    assert store.history is not None
    for number, (minutes, value, other) in enumerate(seen):
        # Further apart than what counts as one observation of a video.
        answer = base_info(value, minutes * 15) if field == "follower" else rec_videos({"71": value}, minutes * 15)
        await crawls[other](answer)
        if number in flushes:
            await store.history.flush()
    await store.history.flush()

    truth = {minutes: value for minutes, value, _ in seen}
    kept = await spells(mongo_db, entity, field)
    assert [spell[1] for spell in kept] == [value for value, _ in itertools.groupby(truth[m] for m in sorted(truth))]
    for minutes in range(-1, 42):
        known = max((seen_at for seen_at in truth if seen_at <= minutes), default=None)
        begun = [spell[1] for spell in kept if spell[2] <= minutes * 15 + 7]
        assert begun[-1:] == ([] if known is None else [truth[known]])
    for minutes, value in truth.items():
        data = await as_of(mongo_db, entity, key, at(minutes * 15 + 7))
        assert data is not None
        assert data[field] == value
    result = checked(mongo_uri, mongo_db.name)
    assert result.violations == []
    assert result.observations[entity] == len(seen)


@pytest.mark.parametrize("seed", range(3))
async def test_two_writers_at_once_interleaved_at_random(seed: int, mongo_uri: str, mongo_db: Database) -> None:
    chance = random.Random(seed)
    star_ids = [f"660000000000000000{number}" for number in range(3)]
    seen = [(chance.choice(star_ids), chance.randrange(3), minutes) for minutes in range(90)]
    first, second = seen[::2], seen[1::2]
    for written in (first, second):
        for begin in range(0, len(written), 9):  # out of order, but not wildly
            part = written[begin : begin + 9]
            chance.shuffle(part)
            written[begin : begin + 9] = part

    async def write(answers: list[tuple[str, int, int]]) -> None:
        async with recording(mongo_uri, mongo_db.name) as (store, record):
            for number, (star_id, follower, minutes) in enumerate(answers):
                plays = {f"{star_id[-1]}7": follower}
                await asyncio.gather(
                    record(base_info(follower, minutes, star_id)), record(rec_videos(plays, minutes, star_id))
                )
                if number % 7 == 0:
                    assert store.history is not None
                    await store.history.flush()

    await asyncio.gather(write(first), write(second))
    result = checked(mongo_uri, mongo_db.name)
    print(result)
    assert result.violations == []
    assert result.observations["author_base_info"] == len(seen)
    for star_id, follower, minutes in seen:
        data = await as_of(mongo_db, "author_base_info", f"{star_id}:SHORT_VIDEO", at(minutes))
        assert data is not None
        assert data["follower"] == follower


async def test_in_order_every_observation_is_counted_once(mongo_uri: str, mongo_db: Database) -> None:
    chance = random.Random(1)
    answers = [base_info(chance.randrange(3), minutes) for minutes in range(60)]
    async with recording(mongo_uri, mongo_db.name) as (_, one), recording(mongo_uri, mongo_db.name) as (_, other):
        for answer in answers:
            await chance.choice((one, other))(answer)
    result = checked(mongo_uri, mongo_db.name)
    assert (result.observations["author_base_info"], result.violations) == (60, [])


class CrashError(Exception):
    """The process is gone; raised in place of a MongoDB command."""


async def _crash(*_arguments: object, **_options: object) -> None:
    raise CrashError


@pytest.mark.parametrize("halfway", [False, True])
async def test_a_crash_after_any_command_leaves_nothing_that_is_not_made_good(
    halfway: bool, mongo_uri: str, mongo_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[Valid] = [
        base_info(1, 0),
        rec_videos({"71": 1, "72": 1}, 0),
        page({"71": 1}, 0),
        base_info(2, 1),
        base_info(2, 9),
    ]
    after: list[Valid] = [
        page({"71": 2, "73": 3}, 20, follower=2),
        rec_videos({"71": 2, "72": 5}, 21),
        base_info(3, 22),
        base_info(1, 5),  # late: it divides a spell
        rec_videos({"72": 4}, 10),
        base_info(3, 12),
    ]
    await record_all(mongo_uri, mongo_db.name, before)
    collections = await mongo_db.list_collection_names(filter={"type": "collection"})
    begun = {name: await mongo_db[name].find().to_list() for name in collections if not name.startswith("system.")}
    crashes = 0
    for number in itertools.count(1):
        await forget_everything(mongo_db)
        for name, found in begun.items():
            if found:
                await mongo_db[name].insert_many(found)
        with monkeypatch.context() as patched:
            crashed = await _record_until_crash(mongo_uri, mongo_db.name, after, number, patched, halfway=halfway)
        async with recording(mongo_uri, mongo_db.name) as (store, record):
            await store.catch_up()
            for answer in after:  # what was spilled, or is fetched again
                await record(answer)
        result = checked(mongo_uri, mongo_db.name)
        assert result.violations == [], f"after command {number}"
        assert [spell[1:5] for spell in await spells(mongo_db)] == [
            (1, 0, 0, 1),
            (2, 1, 1, 1),
            (1, 5, 5, 1),
            (2, 9, 9, 1),
            (3, 12, 22, 2),
        ]
        assert [spell[1] for spell in await spells(mongo_db, "videos", "play")] == [1, 2, 1, 4, 5, 3]
        crashes += crashed
        if not crashed:
            break
    print(f"{crashes} crashes, halfway: {halfway}: 0 violations")
    assert crashes > (3 if halfway else 30)


async def _record_until_crash(
    uri: str,
    database: str,
    answers: Iterable[Valid],
    number: int,
    patched: pytest.MonkeyPatch,
    *,
    halfway: bool,
) -> bool:
    """Record until the command of this number; return whether there was one.

    With `halfway`, only commands of several operations count, and the first half of them is done. A command that is
    done as a whole is the state before the next one.
    """
    others = asyncio.all_tasks()
    store = await Store.open(options(uri, database))
    await store.runs.start(RUN, {}, started_at=at(9))
    left = number

    def failing(name: str) -> Any:
        real = getattr(AsyncCollection, name)

        async def command(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if halfway and (name != "bulk_write" or len(args[0]) == 1) and left > 0:
                return await real(self, *args, **kwargs)
            left -= 1
            if left > 0:
                return await real(self, *args, **kwargs)
            if left == 0 and halfway:
                await real(self, args[0][: len(args[0]) // 2], *args[1:], **kwargs)
            raise CrashError

        return command

    for name in ("bulk_write", "aggregate"):
        patched.setattr(AsyncCollection, name, failing(name))
    record = _record(store)
    assert store.history is not None
    try:
        for answer in answers:
            await record(answer)
            await store.history.flush()
        await store.runs.end(RUN, {}, close_reason="finished", at=at(20))
    except CrashError:
        pass
    finally:
        for task in asyncio.all_tasks() - others:  # a process that is killed completes nothing
            task.cancel()
        await store.client.close()
        await _expire_leases(uri, database)
    return left <= 0


async def _expire_leases(uri: str, database: str) -> None:
    """Let the time pass after which a dead holder loses its lease."""
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        await client[database].meta.update_many({"until": {"$exists": True}}, {"$set": {"until": at(-9999)}})


async def test_late_answers_wait_while_another_crawl_inserts_some(
    mongo_uri: str, mongo_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = asyncio.Event()
    take = Lease.take

    async def watched(lease: Lease) -> bool:
        taken = await take(lease)
        if not taken:
            refused.set()
        return taken

    monkeypatch.setattr(Lease, "take", watched)
    async with recording(mongo_uri, mongo_db.name) as (store, record):
        for answer in (base_info(1, 0), base_info(2, 2), base_info(3, 1)):
            await record(answer)
        assert store.history is not None
        async with Lease(mongo_db, store.outages, "late answers", length=600).held():
            flushing = asyncio.create_task(store.history.flush())
            await refused.wait()
            assert await mongo_db.history.count_documents({}) == 0
        await flushing
        assert [spell[:2] for spell in await spells(mongo_db)] == [(1, 1), (2, 3), (3, 2)]
        # The lease is free again at once, and in the end of one that died.
        assert await Lease(mongo_db, store.outages, "late answers", length=0).take()
        assert await Lease(mongo_db, store.outages, "late answers").take()
