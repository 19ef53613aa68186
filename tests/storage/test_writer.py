"""Group commit against real MongoDB servers: healthy, killed, silent, guarded and misconfigured ones."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bson import decode, encode
from pymongo import AsyncMongoClient, DeleteOne, MongoClient, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import CommandListener, CommandStartedEvent, CommandSucceededEvent

from tests.mongods import Mongod, mongod
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo import keeper
from xingtu_crawler.mongo.client import connect
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.writer import BulkWriter, Rejected, Write

Database = AsyncDatabase[dict[str, Any]]


def put(key: object, value: object = 1, collection: str = "things") -> Write:
    return Write(collection, UpdateOne({"_id": key}, {"$set": {"value": value}}, upsert=True))


def replace(key: object, data: Mapping[Any, Any]) -> Write:
    """Return the write of a whole payload, as documents are written: as a literal in a pipeline."""
    return Write("things", UpdateOne({"_id": key}, [{"$set": {"data": {"$literal": data}}}], upsert=True))


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


async def keys(database: Database, collection: str = "things") -> set[Any]:
    return {document["_id"] async for document in database[collection].find({}, {"_id": 1})}


@pytest.fixture(scope="module")
def faulty(mongo_root: Path) -> Iterator[Mongod]:
    """A MongoDB with fail points."""
    with mongod(mongo_root / "faulty", "--setParameter", "enableTestCommands=1") as server:
        yield server


@asynccontextmanager
async def opened(uri: str, patience: float, **options: Any) -> AsyncIterator[tuple[BulkWriter, Database]]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        uri, journal=True, serverSelectionTimeoutMS=200, heartbeatFrequencyMS=500, **options
    )
    try:
        yield BulkWriter(client.things, Outages(patience)), client.things
    finally:
        await client.close()


@asynccontextmanager
async def fail_point(server: Mongod, name: str, mode: Any = "alwaysOn", **data: Any) -> AsyncIterator[Database]:
    """Switch a fail point of the server on; yields the server's admin database."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(server.uri)
    try:
        await client.admin.command({"configureFailPoint": name, "mode": mode, "data": data})
        yield client.admin
    finally:
        await client.admin.command({"configureFailPoint": name, "mode": "off"})
        await client.close()


def failing(server: Mongod, fault: Mapping[str, Any], mode: Any = "alwaysOn") -> AbstractAsyncContextManager[Database]:
    """Make every bulk write of the server fail."""
    return fail_point(server, "failCommand", mode, failCommands=["update"], **fault)


class Commands(CommandListener):
    """Records the sizes of the bulk writes that are sent to MongoDB, and in which order collections are written."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.order: list[tuple[str, str]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in {"update", "delete"}:
            self.sizes.append(len(event.command.get("updates") or event.command.get("deletes") or ()))
            self.order.append(("sent", event.command[event.command_name]))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name == "update":
            self.order.append(("acknowledged", self.order[-1][1]))

    def failed(self, event: object) -> None: ...


@pytest.fixture
def writer(mongo_db: Database) -> BulkWriter:
    return BulkWriter(mongo_db, Outages(5))


async def test_writing_nothing_returns_at_once(writer: BulkWriter) -> None:
    assert await writer.write([]) == []


async def test_acknowledged_writes_are_stored(writer: BulkWriter, mongo_db: Database) -> None:
    assert await writer.write([put("a"), put("b", collection="others"), put("a", 2)]) == []
    assert await mongo_db.things.find().to_list() == [{"_id": "a", "value": 2}]
    assert await mongo_db.others.find().to_list() == [{"_id": "b", "value": 1}]
    assert await writer.write([Write("things", DeleteOne({"_id": "a"}))]) == []
    assert await keys(mongo_db) == set()


async def test_thousands_of_concurrent_writes_share_a_few_commands(mongo_uri: str, mongo_db: Database) -> None:
    commands = Commands()
    async with opened(mongo_uri, 5, event_listeners=[commands]) as (_, database):
        writer = BulkWriter(database.client[mongo_db.name], Outages(5))
        results = await asyncio.gather(*(writer.write([put(number)]) for number in range(5000)))
    assert all(rejected == [] for rejected in results)
    assert await keys(mongo_db) == set(range(5000))
    assert sum(commands.sizes) == 5000
    assert len(commands.sizes) <= 6
    assert max(commands.sizes) <= 1000


async def test_writes_during_a_flush_are_in_the_next_one(mongo_uri: str, mongo_db: Database) -> None:
    commands = Commands()
    async with opened(mongo_uri, 5, event_listeners=[commands]) as (_, database):
        writer = BulkWriter(database.client[mongo_db.name], Outages(5))
        first = asyncio.create_task(writer.write([put("first")]))
        while not commands.sizes:
            await asyncio.sleep(0)
        await asyncio.gather(*(writer.write([put(number)]) for number in range(100)))
        assert await first == []
    assert commands.sizes == [1, 100]


async def test_writes_of_many_callers_at_different_times_are_all_stored(writer: BulkWriter, mongo_db: Database) -> None:
    async def work(worker: int) -> None:
        dice = random.Random(worker)
        for step in range(20):
            writes = [put(f"{worker}-{step}-{each}", collection=f"c{each % 3}") for each in range(dice.randrange(5))]
            assert await writer.write([*writes, put(f"{worker}-{step}")]) == []
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)

    await asyncio.gather(*(work(worker) for worker in range(50)))
    assert await keys(mongo_db) == {f"{worker}-{step}" for worker in range(50) for step in range(20)}


async def test_a_cancelled_caller_does_not_affect_the_others(writer: BulkWriter, mongo_db: Database) -> None:
    tasks = [asyncio.create_task(writer.write([put(number)])) for number in range(100)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1::2] == [[]] * 50
    assert {number for number in range(100) if number % 2} <= await keys(mongo_db)


POISONS: dict[str, Callable[[], dict[Any, Any]]] = {
    "an integer beyond 64 bits": lambda: {"a": 2**63},
    "half a surrogate pair": lambda: {"a": "\ud83d"},
    "half a surrogate pair in a key": lambda: {"\ud83d": 1},
    "a null character in a key": lambda: {"a\0b": 1},
    "a key that is no text": lambda: {1: 2},
    "something that is no data": lambda: {"a": object()},
    "17 MB": lambda: {"a": "x" * 17_000_000},
    "60 MB": lambda: {"a": "x" * 60_000_000},
    "200 levels": lambda: nested(200),
    "2,000 levels": lambda: nested(2000),
}


@pytest.mark.parametrize("poison", POISONS)
async def test_a_document_that_cannot_be_stored_does_not_affect_the_others(
    writer: BulkWriter, mongo_db: Database, poison: str
) -> None:
    good = [put(number) for number in range(50)]
    bad = replace("bad", POISONS[poison]())
    others = asyncio.gather(*(writer.write([put(number)]) for number in range(100, 150)))
    rejected = await writer.write([*good[:25], bad, *good[25:]])
    assert [each.write for each in rejected] == [bad]
    assert rejected[0].error
    assert "\n" not in rejected[0].error
    assert len(rejected[0].error) <= 500
    assert await others == [[]] * 50
    assert await keys(mongo_db) == {*range(50), *range(100, 150)}


async def test_many_documents_that_cannot_be_stored_are_each_refused(
    writer: BulkWriter, mongo_db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    poisons = [POISONS[name]() for name in POISONS if "MB" not in name]
    dice = random.Random(1)
    bad = {number: dice.choice(poisons) for number in dice.sample(range(300), 30)}
    writes = [replace(number, bad.get(number, {"a": 1})) for number in range(300)]
    rejected = await writer.write(writes)
    assert [each.write for each in rejected] == [writes[number] for number in sorted(bad)]
    assert await keys(mongo_db) == set(range(300)) - bad.keys()
    logged = [record.getMessage() for record in caplog.records if record.name == "xingtu_crawler.storage.writer"]
    assert len(logged) == 30
    assert all(line.startswith("MongoDB refuses a document for things: ") for line in logged)


@pytest.mark.parametrize(
    "data",
    [
        {"": 1, "a": {"": {"": 2}}},
        {"a.b": 1, "$set": 2, "c": {"$d.e": [{"$f": "$g"}], ".": "$$ROOT", "$": {"$literal": 1}}},
        {"a": "null \0 in a text", "b": "\U0001f600", "c": "$a", "d": 2**63 - 1, "e": -(2**63)},
        {"a": float("inf"), "b": [[], {}, None, True]},
        nested(100),
    ],
)
async def test_odd_documents_that_can_be_stored_are_stored_unchanged(
    writer: BulkWriter, mongo_db: Database, data: dict[str, Any]
) -> None:
    assert await writer.write([replace("odd", data)]) == []
    stored = await mongo_db.things.find_one({"_id": "odd"})
    assert stored == {"_id": "odd", "data": decode(encode(data))}


async def test_a_duplicate_key_of_another_index_is_a_refusal(writer: BulkWriter, mongo_db: Database) -> None:
    await mongo_db.things.create_index("value", unique=True)
    bad = put("b", "same")
    assert await writer.write([put("a", "same")]) == []
    (rejected,) = await writer.write([bad, put("c", "other")])
    assert rejected == Rejected(bad, rejected.error)
    assert "duplicate key" in rejected.error
    assert await keys(mongo_db) == {"a", "c"}


def newer_wins(key: str, version: int, *, late: bool = False) -> Write:
    def in_its_place() -> UpdateOne:
        return UpdateOne({"_id": key}, {"$addToSet": {"late": version}})

    return Write(
        "things",
        UpdateOne({"_id": key, "version": {"$not": {"$gt": version}}}, {"$set": {"version": version}}, upsert=True),
        in_its_place if late else None,
    )


async def test_an_older_document_is_not_written_and_no_error(writer: BulkWriter, mongo_db: Database) -> None:
    assert await writer.write([newer_wins("a", 5)]) == []
    assert await writer.write([newer_wins("a", 3), newer_wins("b", 1)]) == []
    assert {each["_id"]: each["version"] async for each in mongo_db.things.find()} == {"a": 5, "b": 1}


async def test_an_older_document_with_late_is_written_as_late(writer: BulkWriter, mongo_db: Database) -> None:
    assert await writer.write([newer_wins("a", 5, late=True)]) == []
    assert await writer.write([newer_wins("a", version, late=True) for version in (3, 6, 4)]) == []
    (document,) = await mongo_db.things.find().to_list()
    assert document["version"] == 6
    assert set(document["late"]) >= {3}


async def test_writers_that_race_for_the_same_new_keys_lose_no_write(mongo_uri: str, mongo_db: Database) -> None:
    async with opened(mongo_uri, 5) as (_, first), opened(mongo_uri, 5) as (_, second):
        writers = [BulkWriter(each.client[mongo_db.name], Outages(5)) for each in (first, second, first, second)]
        for key in range(100):
            results = await asyncio.gather(
                *(writer.write([newer_wins(f"k{key}", version)]) for version, writer in enumerate(writers))
            )
            assert results == [[]] * 4
    assert {each["_id"]: each["version"] async for each in mongo_db.things.find()} == {
        f"k{key}": 3 for key in range(100)
    }


async def test_an_upsert_that_meets_another_one_of_its_new_key_is_sent_again(faulty: Mongod) -> None:
    async with opened(faulty.uri, 20) as (writer, database):
        await database.things.delete_many({})
        async with fail_point(faulty, "hangBeforeUpsertPerformsInsert") as admin:
            writing = asyncio.create_task(writer.write([newer_wins("a", 5, late=True)]))
            hanging = {"waitForFailPoint": "hangBeforeUpsertPerformsInsert", "timesEntered": 1, "maxTimeMS": 20_000}
            await admin.command(hanging)
            await database.things.insert_one({"_id": "a", "version": 3})
        assert await writing == []
        assert await database.things.find().to_list() == [{"_id": "a", "version": 5}]


async def test_videos_and_quarantine_are_acknowledged_before_anything_else_is_sent(
    mongo_uri: str, mongo_db: Database
) -> None:
    commands = Commands()
    async with opened(mongo_uri, 5, event_listeners=[commands]) as (_, database):
        writer = BulkWriter(database.client[mongo_db.name], Outages(5))
        for first, last in [("videos", "author_rec_videos"), ("quarantine", "failures")]:
            commands.order.clear()
            assert await writer.write([put("a", collection=last), put("b", collection=first)]) == []
            assert commands.order == [
                ("sent", first),
                ("acknowledged", first),
                ("sent", last),
                ("acknowledged", last),
            ]


async def test_the_same_writes_in_any_order_end_the_same(writer: BulkWriter, mongo_db: Database) -> None:
    for seed in range(10):
        versions = [(key, version) for key in "abc" for version in range(8)]
        random.Random(seed).shuffle(versions)
        await asyncio.gather(*(writer.write([newer_wins(f"{seed}{key}", version)]) for key, version in versions))
    assert {each["version"] async for each in mongo_db.things.find()} == {7}
    assert await mongo_db.things.count_documents({}) == 30


async def test_a_killed_mongod_loses_no_acknowledged_write(mongo_path: Path) -> None:
    directory = mongo_path / "mongo"
    with EmbeddedMongo(directory, min_free_bytes=0) as uri:
        client = await connect(uri, "test", timeout=1.0)
        outages = Outages(60)
        writer = BulkWriter(client.test, outages)
        acknowledged: set[int] = set()
        killed: list[int] = []

        async def work(worker: int) -> None:
            for number in range(worker, 4000, 40):
                assert await writer.write([put(number, "x" * 2000)]) == []
                acknowledged.add(number)

        async def kill() -> None:
            for goal in (500, 2000):
                while len(acknowledged) < goal:
                    await asyncio.sleep(0.001)
                killed.append(int((directory / keeper.MONGOD_PID).read_text(encoding="ascii")))
                os.kill(killed[-1], signal.SIGKILL)

        await asyncio.gather(kill(), *(work(worker) for worker in range(40)))
        assert acknowledged == set(range(4000))
        assert len(set(killed)) == 2
        assert not outages.is_waiting
        assert await keys(client.test) == acknowledged
        await client.close()


async def test_writes_wait_for_a_stopped_mongodb_until_it_is_back(
    mongo_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with mongod(mongo_path / "db") as server:
        async with opened(server.uri, 60) as (writer, database):
            assert await writer.write([put("before")]) == []
            server.kill()
            waiting = asyncio.gather(*(writer.write([put(number)]) for number in range(2000)))
            while not any("is away" in record.getMessage() for record in caplog.records):
                await asyncio.sleep(0.01)
            assert not waiting.done()
            await asyncio.to_thread(server.start)
            assert await waiting == [[]] * 2000
            assert await keys(database) == {"before", *range(2000)}
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("xingtu_crawler")]
    assert len(logged) == 2
    assert logged[0].startswith("MongoDB is away (")
    assert logged[1].startswith("MongoDB is back after ")


async def test_after_the_longest_outage_every_write_fails(mongo_path: Path) -> None:
    with mongod(mongo_path / "db") as server:
        async with opened(server.uri, 0.5) as (writer, _):
            assert await writer.write([put("before")]) == []
            server.kill()
            waiting = [asyncio.create_task(writer.write([put(number)])) for number in range(3000)]
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(result) for result in results} == {StorageError}
            assert "start it" in str(results[0])
            with pytest.raises(StorageError):
                await writer.write([put("after")])


@pytest.mark.parametrize("code", [91, 10107, 14031])
async def test_writes_are_retried_after_an_error_of_the_server(faulty: Mongod, code: int) -> None:
    async with opened(faulty.uri, 20, retryWrites=False) as (writer, database):
        await database.things.delete_many({})
        async with failing(faulty, {"errorCode": code}, {"times": 2}):
            results = await asyncio.gather(*(writer.write([put(number)]) for number in range(20)))
        assert results == [[]] * 20
        assert await keys(database) == set(range(20))


async def test_a_write_that_the_server_could_not_do_now_is_sent_again_and_the_others_are_not(faulty: Mongod) -> None:
    commands = Commands()
    async with opened(faulty.uri, 20, event_listeners=[commands]) as (writer, database):
        await database.things.delete_many({})
        # The error code 112 (WriteConflict) is in the reply's `writeErrors`, not the error of the command.
        async with (
            fail_point(faulty, "skipWriteConflictRetries"),
            fail_point(faulty, "WTWriteConflictException", {"times": 1}),
        ):
            assert await writer.write([put(number) for number in range(4)]) == []
        assert await keys(database) == set(range(4))
    assert commands.sizes[1:] == [4, 1]


async def test_writes_are_retried_after_a_broken_connection(faulty: Mongod) -> None:
    async with opened(faulty.uri, 20, retryWrites=False) as (writer, database):
        await database.things.delete_many({})
        async with failing(faulty, {"closeConnection": True}, {"times": 3}):
            assert await writer.write([put(number) for number in range(20)]) == []
        assert await keys(database) == set(range(20))


async def test_unconfirmed_writes_are_sent_again(faulty: Mongod) -> None:
    fault = {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}
    commands = Commands()
    async with opened(faulty.uri, 20, event_listeners=[commands]) as (writer, database):
        async with failing(faulty, fault, {"times": 2}):
            assert await writer.write([put("a"), put("b")]) == []
        assert await keys(database) >= {"a", "b"}
    assert commands.sizes == [2, 2, 2]


async def test_writes_that_are_never_confirmed_fail_after_the_longest_outage_without_busy_waiting(
    faulty: Mongod,
) -> None:
    fault = {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}
    commands = Commands()
    async with opened(faulty.uri, 1.0, event_listeners=[commands]) as (writer, _), failing(faulty, fault):
        with pytest.raises(StorageError, match="has been away"):
            await writer.write([put("a")])
    assert 2 <= len(commands.sizes) <= 10


async def test_a_write_concern_that_cannot_be_satisfied_is_an_error_at_once(mongo_uri: str, mongo_db: Database) -> None:
    async with opened(mongo_uri, 60, w=2) as (_, database):
        writer = BulkWriter(database.client[mongo_db.name], Outages(60))
        with pytest.raises(StorageError) as caught:
            await writer.write([put("a")])
    assert str(caught.value) == ("MongoDB cannot confirm writes with the w of MONGO_URI: correct it, or remove it.")


@pytest.mark.parametrize("code", [79, 100])
async def test_writes_that_can_never_be_confirmed_fail_at_once(faulty: Mongod, code: int) -> None:
    fault = {"writeConcernError": {"code": code, "errmsg": "not enough data-bearing nodes"}}
    async with opened(faulty.uri, 60) as (writer, _), failing(faulty, fault):
        with pytest.raises(StorageError, match="correct it"):
            await writer.write([put("a"), put("b")])


async def test_a_user_without_the_right_to_write_is_an_error_at_once(mongo_path: Path) -> None:
    with mongod(mongo_path / "db", "--auth") as server:
        with MongoClient[dict[str, Any]](server.uri) as admin:
            admin.admin.command("createUser", "root", pwd="password", roles=["root"])
        with MongoClient[dict[str, Any]](server.uri, username="root", password="password") as admin:
            admin.admin.command("createUser", "reader", pwd="password", roles=["readAnyDatabase"])
        async with opened(server.uri, 60, username="reader", password="password") as (writer, _):
            with pytest.raises(StorageError) as caught:
                await writer.write([put("a"), put("b")])
    assert str(caught.value) == (
        "The user of MONGO_URI lacks rights on the database: grant it the role readWrite there, then run the same "
        "command again."
    )


async def test_insist_raises_an_error_for_a_refused_write(mongo_db: Database) -> None:
    await mongo_db.create_collection("things", validator={"never": {"$exists": True}})
    with pytest.raises(StorageError, match=r"refuses a write to things .* run the same command again"):
        await BulkWriter(mongo_db, Outages(5)).insist([put("a"), put("b")])


async def test_an_unknown_error_is_a_refusal(faulty: Mongod) -> None:
    async with opened(faulty.uri, 60) as (writer, _), failing(faulty, {"errorCode": 96}):
        assert len(await writer.write([put("a"), put("b")])) == 2


async def test_writing_after_closing_is_an_error_and_no_refusal(mongo_uri: str) -> None:
    async with opened(mongo_uri, 60) as (writer, _):
        pass
    with pytest.raises(StorageError, match="after MongoDB was closed"):
        await writer.write([put("a"), put("b")])
