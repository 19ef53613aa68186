"""Quarantine: every body is kept once and whole, whatever its size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.dataset.find import Query, find
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage import quarantine
from xingtu_crawler.storage.claims import Claims
from xingtu_crawler.storage.collections import names
from xingtu_crawler.storage.quarantine import remove, whole_body, writes
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.replay import replay_quarantine
from xingtu_crawler.storage.spill import build_answer
from xingtu_crawler.storage.sweeps import Sweeps
from xingtu_crawler.storage.writer import BulkWriter

Database = AsyncDatabase[dict[str, Any]]

AT = datetime(2026, 3, 8, 9, 30, tzinfo=UTC)
ASKED = {"endpoint": "base_info", "star_id": "1", "platform": "SHORT_VIDEO"}


@pytest.fixture
def writer(mongo_db: Database) -> BulkWriter:
    return BulkWriter(mongo_db, Outages(5))


@pytest.fixture
def recorder(mongo_db: Database, writer: BulkWriter) -> Recorder:
    claims, sweeps = Claims(mongo_db, Outages(5)), Sweeps(mongo_db, writer, Outages(5))
    return Recorder(writer, claims, sweeps, None, run_id="run", count=lambda _what, _count: None)


async def keep(
    writer: BulkWriter, body: bytes, request: Mapping[str, Any] = ASKED, *, minute: int = 0, **changes: Any
) -> None:
    at = AT + timedelta(minutes=minute)
    facts = {"reason": "why", "run_id": "run", "request_id": "r-1", **changes}
    pieces, document = writes(body=body, request=request, at=at, **facts)
    await writer.insist(pieces)
    await writer.insist([document])


async def only(database: Database) -> dict[str, Any]:
    (document,) = await database.quarantine.find().to_list()
    return document


async def test_quarantine_keeps_the_raw_body_and_the_request(writer: BulkWriter, mongo_db: Database) -> None:
    await keep(writer, b"\xff\x00{")
    document = await only(mongo_db)
    del document["_id"]
    assert document == {
        "reason": "why",
        "star_id": "1",
        "request": ASKED,
        "body": b"\xff\x00{",
        "request_id": "r-1",
        "run_id": "run",
        "quarantined_at": AT,
    }


async def test_the_same_body_to_the_same_request_is_quarantined_once(writer: BulkWriter, mongo_db: Database) -> None:
    same, other = dict(reversed(ASKED.items())), {**ASKED, "star_id": "2"}
    await keep(writer, b"x")
    await keep(writer, b"x", same, minute=5)
    await keep(writer, b"y")
    await keep(writer, b"x", other)
    found = await mongo_db.quarantine.find().to_list()
    assert sorted((each["star_id"], each["body"]) for each in found) == [("1", b"x"), ("1", b"y"), ("2", b"x")]
    assert {each["quarantined_at"] for each in found} == {AT}


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 95])
async def test_a_body_in_pieces_is_read_whole_and_removed_whole(
    writer: BulkWriter, mongo_db: Database, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(quarantine, "PIECE_BYTES", 10)
    body = bytes(range(size))
    for _ in range(2):  # a write that is sent again changes nothing
        await keep(writer, body)
    await keep(writer, b"another body, in two")
    kept = await mongo_db.quarantine.find_one({"body": body[:10]})
    assert kept is not None
    assert await whole_body(mongo_db, kept) == body
    assert kept.get("pieces", 1) == max(1, -(-size // 10))
    await remove(mongo_db, [kept["_id"]])
    left = await only(mongo_db)
    assert await whole_body(mongo_db, left) == b"another body, in two"
    assert await mongo_db.quarantine_pieces.count_documents({}) == 1


async def test_a_body_larger_than_two_documents_is_kept_found_and_replayed(
    recorder: Recorder, mongo_db: Database
) -> None:
    data = {"id": "1", "nick_name": "x", "note": "y" * 40_000_000}
    body = json.dumps({"code": 0, "data": {**data, "note": None}, "padding": data["note"]}).encode()
    answer = build_answer(ASKED, body, fetched_at=AT)
    await recorder.set_aside(answer, "too large to parse")
    assert (await only(mongo_db))["pieces"] == 6
    query = Query.of("quarantine", condition="{}", order=None, limit="1", fields="body")
    (found,) = [document async for document in find(mongo_db, query, known=names())]
    assert found["body"] == body
    result = await replay_quarantine(mongo_db, recorder)
    assert result.recovered == {"base_info": 1}
    assert await mongo_db.quarantine.count_documents({}) == await mongo_db.quarantine_pieces.count_documents({}) == 0


async def test_texts_of_the_api_are_bounded(writer: BulkWriter, mongo_db: Database) -> None:
    await keep(writer, b"x", reason="r" * 20_000_000, request_id="i" * 20_000_000)
    document = await only(mongo_db)
    assert len(document["reason"]) == len(document["request_id"]) == 300
