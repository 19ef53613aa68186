"""History: spells that go on and end, late answers, two writers at once, a crash after any command."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.history_check import Checked, check
from xingtu_crawler.api import envelope
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.items.answers import DetailAnswer, SearchAnswer
from xingtu_crawler.items.content_hash import VOLATILE
from xingtu_crawler.items.validation import ValidDetail, ValidPage, validate_detail, validate_page
from xingtu_crawler.options import Options
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.store import Store

Database = AsyncDatabase[dict[str, Any]]
Valid = ValidDetail | ValidPage
Record = Callable[[Valid], Any]

STAR = "6600000000000000001"
BEGIN = datetime(2026, 3, 8, tzinfo=UTC)
RUN = "20260308T000000-000000"


def at(minutes: int) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def base_info(follower: int | str, minutes: int, star_id: str = STAR, **more: object) -> ValidDetail:
    return _detail("base_info", star_id, minutes, {"id": star_id, "follower": follower, **more})


def rec_videos(plays: dict[str, int], minutes: int, star_id: str = STAR) -> ValidDetail:
    videos = [{"item_id": item, "play": play, "create_time": 1_700_000_000} for item, play in plays.items()]
    return _detail("rec_videos", star_id, minutes, {"newest_videos": videos})


def page(plays: dict[str, int], minutes: int, star_id: str = STAR, follower: int = 1) -> ValidPage:
    items = [
        {"item_id": item, "vv": str(play), "item_create_time": "1700000000", "item_title": f"title of {item}"}
        for item, play in plays.items()
    ]
    attributes = {"id": star_id, "follower": str(follower), "last_10_items": json.dumps(items)}
    data = {"authors": [{"star_id": star_id, "attribute_datas": attributes}]}
    body = json.dumps({"code": 0, "data": data}).encode()
    return validate_page(SearchAnswer("sweep", 1, envelope.parse(body), body, at(minutes)))


def _detail(endpoint: str, star_id: str, minutes: int, data: dict[str, Any]) -> ValidDetail:
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


def _record(store: Store) -> Record:
    recorder = Recorder(
        store.writer, store.claims, store.sweeps, store.history, run_id=RUN, count=lambda _what, _count: None
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


async def spells(mongo_db: Database, entity: str = "author_base_info", field: str = "follower") -> list[Any]:
    """Return (spell, value, first and last minute, observations, current), entity by entity, in order."""
    found = mongo_db.history.find({"entity": entity}, sort=[("key", 1), ("valid_from", 1), ("last_observed_at", 1)])
    return [
        (
            each["spell"] if isinstance(each["spell"], int) else "late",
            each["data"].get(field),
            round((each["valid_from"] - BEGIN) / timedelta(minutes=1)),
            round((each["last_observed_at"] - BEGIN) / timedelta(minutes=1)),
            each["observations"],
            each["current"],
        )
        async for each in found
    ]


@pytest.mark.usefixtures("_begin")
async def test_values_a_b_a_are_three_spells(mongo_uri: str, mongo_db: Database) -> None:
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 0), base_info(2, 1), base_info(1, 2)])
    assert await spells(mongo_db) == [(1, 1, 0, 0, 1, False), (2, 2, 1, 1, 1, False), (3, 1, 2, 2, 1, True)]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_an_unchanged_observation_extends_the_spell(mongo_uri: str, mongo_db: Database) -> None:
    for minutes in range(3):  # a crawl of its own each time
        await record_all(mongo_uri, mongo_db.name, [base_info(1, minutes)])
    assert await spells(mongo_db) == [(1, 1, 0, 2, 3, True)]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_volatile_fields_change_nothing(mongo_uri: str, mongo_db: Database) -> None:
    first, second = (dict.fromkeys(VOLATILE["base_info"] - {"base_resp"}, f"{value}") for value in (10, 20))
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 0, **first), base_info(1, 1, **second)])
    assert await spells(mongo_db) == [(1, 1, 0, 1, 2, True)]
    kept = await mongo_db.history.find_one()
    assert kept is not None
    assert kept["data"]["avatar_uri"] == "20"  # as in the document
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_the_same_write_sent_again_is_one_observation(mongo_uri: str, mongo_db: Database) -> None:
    again = [base_info(1, 0), base_info(1, 0), base_info(2, 1), base_info(2, 1), base_info(1, 0)]
    await record_all(mongo_uri, mongo_db.name, again)
    assert await spells(mongo_db) == [(1, 1, 0, 0, 1, False), (2, 2, 1, 1, 1, True)]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_a_late_answer_becomes_a_spell_of_its_own(mongo_uri: str, mongo_db: Database) -> None:
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 0), base_info(2, 5), base_info(3, 3)])
    assert await spells(mongo_db) == [(1, 1, 0, 0, 1, False), ("late", 3, 3, 3, 1, False), (2, 2, 5, 5, 1, True)]
    # What came late and is what it was before, or what it is now, in a spell that does not reach that far.
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 2), base_info(2, 4)])
    assert [spell[1:3] for spell in await spells(mongo_db)] == [(1, 0), (1, 2), (3, 3), (2, 4), (2, 5)]
    # What the current spell says already.
    await record_all(mongo_uri, mongo_db.name, [base_info(2, 9), base_info(2, 7)])
    assert (await spells(mongo_db))[-1] == (2, 2, 5, 9, 2, True)
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_videos_from_several_sources_are_one_entity(mongo_uri: str, mongo_db: Database) -> None:
    answers: list[Valid] = [
        page({"71": 10, "72": 20}, 0),
        rec_videos({"71": 10, "73": 5}, 1),  # knows no title, and takes none away
        rec_videos({"71": 11}, 2),
        page({"73": 5}, 0, follower=2),  # late, and the only one that knows the title
    ]
    await record_all(mongo_uri, mongo_db.name, answers)
    assert [spell[:2] + spell[4:] for spell in await spells(mongo_db, "videos", "play")] == [
        (1, 10, 2, False),
        (2, 11, 1, True),
        (1, 20, 1, True),
        (1, 5, 1, True),
    ]
    videos = {each["_id"]: each["data"] async for each in mongo_db.videos.find()}
    assert {key: (data["play"], data["title"]) for key, data in videos.items()} == {
        "71": (11, "title of 71"),
        "72": (20, "title of 72"),
        "73": (5, "title of 73"),
    }
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_without_history_there_is_none(mongo_uri: str, mongo_db: Database) -> None:
    async with recording(mongo_uri, mongo_db.name, history=False) as (_, record):
        for answer in (base_info(1, 0), base_info(2, 1), base_info(3, 0)):
            await record(answer)
    assert await mongo_db.history.count_documents({}) == 0
    document = await mongo_db.author_base_info.find_one()
    assert document is not None
    assert document["data"]["follower"] == 2
    assert document["history_pending"] == [{"spell": 1}]  # no more than that it has ended


async def test_a_crawl_without_history_between_two_with_it_leaves_one_current_spell(
    mongo_uri: str, mongo_db: Database
) -> None:
    changed, seen_again, left = (f"660000000000000000{number}" for number in "123")
    await record_all(mongo_uri, mongo_db.name, [base_info(1, 0, star_id) for star_id in (changed, seen_again, left)])
    async with recording(mongo_uri, mongo_db.name, history=False) as (_, record):
        for star_id in (changed, seen_again, left):
            await record(base_info(2, 1, star_id))
            await record(base_info(3, 2, star_id))
    async with recording(mongo_uri, mongo_db.name) as (store, record):
        await store.catch_up()
        await record(base_info(4, 3, changed))
        await record(base_info(3, 3, seen_again))
    assert await spells(mongo_db) == [
        (1, 1, 0, 0, 1, False),
        (3, 3, 2, 2, 1, False),
        (4, 4, 3, 3, 1, True),
        (1, 1, 0, 0, 1, False),
        (3, 3, 2, 3, 2, True),
        (1, 1, 0, 0, 1, False),
        (3, 3, 2, 2, 1, True),
    ]
    assert await mongo_db.author_base_info.count_documents({"history_pending": {"$exists": True}}) == 0


async def test_a_value_that_does_not_fit_is_content_too(mongo_uri: str, mongo_db: Database) -> None:
    followers: list[int | str] = ["1.2w", "1.2w", "1.3w", 14000]
    answers = [base_info(follower, minutes) for minutes, follower in enumerate(followers)]
    late = base_info("1.1w", 2)
    late.answer.fetched_at -= timedelta(seconds=30)
    await record_all(mongo_uri, mongo_db.name, [*answers, late])
    found = mongo_db.history.find({}, sort=[("valid_from", 1)])
    told = [
        (each["data"]["follower"], each.get("unparsed", {}).get("follower", {}).get("raw"), each["observations"])
        async for each in found
    ]
    assert told == [(None, "1.2w", 2), (None, "1.1w", 1), (None, "1.3w", 1), (14000, None, 1)]
    assert checked(mongo_uri, mongo_db.name).violations == []


async def test_a_history_that_cannot_be_written_is_told_and_left_for_the_next_start(
    mongo_uri: str, mongo_db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await mongo_db.create_collection("history", validator={"key": {"$ne": f"{STAR}:SHORT_VIDEO"}})
    with pytest.raises(StorageError, match="the next crawl catches up"):
        await record_all(mongo_uri, mongo_db.name, [base_info(1, 0), base_info(1, 0, "6600000000000000002")])
    assert [each["star_id"] async for each in mongo_db.history.find()] == ["6600000000000000002"]
    assert sum("could not be brought up to date" in record.getMessage() for record in caplog.records) in {1, 2}


@pytest.fixture(params=[BEGIN, BEGIN.replace(year=2096)], ids=["long ago", "just now"])
def _begin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is younger than the last projection is inserted, what is older is merged: both ways."""
    monkeypatch.setattr(f"{__name__}.BEGIN", request.param)


@pytest.mark.usefixtures("_begin")
@pytest.mark.parametrize("seed", range(3))
async def test_two_writers_interleaved_at_random(seed: int, mongo_uri: str, mongo_db: Database) -> None:
    chance = random.Random(seed)
    star_ids = [f"660000000000000000{number}" for number in range(3)]
    seen = [
        (chance.choice(star_ids), chance.randrange(3), minutes)
        for minutes in range(90)  # each minute once: so many distinct observations
    ]
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
    assert result.entities["author_base_info"] == len({star_id for star_id, _, _ in seen})
    assert result.observations["author_base_info"] <= len(seen)
    # Nothing that was seen is lost: at its time, a spell says it.
    for star_id, follower, minutes in seen:
        said = {
            "entity": "author_base_info",
            "key": f"{star_id}:SHORT_VIDEO",
            "data.follower": follower,
            "valid_from": {"$lte": at(minutes)},
            "last_observed_at": {"$gte": at(minutes)},
        }
        assert await mongo_db.history.count_documents(said) >= 1


async def test_in_order_every_observation_is_counted_once(mongo_uri: str, mongo_db: Database) -> None:
    chance = random.Random(1)
    answers = [base_info(chance.randrange(3), minutes) for minutes in range(60)]
    async with recording(mongo_uri, mongo_db.name) as (_, one), recording(mongo_uri, mongo_db.name) as (_, other):
        for answer in answers:
            await chance.choice((one, other))(answer)
    result = checked(mongo_uri, mongo_db.name)
    assert (result.observations["author_base_info"], result.late, result.violations) == (60, 0, [])


class CrashError(Exception):
    """The process is gone; raised in place of a MongoDB command."""


@pytest.mark.usefixtures("_begin")
@pytest.mark.parametrize("halfway", [False, True])
async def test_a_crash_after_any_command_leaves_nothing_that_is_not_made_good(
    halfway: bool, mongo_uri: str, mongo_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[Valid] = [base_info(1, 0), rec_videos({"71": 1, "72": 1}, 0), page({"71": 1}, 0), base_info(2, 1)]
    after: list[Valid] = [
        page({"71": 2, "73": 3}, 10, follower=2),
        rec_videos({"71": 2, "72": 5}, 11),
        base_info(3, 12),
    ]
    crashes = 0
    for number in itertools.count(1):
        for name in await mongo_db.list_collection_names():
            await mongo_db[name].delete_many({})
        await record_all(mongo_uri, mongo_db.name, before)
        with monkeypatch.context() as patched:
            crashed = await _record_until_crash(mongo_uri, mongo_db.name, after, number, patched, halfway=halfway)
        async with recording(mongo_uri, mongo_db.name) as (store, record):
            await store.catch_up()
            for answer in after:  # what was spilled, or is asked again
                await record(answer)
        result = checked(mongo_uri, mongo_db.name)
        assert result.violations == [], f"after command {number}"
        assert result.observations["author_base_info"] == 3
        assert result.late == 0
        crashes += crashed
        if not crashed:
            break
    print(f"{crashes} crashes, halfway: {halfway}: 0 violations")
    assert crashes > 10


async def _record_until_crash(
    uri: str,
    database: str,
    answers: Iterable[Valid],
    number: int,
    patched: pytest.MonkeyPatch,
    *,
    halfway: bool,
) -> bool:
    """Record until the command of this number; True where it came to that."""
    others = asyncio.all_tasks()
    store = await Store.open(options(uri, database))
    await store.runs.start(RUN, {}, started_at=at(9))
    left = number

    def failing(name: str) -> Any:
        real = getattr(AsyncCollection, name)

        async def command(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left > 0:
                return await real(self, *args, **kwargs)
            if left == 0 and halfway:  # the server has done (half of) it, nobody has heard of it
                if name == "bulk_write":
                    args = (args[0][: max(1, len(args[0]) // 2)], *args[1:])
                await real(self, *args, **kwargs)
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
    return left <= 0


async def test_catching_up_goes_through_any_number_of_documents(mongo_uri: str, mongo_db: Database) -> None:
    async with recording(mongo_uri, mongo_db.name, history=False) as (store, record):
        await store.runs.start(RUN, {}, started_at=at(0))
        # More than a batch, and all of the same moment.
        await asyncio.gather(*(record(base_info(1, 1, str(10**18 + number))) for number in range(1234)))
    async with recording(mongo_uri, mongo_db.name) as (store, _):
        await store.catch_up()
    result = checked(mongo_uri, mongo_db.name)
    assert (result.entities["author_base_info"], result.violations) == (1234, [])


async def test_after_a_kill_only_what_may_be_missing_is_looked_at(mongo_uri: str, mongo_db: Database) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    minutes = round((now - BEGIN) / timedelta(minutes=1))
    async with recording(mongo_uri, mongo_db.name) as (store, record):
        await store.runs.start(RUN, {}, started_at=now - timedelta(hours=1))
        assert store.history is not None
        assert store.history.complete_until is None
        await record(base_info(1, minutes - 10))
        await store.history.flush()
        until = store.history.complete_until
        assert until is not None
        assert now - timedelta(minutes=1) < until < datetime.now(UTC)
        # An answer that is still held back to be stored may be older than what is there already.
        store.history.oldest_unstored = lambda: now - timedelta(minutes=20)
        await store.history.flush()
        assert store.history.complete_until is not None
        assert store.history.complete_until < now - timedelta(minutes=20)
        await store.runs.beat(RUN, {"history_until": until}, at=now)
        assert await store.runs.oldest_unended() == until.replace(microsecond=until.microsecond // 1000 * 1000)
    await mongo_db.history.delete_many({})
    async with recording(mongo_uri, mongo_db.name, history=False) as (_, record):
        await record(base_info(1, minutes + 1, "6600000000000000002"))
    async with recording(mongo_uri, mongo_db.name) as (store, _):
        await store.catch_up()
    assert [each["star_id"] async for each in mongo_db.history.find()] == ["6600000000000000002"]
