"""The migration of a database that xingtu-crawler 0.1.0 has written: complete, once, and after a kill too.

`data/dataset_0_1_0.json` was written by version 0.1.0: several crawls of few entities, with late answers, a crawl
without history, and a last crawl that was killed before its spells were moved.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from pymongo import MongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.history_check import check
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.options import Options
from xingtu_crawler.storage import migration
from xingtu_crawler.storage.collections import DATASET_VERSION
from xingtu_crawler.storage.lease import Lease
from xingtu_crawler.storage.migration import Migration
from xingtu_crawler.storage.reader import open_for_reading, open_for_reading_blocking
from xingtu_crawler.storage.schema import prepare
from xingtu_crawler.storage.store import Store

Database = AsyncDatabase[dict[str, Any]]
Spells = dict[str, list[tuple[Any, ...]]]

DUMP = Path(__file__).parents[1] / "data" / "dataset_0_1_0.json"
BEGIN = datetime(2026, 3, 8, tzinfo=UTC)

DETAILS: Spells = {  # (spell, followers, minute of the first and the last observation, observations)
    "1": [(1, 1, 0, 20, 3), (2, 2, 30, 30, 1), (3, 1, 40, 50, 2)],
    "2": [(1, 1, 0, 120, 4)],
    # Version 0.1.0 did not keep the time of the observation at 10.
    "3": [(1, 1, 0, 0, 2), (2, 9, 5, 5, 1), (3, 1, 30, 35, 2), (4, 8, 45, 45, 1), (5, 2, 60, 60, 1)],
    "4": [(1, 1, 0, 0, 1), (3, 3, 70, 70, 1)],
    "5": [(1, 1, 0, 0, 1), (2, 2, 10, 10, 1), (3, 7, 60, 60, 1), (4, 3, 120, 130, 2)],
}
AUTHORS: Spells = {
    "1": [(1, 10, 0, 0, 1), (2, 12, 25, 25, 1)],
    "2": [(1, 20, 0, 0, 1)],
    "6": [(1, 60, 0, 5, 2), (2, 61, 10, 15, 2)],  # it was six spells: `items` differed, and one page listed it thrice
}
VIDEOS: Spells = {
    "71": [(1, 10, 0, 1, 2), (2, 11, 20, 20, 1), (3, 12, 30, 30, 1), (4, 13, 120, 120, 1)],
    "76": [(1, 60, 0, 5, 2), (2, 61, 10, 15, 2)],
}


async def load(database: Database) -> None:
    """Make a database what version 0.1.0 has left, with the indexes that it had."""
    for name, documents in json_util.loads(DUMP.read_text(encoding="utf-8")).items():
        await database[name].insert_many(documents)
    for name in ("authors", "videos"):
        await database[name].create_index([("crawl.fetched_at", 1), ("_id", 1)])


async def open_and_close(uri: str, database: str) -> None:
    store = await Store.open(Options.read({"MONGO_URI": uri, "MONGO_DATABASE": database, "XINGTU_STORAGE_PATIENCE": 5}))
    await store.close()


async def spells(database: Database, entity: str, field: str) -> Spells:
    """Return the spells by the last digit of the author, or by the video."""
    found: Spells = {}
    async for each in database.spells.find({"entity": entity}, sort=[("valid_from", 1)]):
        data = each["data"].get("attribute_datas", each["data"])
        minutes = [(each[name] - BEGIN) / timedelta(minutes=1) for name in ("valid_from", "last_observed_at")]
        key = each["key"].split(":")[0].removeprefix("660000000000000000")
        found.setdefault(key, []).append((each["spell"], data[field], *minutes, each["observations"]))
    return found


async def expect_migrated(uri: str, database: Database) -> None:
    assert await spells(database, "author_base_info", "follower") == DETAILS
    assert await spells(database, "authors", "follower") == AUTHORS
    videos = await spells(database, "videos", "play")
    assert {key: videos[key] for key in VIDEOS} == VIDEOS
    assert len(videos) == await database.videos.count_documents({}) == 10
    assert await database.history.count_documents({"current": True}) == 0
    assert await database.history.count_documents({"spell": {"$type": "string"}}) == 0
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        violations = check(client[database.name]).violations
    # The crawl without history has left a gap.
    assert violations == ["author_base_info 6600000000000000004:SHORT_VIDEO: the spells have the numbers [1, 3]"]
    found = await database.meta.find_one({"_id": "dataset"})
    assert found is not None
    assert found["version"] == DATASET_VERSION == 2
    assert await database.meta.count_documents({}) == 1
    for name in ("authors", "videos"):
        assert "crawl.fetched_at_1__id_1" not in await database[name].index_information()


async def test_a_database_of_0_1_0_is_migrated_at_the_next_start(
    mongo_uri: str, mongo_db: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "_TELL_S", 0)
    caplog.set_level(logging.INFO)
    await load(mongo_db)
    await open_and_close(mongo_uri, mongo_db.name)
    await expect_migrated(mongo_uri, mongo_db)
    lines = [record.getMessage() for record in caplog.records if record.name == migration.__name__]
    assert lines[0] == f"Migrating 37 spells and the authors of database {mongo_db.name}"
    assert "Migrated 3 of 3 authors" in lines
    assert lines[-1].startswith(f"Migrated database {mongo_db.name} in ")
    caplog.clear()
    before = await mongo_db.spells.find(sort=[("_id", 1)]).to_list()
    await open_and_close(mongo_uri, mongo_db.name)
    assert await mongo_db.spells.find(sort=[("_id", 1)]).to_list() == before
    assert not any(record.name == migration.__name__ for record in caplog.records)


async def test_many_spells_are_migrated_batch_by_batch(
    mongo_uri: str, mongo_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_BATCH", "_AUTHORS"):
        monkeypatch.setattr(migration, name, 2)
    await load(mongo_db)
    await open_and_close(mongo_uri, mongo_db.name)
    await expect_migrated(mongo_uri, mongo_db)


async def test_of_several_crawls_that_start_one_migrates_and_the_others_wait(
    mongo_uri: str, mongo_db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await load(mongo_db)
    await asyncio.gather(*(open_and_close(mongo_uri, mongo_db.name) for _ in range(4)))
    await expect_migrated(mongo_uri, mongo_db)
    begun = [record for record in caplog.records if record.getMessage().startswith("Migrating ")]
    assert len(begun) == 1


class KilledError(Exception):
    """The process is gone; raised in place of a MongoDB command."""


async def test_a_migration_that_is_killed_goes_on(
    mongo_uri: str, mongo_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_BATCH", "_AUTHORS"):
        monkeypatch.setattr(migration, name, 20)
    kills = 0
    for number in itertools.count(1):
        for name in await mongo_db.list_collection_names(filter={"type": "collection"}):
            if not name.startswith("system."):
                await mongo_db[name].delete_many({})
        await load(mongo_db)
        with monkeypatch.context() as patched:
            killed = await _migrate_until_kill(mongo_db, number, patched)
        # As if the dead process had lost its lease by now.
        await mongo_db.meta.update_many({"until": {"$exists": True}}, {"$set": {"until": BEGIN}})
        await open_and_close(mongo_uri, mongo_db.name)
        await mongo_db.meta.delete_many({"until": {"$exists": True}})
        await expect_migrated(mongo_uri, mongo_db)
        kills += killed
        if not killed:
            break
    print(f"{kills} kills")
    assert kills > 10


async def _migrate_until_kill(database: Database, number: int, patched: pytest.MonkeyPatch) -> bool:
    """Migrate until the command of this number; return whether there was one."""
    left = number

    def failing(name: str) -> Any:
        real = getattr(AsyncCollection, name)

        async def command(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0 or (left == 0 and name != "bulk_write"):
                raise KilledError
            if left == 0:  # the server has done half of it
                await real(self, args[0][: max(1, len(args[0]) // 2)], **kwargs)
                raise KilledError
            return await real(self, *args, **kwargs)

        return command

    for name in ("bulk_write", "aggregate", "update_one", "update_many", "delete_one"):
        patched.setattr(AsyncCollection, name, failing(name))
    with contextlib.suppress(KilledError):
        await prepare(database, Outages(5))
    return left <= 0


async def test_a_process_that_has_lost_its_lease_stops_migrating(
    mongo_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "_LEASE_S", 0)
    await load(mongo_db)
    outages = Outages(5)
    begun = Migration(mongo_db, outages)

    async def never() -> bool:
        return False

    async with begun.only_one(is_done=never) as is_mine:
        assert is_mine
        assert await Lease(mongo_db, outages, "migration").take()
        with pytest.raises(StorageError, match="Another process has taken over the migration"):
            await begun.run()


async def test_a_database_of_a_newer_version_is_refused(mongo_uri: str, mongo_db: Database) -> None:
    await mongo_db.meta.insert_one({"_id": "dataset", "version": DATASET_VERSION + 1})
    with pytest.raises(StorageError) as refused:
        await open_and_close(mongo_uri, mongo_db.name)
    assert str(refused.value) == (
        f"Database {mongo_db.name} was written by a newer xingtu-crawler (version 3 of the dataset; this one knows "
        "version 2): upgrade it, or name another database with MONGO_DATABASE."
    )
    assert await mongo_db.list_collection_names() == ["meta"]


@pytest.mark.parametrize("migrated", [False, True])
async def test_a_crawl_of_an_older_version_that_still_runs_is_waited_for(
    mongo_uri: str, mongo_db: Database, migrated: bool
) -> None:
    await load(mongo_db)
    if migrated:
        await open_and_close(mongo_uri, mongo_db.name)
    before = await mongo_db.history.find().to_list()
    run_id = "20260308T020000-000003"
    alive = {"state": "running", "updated_at": datetime.now(UTC) - timedelta(seconds=50)}
    await mongo_db.runs.update_one({"_id": run_id}, {"$set": alive})
    with pytest.raises(StorageError) as refused:
        await open_and_close(mongo_uri, mongo_db.name)
    assert str(refused.value) == (
        f"Crawl {run_id}, of an older xingtu-crawler, writes to database {mongo_db.name}: wait until it has ended, or "
        "for a minute if it was killed, then run the same command again."
    )
    assert await mongo_db.history.find().to_list() == before
    await mongo_db.runs.update_one({"_id": run_id}, {"$set": {"updated_at": datetime.now(UTC) - timedelta(seconds=61)}})
    await open_and_close(mongo_uri, mongo_db.name)
    await expect_migrated(mongo_uri, mongo_db)


async def test_a_new_database_has_the_version_from_the_start(
    mongo_uri: str, mongo_db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await open_and_close(mongo_uri, mongo_db.name)
    found = await mongo_db.meta.find_one({})
    assert found is not None
    assert (found["_id"], found["version"]) == ("dataset", DATASET_VERSION)
    assert not any(record.name == migration.__name__ for record in caplog.records)


async def test_readers_refuse_a_newer_database_too(mongo_uri: str, mongo_db: Database) -> None:
    await mongo_db.meta.insert_one({"_id": "dataset", "version": DATASET_VERSION + 1})
    options = Options.read({"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_db.name})
    with pytest.raises(StorageError, match="by a newer xingtu-crawler"):
        async with open_for_reading(options):
            pass
    with pytest.raises(StorageError, match="by a newer xingtu-crawler"), open_for_reading_blocking(options):
        pass
