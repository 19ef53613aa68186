"""The store: opened in one piece or not at all, and nothing left running."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import InvalidOperation

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo import keeper
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.options import Options
from xingtu_crawler.storage.claims import DetailKey
from xingtu_crawler.storage.collections import create_indexes, entities, indexes
from xingtu_crawler.storage.schema import prepare
from xingtu_crawler.storage.store import Store
from xingtu_crawler.storage.writer import Write

Database = AsyncDatabase[dict[str, Any]]


async def open_store(tmp_path: Path, **changes: Any) -> Store:
    settings = {"XINGTU_DATA_DIR": tmp_path / "data", "XINGTU_EMBEDDED_MIN_FREE": 0, "XINGTU_STORAGE_PATIENCE": 5}
    return await Store.open(Options.read({**settings, **changes}))


def mongod_runs(tmp_path: Path) -> bool:
    pid_file = Options.read({"XINGTU_DATA_DIR": tmp_path / "data"}).embedded_folder / keeper.MONGOD_PID
    return pid_file.exists() and Path(f"/proc/{pid_file.read_text(encoding='ascii').strip()}").exists()


async def test_without_a_uri_the_embedded_mongodb_is_started_and_stopped(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    try:
        assert store.embedded is not None
        assert mongod_runs(tmp_path)
        assert await store.writer.write([Write("things", UpdateOne({"_id": 1}, {"$set": {"a": 1}}, upsert=True))]) == []
    finally:
        await store.close()
    assert not mongod_runs(tmp_path)
    again = await open_store(tmp_path)
    try:
        assert await again.database.things.find().to_list() == [{"_id": 1, "a": 1}]
    finally:
        await again.close()


async def test_with_a_uri_nothing_is_started(tmp_path: Path, mongo_uri: str, mongo_db: Database) -> None:
    store = await open_store(tmp_path, MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_db.name)
    assert store.embedded is None
    assert not (tmp_path / "data").exists()
    await store.close()
    with pytest.raises(InvalidOperation):
        await store.database.things.find_one()


async def test_every_part_works_on_the_same_database(tmp_path: Path, mongo_uri: str, mongo_db: Database) -> None:
    store = await open_store(tmp_path, MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_db.name)
    now = datetime(2026, 3, 8, 12, tzinfo=UTC)
    try:
        await store.runs.start("r", {}, started_at=now)
        await store.sweeps.start("q-r", query_key="q", filters={}, run_id="r", started_at=now)
        assert await store.sweeps.find_open("q", newer_than=now, open_since=now) is not None
        detail = DetailKey("base_info", "1", "SHORT_VIDEO")
        assert await store.claims.claim([detail], newer_than=now, settled_since=now) == [detail]
        await store.catch_up()
    finally:
        await store.close()
    assert await mongo_db.runs.count_documents({}) == await mongo_db.sweeps.count_documents({}) == 1


async def test_the_indexes_are_there_and_are_created_only_once(
    tmp_path: Path, mongo_uri: str, mongo_db: Database
) -> None:
    for _ in range(2):
        store = await open_store(tmp_path, MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_db.name)
        await store.close()
    for collection, models in indexes().items():
        found = await mongo_db[collection].index_information()
        assert set(found) == {"_id_", *(model.document["name"] for model in models)}
        assert not any(index.get("unique") for index in found.values())


async def test_creating_the_indexes_again_changes_nothing(mongo_db: Database) -> None:
    await create_indexes(mongo_db)
    before = {name: await mongo_db[name].index_information() for name in indexes()}
    await create_indexes(mongo_db)
    assert {name: await mongo_db[name].index_information() for name in indexes()} == before


QUESTIONS: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    ("author_base_info", {"star_id": "1"}, {}),
    ("author_base_info", {"crawl.fetched_at": {"$lt": datetime(2026, 1, 1, tzinfo=UTC)}}, {"crawl.fetched_at": 1}),
    ("sweeps", {"query_key": "q"}, {"started_at": -1}),
    ("search_hits", {"sweep": "q-1"}, {"page": 1, "rank": 1}),
    ("search_hits", {"star_id": "1"}, {}),
    ("failures", {"endpoint": "base_info", "code": 301}, {}),
    ("quarantine", {"reason": "too_deep"}, {}),
    ("videos", {"star_id": "1"}, {}),
    ("videos", {"history_pending.spell": {"$exists": True}, "_id": {"$nin": ["1"]}}, {}),
    ("history", {"entity": "authors", "key": "1"}, {"valid_from": -1}),
    ("history", {"star_id": "1"}, {}),
]


@pytest.mark.parametrize(("collection", "condition", "order"), QUESTIONS)
async def test_no_question_that_is_asked_reads_a_whole_collection(
    mongo_db: Database, collection: str, condition: dict[str, Any], order: dict[str, int]
) -> None:
    await create_indexes(mongo_db)
    cursor = mongo_db[collection].find(condition)
    plan = (await (cursor.sort(list(order.items())) if order else cursor).explain())["queryPlanner"]["winningPlan"]
    assert "COLLSCAN" not in str(plan)
    assert "'SORT'" not in str(plan)


async def test_an_index_that_is_in_the_way_is_told_and_nothing_stays_open(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.database.videos.drop_index("star_id_1")
    await store.database.videos.create_index("star_id", name="star_id_1", unique=True)
    await store.close()
    with pytest.raises(StorageError) as caught:
        await open_store(tmp_path)
    message = str(caught.value)
    assert message.startswith("The indexes of database xingtu cannot be created (OperationFailure: ")
    assert "star_id_1" in message
    assert message.endswith("): give the user of MONGO_URI readWrite on it, or drop the index that is in the way.")
    assert "\n" not in message
    assert not mongod_runs(tmp_path)


async def test_history_is_optional(tmp_path: Path, mongo_uri: str, mongo_db: Database) -> None:
    store = await open_store(tmp_path, MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_db.name, XINGTU_HISTORY=0)
    assert store.history is None
    await store.catch_up()
    await store.close()


@pytest.mark.parametrize(
    "condition",
    [
        {"entity": "author_base_info", "key": "7:SHORT_VIDEO"},
        {"entity": "videos", "key": "7"},
        {"entity": "authors", "star_id": "7"},
        {"star_id": "7"},
        {"entity": "videos", "key": "7", "valid_from": {"$lte": datetime(2026, 1, 1, tzinfo=UTC)}},
    ],
)
async def test_the_spells_of_one_entity_or_author_are_found_by_indexes(
    mongo_db: Database, condition: dict[str, Any]
) -> None:
    await prepare(mongo_db, Outages(5))
    for name in (*entities(), "history"):
        await mongo_db[name].insert_many({"star_id": f"{number}"} for number in range(100))
    command = {"aggregate": "spells", "pipeline": [{"$match": condition}], "cursor": {}}
    plan = str(await mongo_db.command("explain", command, verbosity="queryPlanner"))
    assert plan.count("'IXSCAN'") >= 1 + len(entities())
    assert "COLLSCAN" not in plan


async def test_a_view_of_another_version_is_replaced(mongo_db: Database) -> None:
    await mongo_db.create_collection("spells", viewOn="videos", pipeline=[])
    await prepare(mongo_db, Outages(5))
    (view,) = await (await mongo_db.list_collections(filter={"name": "spells"})).to_list()
    assert view["options"]["viewOn"] == "history"
    await prepare(mongo_db, Outages(5))


async def test_a_collection_in_the_place_of_the_view_is_named(
    tmp_path: Path, mongo_uri: str, mongo_db: Database
) -> None:
    await mongo_db.spells.insert_one({})
    with pytest.raises(StorageError, match="has a collection spells"):
        await open_store(tmp_path, MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_db.name)
