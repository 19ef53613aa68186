"""The probe of a starting crawl: it passes on a real MongoDB and leaves nothing; what refuses writes is one line."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.exceptions import RefusedWriteError, StorageError
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage import probe
from xingtu_crawler.storage.collections import AUTHORS, names
from xingtu_crawler.storage.probe import prove_writes
from xingtu_crawler.storage.schema import prepare
from xingtu_crawler.storage.worklist import Worklist

Database = AsyncDatabase[dict[str, Any]]


@pytest.fixture
async def prepared(mongo_db: Database) -> Database:
    await prepare(mongo_db, Outages(5))
    return mongo_db


async def count(database: Database) -> dict[str, int]:
    """Return how many documents each collection has, without the version of the dataset."""
    counts = {name: await database[name].count_documents({"_id": {"$ne": "dataset"}}) for name in names()}
    return {name: number for name, number in counts.items() if number}


async def refusal(database: Database) -> str:
    with pytest.raises(RefusedWriteError) as raised:
        await prove_writes(database, Outages(5))
    text = str(raised.value)
    assert "\n" not in text
    return text


async def test_it_writes_to_every_collection_and_leaves_nothing(prepared: Database) -> None:
    await prepared.command("profile", 2)
    await prove_writes(prepared, Outages(5))
    await prepared.command("profile", 0)
    written = {
        each["ns"].partition(".")[2]: each
        async for each in prepared["system.profile"].find({"op": {"$in": ["insert", "update"]}})
    }
    assert set(names()) - {"meta"} <= set(written)
    assert await count(prepared) == {}


@pytest.mark.parametrize("collection", [name for name in names() if name != "meta"])
async def test_a_validator_that_refuses_is_one_line_and_nothing_is_left(prepared: Database, collection: str) -> None:
    if collection not in await prepared.list_collection_names():
        await prepared.create_collection(collection)
    await prepared.command("collMod", collection, validator={"$jsonSchema": {"required": ["a field of ours"]}})
    assert (await refusal(prepared)).startswith(
        f"MongoDB refuses a write that every crawl makes, to {collection} (Document failed validation): correct that"
    )
    assert await count(prepared) == {}


async def test_validators_that_real_documents_pass_are_no_problem(prepared: Database) -> None:
    schema = {
        "required": ["star_id", "data", "crawl"],
        "properties": {
            "star_id": {"bsonType": "string", "pattern": "^[0-9]+$"},
            "data": {"bsonType": "object"},
            "crawl": {"bsonType": "object", "required": ["run_id", "fetched_at", "content_hash"]},
        },
    }
    for name in (AUTHORS, *(endpoint.collection for endpoint in DETAILS.values())):
        await prepared.command("collMod", name, validator={"$jsonSchema": schema})
    await prove_writes(prepared, Outages(5))
    assert await count(prepared) == {}


async def test_what_a_killed_probe_left_goes_with_the_next_one(prepared: Database) -> None:
    left = f"{probe.PREFIX}0123"
    await prepared.authors.insert_one({"_id": left})
    await prepared.authors.insert_one({"_id": "7", "star_id": "7"})
    await prove_writes(prepared, Outages(5))
    assert await count(prepared) == {"authors": 1}


async def test_probes_at_the_same_time_do_not_disturb_each_other(prepared: Database) -> None:
    await asyncio.gather(*(prove_writes(prepared, Outages(5)) for _ in range(8)))
    assert await count(prepared) == {}


async def test_another_crawl_does_not_take_a_probe_for_work(prepared: Database) -> None:
    for name in (AUTHORS, "failures"):
        await prepared[name].insert_one({"_id": f"{probe.PREFIX}1", "endpoint": "base_info", "platform": "SHORT_VIDEO"})
    work = Worklist(prepared, Outages(5))
    assert [batch async for batch in work.missing(["SHORT_VIDEO"], ["base_info"])] == []
    assert [batch async for batch in work.failed(["SHORT_VIDEO"], ["base_info"], terminal=True)] == []


async def test_a_mongodb_that_is_away_is_no_refusal() -> None:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=100)
    with pytest.raises(StorageError) as raised:
        await prove_writes(client["xingtu"], Outages(0))
    assert not isinstance(raised.value, RefusedWriteError)
    await client.close()
