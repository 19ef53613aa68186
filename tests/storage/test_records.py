"""Records for feeds: the stored documents of an answer in plain values, and nothing of what MongoDB has refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from itemadapter import ItemAdapter
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api import envelope
from xingtu_crawler.items.answers import DetailAnswer, SearchAnswer
from xingtu_crawler.items.validation import validate_detail, validate_page
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.claims import Claims
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.records import Record, records
from xingtu_crawler.storage.sweeps import Sweeps
from xingtu_crawler.storage.writer import BulkWriter

Database = AsyncDatabase[dict[str, Any]]

AT = datetime(2026, 3, 8, 9, 30, 0, 407_000, tzinfo=UTC)
VIDEO = {"item_id": "71", "play": 5, "create_time": 1_700_000_000}


def body(data: dict[str, Any]) -> bytes:
    return json.dumps({"code": 0, "requestId": "r-1", "data": data}).encode()


@pytest.fixture
def recorder(mongo_db: Database) -> Recorder:
    outages = Outages(5)
    writer = BulkWriter(mongo_db, outages)
    sweeps = Sweeps(mongo_db, writer, outages)
    return Recorder(writer, Claims(mongo_db, outages), sweeps, None, run_id="run", count=lambda _what, _count: None)


def test_a_detail_answer_gives_its_videos_and_its_document() -> None:
    raw = body({"newest_videos": [VIDEO], "zzz": 2**70})
    valid = validate_detail(DetailAnswer("rec_videos", "66", "SHORT_VIDEO", envelope.parse(raw), raw, AT))
    assert list(records(valid, run_id="run")) == []
    valid.answer.is_stored = True

    video, document = records(valid, run_id="run")

    assert (video.collection, video._id) == ("videos", "71")
    assert video.data["created_at"] == "2023-11-14T22:13:20.000Z"
    assert video.data["title"] is None
    assert video.crawl == {
        "run_id": "run",
        "fetched_at": "2026-03-08T09:30:00.407Z",
        "schema_version": 2,
        "sources": ["rec_videos.newest_videos"],
    }
    adapter = ItemAdapter(document)
    assert list(adapter) == ["collection", "_id", "data", "crawl"]
    assert (adapter["collection"], adapter["_id"]) == ("author_rec_videos", "66:SHORT_VIDEO")
    assert adapter["data"]["newest_videos"][0]["create_time"] == "2023-11-14T22:13:20.000Z"
    assert adapter["crawl"]["unparsed"]["zzz"]["raw"] == str(2**70)
    assert adapter["crawl"]["unknown_fields"] == ["zzz"]
    assert str(document) == "author_rec_videos 66:SHORT_VIDEO"
    json.dumps(adapter.asdict())


async def test_an_author_whom_mongodb_refuses_is_no_record(recorder: Recorder, mongo_db: Database) -> None:
    await mongo_db.create_collection("authors", validator={"star_id": {"$ne": "67"}})
    authors = [{"star_id": star_id, "items": [{"item_id": f"7{star_id}"}]} for star_id in ("66", "67", "66")]
    raw = body({"authors": authors})
    page = validate_page(SearchAnswer("s", 1, envelope.parse(raw), raw, AT))

    assert not await recorder.authors(page)

    found = [(record.collection, record._id) for record in records(page, run_id="run")]
    assert found == [("search_hits", "s:1:1"), ("search_hits", "s:1:3"), ("videos", "766"), ("authors", "66")]
    assert list(page.misfits) == [2]
    assert await mongo_db.quarantine.count_documents({}) == 1


async def test_a_refused_author_is_quarantined_once(recorder: Recorder, mongo_db: Database) -> None:
    await mongo_db.create_collection("authors", validator={"star_id": {"$ne": "67"}})
    raw = body({"authors": [{"star_id": "66"}, {"star_id": "67"}, {"star_id": "not one"}]})
    sweeps = Sweeps(mongo_db, BulkWriter(mongo_db, Outages(5)), Outages(5))
    await sweeps.start("s", query_key="k", filters={}, run_id="run", started_at=AT)

    counts: list[str] = []
    recorder._count = lambda what, _count: counts.append(what)
    await recorder.page(validate_page(SearchAnswer("s", 1, envelope.parse(raw), raw, AT)))

    assert counts.count("quarantined") == await mongo_db.quarantine.count_documents({}) == 2


def test_a_record_is_plain() -> None:
    record = Record("authors", "66", {}, {})
    assert ItemAdapter(record).asdict() == {"collection": "authors", "_id": "66", "data": {}, "crawl": {}}
