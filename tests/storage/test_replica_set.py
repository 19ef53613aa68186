"""A replica set of one member: the write concern, and writing on while the primary steps down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, UpdateOne, monitoring

from tests.mongods import replica_set
from xingtu_crawler.mongo.client import connect
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.writer import BulkWriter, Write


class Concerns(monitoring.CommandListener):
    """Records the write concern of every command that writes."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in {"insert", "update", "delete"} and event.database_name == "concerned":
            self.seen.append((event.command_name, event.command.get("writeConcern")))

    def succeeded(self, event: object) -> None: ...

    def failed(self, event: object) -> None: ...


@pytest.fixture(scope="module")
def uri(mongo_root: Path) -> Iterator[str]:
    """The URI of one replica set for all tests of this module."""
    with replica_set(mongo_root / "rs") as uri:
        yield uri


def put(key: int) -> Write:
    return Write("things", UpdateOne({"_id": key}, {"$set": {"value": key}}, upsert=True), new={"_id": key})


@pytest.mark.parametrize(("options", "concern"), [("", {"w": "majority", "j": True}), ("&w=1&journal=false", {"w": 1})])
async def test_writes_use_w_majority_and_the_journal_unless_the_uri_says_otherwise(
    uri: str, options: str, concern: dict[str, Any]
) -> None:
    concerns = Concerns()
    monitoring.register(concerns)
    client = await connect(uri + options, "concerned")
    writer = BulkWriter(client.concerned, Outages(5))
    for first in (0, 100):  # upserts first, then inserts, because most of them were new
        assert await writer.write([put(first + number) for number in range(100)]) == []
    await client.close()
    commands = [(name, sent) for name, sent in concerns.seen if sent is not None]
    assert {name for name, _ in commands} >= {"update", "insert"} if not options else commands
    assert all(concern.items() <= sent.items() for _, sent in commands)
    assert len(commands) == len(concerns.seen) - 1  # the check of the rights to write changes nothing


async def test_writing_continues_after_the_primary_steps_down(uri: str) -> None:
    client = await connect(uri, "steps")
    outages = Outages(60)
    writer = BulkWriter(client.steps, outages)

    async def work(worker: int) -> None:
        for number in range(worker, 2000, 20):
            assert await writer.write([put(number)]) == []

    def step_down() -> None:
        with MongoClient[dict[str, Any]](uri) as admin:
            admin.admin.command("replSetStepDown", 2, force=True)

    async def stepping_down() -> None:
        while await client.steps.things.estimated_document_count() < 200:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(step_down)

    await asyncio.gather(stepping_down(), *(work(worker) for worker in range(20)))
    assert await client.steps.things.count_documents({}) == 2000
    assert not outages.is_waiting
    await client.close()
