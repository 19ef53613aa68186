"""What the writes do to documents that are there already: replaced by newer answers only, and never twice."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.envelope import Envelope
from xingtu_crawler.items import SCHEMA_VERSION, Parsed
from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage import documents
from xingtu_crawler.storage.writer import BulkWriter, Write

Database = AsyncDatabase[dict[str, Any]]

STAR_ID = "7000000000000000001"
OTHER = "7000000000000000002"
ENVELOPE = Envelope(0, "success", None, "2026-03-08T09:30:00Z", "r-1", 0)


def at(minute: float) -> datetime:
    return datetime(2026, 3, 8, 12, tzinfo=UTC) + timedelta(minutes=minute)


def detail(
    data: Mapping[str, Any],
    minute: float,
    *,
    star_id: str = STAR_ID,
    unparsed: dict[str, dict[str, Any]] | None = None,
    unknown: list[str] | None = None,
) -> Write:
    parsed = Parsed(dict(data), unparsed or {}, unknown or [])
    crawl = documents.provenance("base_info", ENVELOPE, parsed, run_id=f"run-{minute}", fetched_at=at(minute))
    return documents.detail("author_base_info", star_id, "SHORT_VIDEO", parsed, crawl)


def author(data: Mapping[str, Any], minute: float) -> Write:
    parsed = Parsed(dict(data), {}, [])
    crawl = documents.provenance("search", ENVELOPE, parsed, run_id=f"run-{minute}", fetched_at=at(minute))
    return documents.author(STAR_ID, parsed, crawl)


def failed(minute: float, **changes: Any) -> FailedRequest:
    known: dict[str, Any] = {
        "endpoint": "base_info",
        "code": 301,
        "reason": "collection failed, please retry",
        "message": "失败",
        "request_id": "r-9",
        "attempts": 8,
        "terminal": False,
        "failed_at": at(minute),
        "star_id": STAR_ID,
        "platform": "SHORT_VIDEO",
    }
    return FailedRequest(**{**known, **changes})


@pytest.fixture
def writer(mongo_db: Database) -> BulkWriter:
    return BulkWriter(mongo_db, Outages(5))


async def only(database: Database, collection: str = "author_base_info") -> dict[str, Any]:
    (document,) = await database[collection].find().to_list()
    return document


async def write(writer: BulkWriter, *writes: Write) -> None:
    for each in writes:
        assert await writer.write([each]) == []


async def test_a_new_document_has_its_identity_its_data_and_its_provenance(
    writer: BulkWriter, mongo_db: Database
) -> None:
    await write(writer, detail({"nick_name": "a"}, 0, unparsed={"age": {"raw": "x", "error": "no"}}, unknown=["new"]))
    document = await only(mongo_db)
    assert document["_id"] == f"{STAR_ID}:SHORT_VIDEO" == documents.detail_id(STAR_ID, "SHORT_VIDEO")
    assert (document["star_id"], document["platform"]) == (STAR_ID, "SHORT_VIDEO")
    assert document["data"] == {"nick_name": "a"}
    crawl = document["crawl"]
    assert len(crawl.pop("content_hash")) == 32
    # What history keeps for itself is tested with it.
    assert {name: crawl[name] for name in crawl if name not in {"spell", "observations"}} == {
        "run_id": "run-0",
        "endpoint": "base_info",
        "code": 0,
        "request_id": "r-1",
        "record_time": datetime(2026, 3, 8, 9, 30, tzinfo=UTC),
        "fetched_at": at(0),
        "first_seen_at": at(0),
        "changed_at": at(0),
        "filled": 0,
        "schema_version": SCHEMA_VERSION,
        "unparsed": {"age": {"raw": "x", "error": "no"}},
        "unknown_fields": ["new"],
    }


@pytest.mark.parametrize(
    ("record_time", "stored"),
    [
        ("2026-03-08T09:30:00Z", datetime(2026, 3, 8, 9, 30, tzinfo=UTC)),
        ("2026-03-08T17:30:00.123456+08:00", datetime(2026, 3, 8, 9, 30, 0, 123000, tzinfo=UTC)),
        (None, None),
        ("", None),
        ("2026-03-08 17:30:00", "raw"),  # of which zone?
        ("1700000000", "raw"),
        ("0001-01-01T00:00:00+08:00", "raw"),
        ("yesterday", "raw"),
    ],
)
async def test_when_the_provider_recorded_an_answer_is_a_moment_or_kept_as_it_came(
    writer: BulkWriter, mongo_db: Database, record_time: str | None, stored: datetime | str | None
) -> None:
    envelope = replace(ENVELOPE, record_time=record_time)
    parsed = Parsed({"a": 1}, {}, [])
    crawl = documents.provenance("base_info", envelope, parsed, run_id="r", fetched_at=at(0))
    await write(writer, documents.detail("author_base_info", "1", "SHORT_VIDEO", parsed, crawl))
    crawl = (await only(mongo_db))["crawl"]
    misfit = crawl.get("unparsed", {}).get("crawl.record_time", {})
    if stored == "raw":
        assert (crawl["record_time"], misfit["raw"]) == (None, record_time)
    else:
        assert (crawl["record_time"], misfit) == (stored, {})


async def test_an_author_is_known_by_the_star_id_alone(writer: BulkWriter, mongo_db: Database) -> None:
    await write(writer, author({"attribute_datas": {}}, 0))
    document = await only(mongo_db, "authors")
    assert (document["_id"], document["star_id"]) == (STAR_ID, STAR_ID)
    assert document["crawl"]["endpoint"] == "search"
    assert "unparsed" not in document["crawl"]
    assert "platform" not in document


async def test_a_newer_answer_replaces_everything_but_when_it_was_first_seen(
    writer: BulkWriter, mongo_db: Database
) -> None:
    before = {"nick_name": "a", "gone": 1, "nested": {"gone": 1, "kept": 1}}
    await write(writer, detail(before, 0, unparsed={"gone": {"raw": 1, "error": "x"}}, unknown=["gone"]))
    await write(writer, detail({"nick_name": "b", "nested": {"kept": 2}}, 5))
    document = await only(mongo_db)
    assert document["data"] == {"nick_name": "b", "nested": {"kept": 2}}
    crawl = document["crawl"]
    assert "unparsed" not in crawl
    assert "unknown_fields" not in crawl
    assert crawl["run_id"] == "run-5"
    assert (crawl["first_seen_at"], crawl["changed_at"], crawl["fetched_at"]) == (at(0), at(5), at(5))


async def test_changed_at_moves_only_with_the_content(writer: BulkWriter, mongo_db: Database) -> None:
    moments = []
    for minute, name in enumerate(["a", "a", "b", "b", "a"]):
        # The address of the picture is signed anew at every call: no change.
        await write(writer, detail({"nick_name": name, "avatar_uri": f"https://example.com/{minute}"}, minute))
        crawl = (await only(mongo_db))["crawl"]
        moments.append((crawl["changed_at"], crawl["fetched_at"]))
    assert moments == [(at(0), at(0)), (at(0), at(1)), (at(2), at(2)), (at(2), at(3)), (at(4), at(4))]
    assert (await only(mongo_db))["data"]["avatar_uri"] == "https://example.com/4"


async def test_the_same_write_twice_is_once(writer: BulkWriter, mongo_db: Database) -> None:
    await write(writer, detail({"a": 1}, 0), detail({"a": 2}, 1))
    before = await only(mongo_db)
    await write(writer, detail({"a": 2}, 1), detail({"a": 2}, 1))
    assert await only(mongo_db) == before


async def test_a_newer_document_is_not_replaced_by_an_older_one(writer: BulkWriter, mongo_db: Database) -> None:
    await write(writer, detail({"a": "newer"}, 5), detail({"a": "older"}, 3))
    document = await only(mongo_db)
    assert document["data"] == {"a": "newer"}
    assert (document["crawl"]["fetched_at"], document["crawl"]["changed_at"]) == (at(5), at(5))


async def test_a_millisecond_is_enough_to_be_newer(writer: BulkWriter, mongo_db: Database) -> None:
    await write(writer, detail({"a": "newer"}, 0.001), detail({"a": "older"}, 0.001 - 0.001 / 60))
    assert (await only(mongo_db))["data"] == {"a": "newer"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_the_order_of_arrival_does_not_matter(
    writer: BulkWriter, mongo_db: Database, order: tuple[int, ...]
) -> None:
    writes = [detail({"a": minute}, minute) for minute in range(4)]
    # All at once: the order within one flush is MongoDB's to choose.
    assert await writer.write([writes[number] for number in order]) == []
    document = await only(mongo_db)
    assert document["data"] == {"a": 3}
    assert document["crawl"]["fetched_at"] == at(3)


async def test_documents_of_other_authors_and_platforms_are_others(writer: BulkWriter, mongo_db: Database) -> None:
    parsed = Parsed({"a": 1}, {}, [])
    crawl = documents.provenance("base_info", ENVELOPE, parsed, run_id="r", fetched_at=at(0))
    pairs = [("1", "SHORT_VIDEO"), ("1", "LIVE_STREAMING"), ("2", "SHORT_VIDEO")]
    assert await writer.write([documents.detail("author_base_info", *pair, parsed, crawl) for pair in pairs]) == []
    found = await mongo_db.author_base_info.find().to_list()
    assert {(each["star_id"], each["platform"]) for each in found} == set(pairs)


async def test_keys_and_values_with_dots_and_dollars_survive(writer: BulkWriter, mongo_db: Database) -> None:
    data = {
        "a.b": 1,
        "$set": {"$inc": "$crawl.run_id"},
        "text": "$data",
        "list": [{"$literal": "$$ROOT", ".": None}],
        "": {"": ""},
    }
    await write(writer, detail({"a": 0}, 0), detail(data, 1))
    assert (await only(mongo_db))["data"] == data


async def test_an_identity_is_never_an_expression(writer: BulkWriter, mongo_db: Database) -> None:
    await write(writer, detail({"a": 1}, 0, star_id="$crawl.run_id"))
    document = await only(mongo_db)
    assert document["star_id"] == "$crawl.run_id"


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
KEYS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4) | st.sampled_from(
    ["$set", "$$ROOT", "a.b", ".", "$", "$literal", ""]
)
PAYLOADS = st.dictionaries(
    KEYS, st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
)


@given(before=PAYLOADS, after=PAYLOADS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_payload_replaces_any_other(
    writer: BulkWriter, mongo_db: Database, before: dict[str, Any], after: dict[str, Any]
) -> None:
    await mongo_db.author_base_info.delete_many({})
    await write(writer, detail(before, 0), detail(after, 1))
    assert (await only(mongo_db))["data"] == after


async def test_a_place_in_the_sampling_frame_is_kept_once(writer: BulkWriter, mongo_db: Database) -> None:
    hit = documents.search_hit("q-run", 2, 7, STAR_ID, seen_at=at(0))
    await write(writer, hit, hit)
    assert await only(mongo_db, "search_hits") == {
        "_id": "q-run:2:7",
        "sweep": "q-run",
        "page": 2,
        "rank": 7,
        "star_id": STAR_ID,
        "seen_at": at(0),
    }


async def test_an_older_page_replaces_no_newer_hit(writer: BulkWriter, mongo_db: Database) -> None:
    await write(
        writer,
        documents.search_hit("q-run", 2, 7, STAR_ID, seen_at=at(5)),
        documents.search_hit("q-run", 2, 7, OTHER, seen_at=at(4)),
    )
    hit = await only(mongo_db, "search_hits")
    assert (hit["star_id"], hit["seen_at"]) == (STAR_ID, at(5))
    await write(writer, documents.search_hit("q-run", 2, 7, OTHER, seen_at=at(6)))
    assert (await only(mongo_db, "search_hits"))["star_id"] == OTHER


async def test_only_the_older_hits_of_a_page_are_removed(writer: BulkWriter, mongo_db: Database) -> None:
    places = [(2, 1, 4), (2, 2, 5), (2, 3, 6), (3, 1, 4)]
    hits = [documents.search_hit("q-run", page, rank, STAR_ID, seen_at=at(minute)) for page, rank, minute in places]
    await write(writer, *hits)
    await write(writer, documents.forget_hits("q-run", 2, before=at(5)))
    assert sorted(await mongo_db.search_hits.distinct("_id")) == ["q-run:2:2", "q-run:2:3", "q-run:3:1"]


@pytest.mark.parametrize(("answered_at", "left"), [(4, 1), (5, 0), (6, 0)])
async def test_an_answer_removes_the_failure_before_it_and_no_later_one(
    writer: BulkWriter, mongo_db: Database, answered_at: int, left: int
) -> None:
    await write(writer, documents.failure(failed(5), run_id="run"))
    key = documents.failure_id("base_info", STAR_ID, "SHORT_VIDEO")
    await write(writer, documents.answered(key, at(answered_at)))
    assert await mongo_db.failures.count_documents({}) == left


async def test_a_failure_says_why_since_when_and_whether_for_good(writer: BulkWriter, mongo_db: Database) -> None:
    await write(writer, documents.failure(failed(0), run_id="run-0"))
    await write(
        writer,
        documents.failure(failed(5, code=400, reason="invalid parameters", terminal=True, attempts=1), run_id="run-5"),
    )
    assert await only(mongo_db, "failures") == {
        "_id": documents.failure_id("base_info", STAR_ID, "SHORT_VIDEO"),
        "endpoint": "base_info",
        "star_id": STAR_ID,
        "platform": "SHORT_VIDEO",
        "code": 400,
        "reason": "invalid parameters",
        "message": "失败",
        "request_id": "r-9",
        "attempts": 1,
        "terminal": True,
        "failed_at": at(5),
        "first_failed_at": at(0),
        "run_id": "run-5",
    }


async def test_a_page_that_failed_is_known_by_its_sweep(writer: BulkWriter, mongo_db: Database) -> None:
    page = failed(0, endpoint="search", star_id=None, platform=None, sweep="q-run", page=3)
    await write(writer, documents.failure(page, run_id="run-0"))
    document = await only(mongo_db, "failures")
    assert (document["_id"], document["sweep"], document["page"]) == ("search:q-run:3", "q-run", 3)
    assert "star_id" not in document


@pytest.mark.parametrize(
    "write",
    [
        detail({"$a.b": 1, "name": "名"}, 1, unparsed={"x": {"raw": "?", "error": "no"}}, unknown=["y"]),
        author({"a": None}, 1),
    ],
    ids=["detail", "author"],
)
async def test_a_new_document_equals_the_upserted_one(write: Write, mongo_db: Database) -> None:
    await mongo_db[write.collection].bulk_write([write.operation() if callable(write.operation) else write.operation])
    upserted = await only(mongo_db, write.collection)
    assert write.new is not None
    await mongo_db.inserted.insert_one(write.new)
    assert await only(mongo_db, "inserted") == upserted


async def test_documents_are_inserted_where_most_are_new_and_replaced_where_they_are_not(
    writer: BulkWriter, mongo_db: Database
) -> None:
    for minute in (1, 2):
        for first in (0, 40):
            some = [detail({"n": minute}, minute, star_id=f"{n}") for n in range(first, first + 40)]
            assert await writer.write(some) == []
    found = await mongo_db.author_base_info.find().to_list()
    assert len(found) == 80
    assert {(each["data"]["n"], each["crawl"]["spell"], each["crawl"]["observations"]) for each in found} == {(2, 2, 1)}
    assert all([spell["data"] for spell in each["history_pending"]] == [{"n": 1}] for each in found)


async def test_an_inserted_document_is_not_replaced_by_an_older_one(writer: BulkWriter, mongo_db: Database) -> None:
    assert await writer.write([detail({"n": n}, 1, star_id=f"{n}") for n in range(10)]) == []
    # Of two answers about one that is new the newer one stands, whichever is inserted.
    assert await writer.write([detail({"n": "new"}, 3, star_id="x"), detail({"n": "old"}, 2, star_id="x")]) == []
    document = await mongo_db.author_base_info.find_one({"star_id": "x"})
    assert document is not None
    assert document["data"] == {"n": "new"}
    assert [spell["data"] for spell in document["history_pending"]] == [{"n": "old"}]
