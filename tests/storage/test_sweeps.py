"""Sweeps: where the next crawl of a query continues, however the last one ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.items.answers import Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage import documents
from xingtu_crawler.storage.bounds import bounded
from xingtu_crawler.storage.sweeps import RESULT_CAP, EarlierSweep, OpenSweep, Sweeps
from xingtu_crawler.storage.writer import BulkWriter

Database = AsyncDatabase[dict[str, Any]]

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def page(number: int, *, authors: int = 20, total: int | None = 60, **meta: Any) -> SearchPage:
    return SearchPage(number, 20, True, total, [{}] * authors, meta)


@pytest.fixture
def writer(mongo_db: Database) -> BulkWriter:
    return BulkWriter(mongo_db, Outages(5))


@pytest.fixture
def sweeps(mongo_db: Database, writer: BulkWriter) -> Sweeps:
    return Sweeps(mongo_db, writer, Outages(5))


async def start(sweeps: Sweeps, sweep: str = "q-1", query_key: str = "q", started_at: datetime = NOW) -> None:
    filters = {"keyword": "美食", "page.size": "$20"}
    await sweeps.start(sweep, query_key=query_key, filters=filters, run_id="run-1", started_at=started_at)


async def read(sweeps: Sweeps, number: int, sweep: str = "q-1", *, stop: Stop | None = None, **changes: Any) -> None:
    await sweeps.page_read(sweep, number, page(number, **changes), request_id=f"r-{number}", fetched_at=NOW, stop=stop)


async def open_sweep(
    sweeps: Sweeps, query_key: str = "q", limits: dict[str, int | None] | None = None
) -> OpenSweep | None:
    day = NOW - timedelta(days=1)
    return await sweeps.find_open(query_key, newer_than=day, open_since=day, limits=limits)


async def goes_on(sweeps: Sweeps) -> tuple[str, int | None, tuple[int, ...], int | None]:
    """Return what a crawl of the query `q` continues: sweep, next page, holes, total count."""
    found = await open_sweep(sweeps)
    assert found is not None
    return found.sweep, found.next_page, found.holes, found.total_count


async def document(database: Database, sweep: str = "q-1") -> dict[str, Any]:
    found = await database.sweeps.find_one({"_id": sweep})
    assert found is not None
    return found


async def test_a_new_sweep_is_open_and_empty(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    assert await document(mongo_db) == {
        "_id": "q-1",
        "query_key": "q",
        "filters": {"keyword": "美食", "page.size": "$20"},
        "run_id": "run-1",
        "state": "open",
        "started_at": NOW,
        "finished_at": None,
        "stop_reason": None,
        "limits": None,
        "next_page": 1,
        "pages_read": 0,
        "pages": {},
        "holes": [],
        "authors": 0,
        "total_count": None,
        "capped": None,
        "fewer": None,
    }
    assert await goes_on(sweeps) == ("q-1", 1, (), None)


async def test_starting_a_sweep_twice_keeps_its_pages(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    await read(sweeps, 1)
    before = await document(mongo_db)
    await start(sweeps, started_at=NOW + timedelta(hours=1))
    assert await document(mongo_db) == before


async def test_a_page_that_was_read_advances_the_sweep(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    first = {"page": 1, "has_more": True}
    await read(sweeps, 1, pagination=first)
    await read(sweeps, 2, authors=7, total=61, pagination={"page": 2})
    found = await document(mongo_db)
    assert (found["next_page"], found["pages_read"], found["total_count"], found["capped"]) == (3, 2, 61, False)
    assert found["pages"] == {
        "1": {
            "authors": 20,
            "request_id": "r-1",
            "fetched_at": NOW,
            "said": {"pagination": {"page": 1, "has_more": True}},
        },
        "2": {"authors": 7, "request_id": "r-2", "fetched_at": NOW, "said": {"pagination": {"page": 2}}},
    }
    assert await goes_on(sweeps) == ("q-1", 3, (), 61)


async def test_a_page_recorded_twice_counts_once(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    await read(sweeps, 1)
    before = await document(mongo_db)
    await read(sweeps, 1, authors=3, total=99)
    assert await document(mongo_db) == before


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
async def test_pages_may_be_recorded_in_any_order(sweeps: Sweeps, mongo_db: Database, order: tuple[int, ...]) -> None:
    await start(sweeps)
    for number in order:
        await read(sweeps, number)
    found = await document(mongo_db)
    assert (found["next_page"], found["pages_read"], sorted(found["pages"])) == (4, 3, ["1", "2", "3"])


@pytest.mark.parametrize(("total", "capped"), [(RESULT_CAP - 1, False), (RESULT_CAP, True), (RESULT_CAP + 1, True)])
async def test_a_total_count_of_10000_or_more_is_capped(
    sweeps: Sweeps, mongo_db: Database, total: int, capped: bool
) -> None:
    await start(sweeps)
    await read(sweeps, 1, total=total)
    found = await document(mongo_db)
    assert (found["total_count"], found["capped"]) == (total, capped)


async def test_a_page_without_a_total_count_keeps_the_known_one(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    await read(sweeps, 1, total=60)
    await read(sweeps, 2, total=None)
    assert (await document(mongo_db))["total_count"] == 60


async def test_a_hole_stays_until_its_page_is_read(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    await read(sweeps, 1)
    await sweeps.page_missed("q-1", 2, failed_at=LATER)
    await sweeps.page_missed("q-1", 2, failed_at=LATER)
    await read(sweeps, 3)
    await sweeps.page_missed("q-1", 4, failed_at=LATER)
    assert await goes_on(sweeps) == ("q-1", 5, (2, 4), 60)
    await read(sweeps, 2)
    assert await goes_on(sweeps) == ("q-1", 5, (4,), 60)
    assert (await document(mongo_db))["pages_read"] == 3


async def test_after_the_last_page_there_is_no_next_page(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    await read(sweeps, 1, stop=Stop("no_more_pages"))
    assert await goes_on(sweeps) == ("q-1", None, (), 60)
    assert (await document(mongo_db))["stop_reason"] == "no_more_pages"


async def test_filling_a_hole_after_the_last_page_leaves_no_next_page(sweeps: Sweeps) -> None:
    await start(sweeps)
    await read(sweeps, 1)
    await sweeps.page_missed("q-1", 2, failed_at=LATER)
    await sweeps.page_missed("q-1", 3, failed_at=LATER)
    await read(sweeps, 4, stop=Stop("no_more_pages"))
    await read(sweeps, 2)
    await sweeps.page_missed("q-1", 3, failed_at=LATER)
    assert await goes_on(sweeps) == ("q-1", None, (3,), 60)


async def test_a_finished_sweep_is_not_continued(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    await sweeps.finish("q-1", stop=Stop("empty_page"), authors=12, fewer=3, finished_at=NOW)
    assert await open_sweep(sweeps) is None
    found = await document(mongo_db)
    assert (found["state"], found["stop_reason"], found["authors"], found["fewer"], found["finished_at"]) == (
        "finished",
        "empty_page",
        12,
        3,
        NOW,
    )


async def test_only_the_newest_sweep_of_a_query_counts(sweeps: Sweeps) -> None:
    await start(sweeps, "q-old", started_at=NOW - timedelta(hours=2))
    await start(sweeps, "q-new", started_at=NOW)
    await start(sweeps, "other-1", query_key="other", started_at=NOW + timedelta(hours=1))
    found = await open_sweep(sweeps)
    assert found is not None
    assert found.sweep == "q-new"
    await sweeps.finish("q-new", stop=Stop("empty_page"), authors=0, fewer=None, finished_at=NOW)
    assert await open_sweep(sweeps) is None
    assert await open_sweep(sweeps, "unknown") is None


async def test_the_newest_earlier_sweep_with_a_total_count_is_found(sweeps: Sweeps) -> None:
    assert await sweeps.find_earlier("q", than=None) is None
    for hours, total in enumerate([50, 60, None]):
        await start(sweeps, f"q-{hours}", started_at=NOW + timedelta(hours=hours))
        await read(sweeps, 1, f"q-{hours}", total=total)
    await start(sweeps, "other-1", query_key="other", started_at=NOW + timedelta(hours=9))
    newest = EarlierSweep("q-1", NOW + timedelta(hours=1), 60)
    assert await sweeps.find_earlier("q", than=None) == newest
    assert await sweeps.find_earlier("q", than="q-2") == newest
    assert await sweeps.find_earlier("q", than="q-1") == EarlierSweep("q-0", NOW, 50)


async def test_the_authors_of_a_sweep_are_in_the_order_of_their_first_places(
    sweeps: Sweeps, writer: BulkWriter
) -> None:
    places = [(2, 1, "c"), (1, 2, "b"), (10, 1, "d"), (1, 1, "a"), (2, 2, "a"), (1, 10, "e")]
    hits = [documents.search_hit("q-1", number, rank, star_id, seen_at=NOW) for number, rank, star_id in places]
    assert await writer.write([*hits, documents.search_hit("q-2", 1, 1, "z", seen_at=NOW)]) == []
    assert await sweeps.star_ids("q-1") == ["a", "b", "e", "c", "d"]
    assert await sweeps.star_ids("q-1", before_page=2) == ["a", "b", "e"]
    assert await sweeps.star_ids("unknown") == []


async def test_the_metadata_of_a_page_is_stored_unchanged(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    said: dict[str, Any] = {"a.b": 1, "$set": {"$inc": "$pages"}, "authors_text": "$$ROOT"}
    await read(sweeps, 1, **said)
    assert (await document(mongo_db))["pages"]["1"] == {
        "authors": 20,
        "request_id": "r-1",
        "fetched_at": NOW,
        "said": said,
    }


async def test_metadata_that_mongodb_cannot_hold_does_not_prevent_recording_the_page(
    sweeps: Sweeps, mongo_db: Database
) -> None:
    await start(sweeps)
    await read(sweeps, 1, log_id=2**70, hint="\ud83d", fine=1)
    found = (await document(mongo_db))["pages"]["1"]
    assert found["said"] == {"fine": 1, "log_id": None, "hint": None}
    assert set(found["unparsed"]) == {"log_id", "hint"}
    assert found["unparsed"]["log_id"]["raw"] == str(2**70)


async def test_the_metadata_of_a_page_does_not_replace_the_record(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    found = SearchPage(1, 20, True, 60, [{}], {"fetched_at": "yesterday", "request_id": 7})
    await sweeps.page_read("q-1", 1, found, request_id="r-1", fetched_at=NOW)
    assert (await document(mongo_db))["pages"]["1"] == {
        "fetched_at": NOW,
        "request_id": "r-1",
        "authors": 1,
        "said": found.raw_meta,
    }


async def test_a_page_and_the_end_of_paging_are_one_write(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    await read(sweeps, 1)
    await read(sweeps, 2, stop=Stop("max_pages", 3))
    found = await document(mongo_db)
    assert (found["next_page"], found["stop_reason"], sorted(found["pages"])) == (3, "max_pages", ["1", "2"])
    await sweeps.resume("q-1")
    await sweeps.page_missed("q-1", 3, failed_at=LATER, hole=False, stop=Stop("empty_page"))
    found = await document(mongo_db)
    assert (found["next_page"], found["stop_reason"], found["holes"]) == (None, "empty_page", [])


async def test_when_the_search_is_down_paging_continues_at_the_first_missing_page(
    sweeps: Sweeps, mongo_db: Database
) -> None:
    await start(sweeps)
    await sweeps.page_missed("q-1", 1, failed_at=LATER)
    await read(sweeps, 2)
    for number in (3, 4):
        await sweeps.page_missed("q-1", number, failed_at=LATER)
    await sweeps.page_missed("q-1", 5, failed_at=LATER, stop=Stop("pages_unreadable", 3))
    assert await goes_on(sweeps) == ("q-1", 3, (1,), 60)
    # Filling a hole after that does not change it.
    await read(sweeps, 1)
    assert await goes_on(sweeps) == ("q-1", 3, (), 60)
    assert (await document(mongo_db))["stop_reason"] == "pages_unreadable"


async def test_a_page_becomes_a_hole_by_a_later_failure_only(sweeps: Sweeps) -> None:
    await start(sweeps)
    await read(sweeps, 1)
    await sweeps.page_missed("q-1", 1, failed_at=NOW - timedelta(minutes=1))
    assert await sweeps.has_page("q-1", 1, since=NOW)
    assert await goes_on(sweeps) == ("q-1", 2, (), 60)
    await sweeps.page_missed("q-1", 1, failed_at=LATER)
    assert not await sweeps.has_page("q-1", 1, since=LATER)
    assert await goes_on(sweeps) == ("q-1", 2, (1,), 60)


async def test_a_page_that_brought_nothing_is_recorded_and_stays_a_hole(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    await read(sweeps, 1)
    await sweeps.page_read("q-1", 2, page(2, authors=0, total=0), request_id="r", fetched_at=NOW, hole=True)
    assert await goes_on(sweeps) == ("q-1", 3, (2,), 60)
    for _ in range(2):
        await sweeps.page_read("q-1", 2, page(2), request_id="r", fetched_at=LATER)
    assert await goes_on(sweeps) == ("q-1", 3, (), 60)
    found = await document(mongo_db)
    assert (found["pages_read"], found["pages"]["2"]["authors"]) == (2, 20)


async def test_pages_that_do_not_exist_are_no_holes(sweeps: Sweeps) -> None:
    await start(sweeps)
    await sweeps.page_missed("q-1", 1, failed_at=NOW)
    for number in (2, 3):
        await sweeps.page_missed("q-1", number, failed_at=NOW)
    await sweeps.page_missed("q-1", 4, failed_at=NOW, hole=False, stop=Stop("page_refused", void_from=2))
    assert await goes_on(sweeps) == ("q-1", None, (1,), None)


async def test_the_size_of_a_page_is_that_of_the_largest(sweeps: Sweeps) -> None:
    await start(sweeps)
    for number, authors in enumerate([10, 50, 7], start=1):
        await read(sweeps, number, authors=authors)
    found = await open_sweep(sweeps)
    assert found is not None
    assert found.page_size == 50


async def test_have_holes_reads_them_from_the_database(sweeps: Sweeps) -> None:
    await start(sweeps)
    await read(sweeps, 1)
    assert not await sweeps.have_holes(["q-1"])
    await sweeps.page_missed("q-1", 2, failed_at=LATER)
    assert await sweeps.have_holes(["q-1", "q-2"])
    assert not await sweeps.have_holes(["q-2"])


async def finish(sweeps: Sweeps, *, complete: bool = True, **limits: int | None) -> None:
    stop = Stop("max_pages", 3) if limits else Stop("no_more_pages")
    await sweeps.finish(
        "q-1", stop=stop, authors=40, fewer=None, finished_at=NOW, complete=complete, limits=limits or None
    )


@pytest.mark.parametrize(
    ("age", "limits", "is_continued"),
    [
        (0, {"max_pages": 3, "max_authors": None}, True),
        (0, {"max_pages": None, "max_authors": None}, True),
        (0, {"max_pages": None, "max_authors": 10}, True),
        (0, {"max_pages": 2, "max_authors": None}, False),
        (0, {"max_pages": 1, "max_authors": 10}, False),
        (2, {"max_pages": 3, "max_authors": None}, False),
    ],
)
async def test_a_larger_limit_continues_a_sweep_within_max_age(
    sweeps: Sweeps, age: int, limits: dict[str, int | None], is_continued: bool
) -> None:
    await start(sweeps, started_at=NOW - timedelta(days=age))
    await read(sweeps, 1)
    await read(sweeps, 2, stop=Stop("max_pages", 3))
    await finish(sweeps, max_pages=2, max_authors=None)
    found = await open_sweep(sweeps, limits=limits)
    assert (found is not None) == is_continued
    assert found is None or (found.next_page, found.stop_reason) == (3, "max_pages")


@pytest.mark.parametrize("has_ended", [False, True])
async def test_an_open_sweep_is_continued_within_its_age(sweeps: Sweeps, has_ended: bool) -> None:
    await start(sweeps, started_at=NOW - timedelta(days=7))
    if has_ended:
        await finish(sweeps, complete=False)
    for days, is_continued in ((8, True), (7, True), (6, False)):
        since = NOW - timedelta(days=days)
        assert (await sweeps.find_open("q", newer_than=NOW, open_since=since) is not None) == is_continued


async def test_a_new_sweep_closes_the_open_ones_of_its_query(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps, "q-0", started_at=NOW - timedelta(days=9))
    await start(sweeps, "q-1", started_at=NOW - timedelta(days=8))
    await finish(sweeps, complete=False)
    await start(sweeps, "q-2", started_at=NOW - timedelta(days=7))
    await start(sweeps, "other-1", query_key="other", started_at=NOW - timedelta(days=7))
    await start(sweeps, "q-3", started_at=NOW)
    states = {each["_id"]: (each["state"], each["finished_at"]) async for each in mongo_db.sweeps.find()}
    assert states == {
        "q-0": ("incomplete", NOW - timedelta(days=8)),
        "q-1": ("incomplete", NOW),
        "q-2": ("incomplete", NOW),
        "q-3": ("open", None),
        "other-1": ("open", None),
    }
    await mongo_db.sweeps.delete_one({"_id": "q-3"})
    assert await open_sweep(sweeps) is None


async def test_failures_of_pages_are_removed_with_their_sweep(sweeps: Sweeps, mongo_db: Database) -> None:
    keys = ["search:q-1:3", "search:q-1:4", "search:q-10:3", "search:qq-1:3", "base_info:q-1:3"]
    await start(sweeps)
    await mongo_db.failures.insert_many({"_id": key, "terminal": key.endswith("4")} for key in keys)
    await finish(sweeps)
    assert {each["_id"] async for each in mongo_db.failures.find()} == set(keys[1:])
    await start(sweeps, "q-2")
    assert {each["_id"] async for each in mongo_db.failures.find()} == {"search:qq-1:3", "base_info:q-1:3"}


async def test_what_pages_say_beside_their_authors_is_bounded(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    pagination, notes = {"page": 1, "limit": 20, "has_more": True}, {str(number): 2**70 for number in range(99)}
    left_out = await sweeps.page_read(
        "q-1",
        1,
        page(1, pagination=pagination, facets=["x" * 1000] * 1000, **notes),
        request_id="r" * 10_000,
        fetched_at=NOW,
    )
    record = (await document(mongo_db))["pages"]["1"]
    assert record["said"]["pagination"] == pagination
    assert "facets" not in record["said"]
    assert record["left_out"] == left_out > 1_000_000
    assert len(record["request_id"]) == 300
    assert len(bson.encode(record)) < 1600


async def test_a_sweep_of_ten_thousand_pages_fits_into_a_document(sweeps: Sweeps, mongo_db: Database) -> None:
    await start(sweeps)
    await read(sweeps, 1, facets="x" * 600, bad=2**70)
    found = await document(mongo_db)
    record = found["pages"]["1"]
    assert "left_out" not in record
    assert len(bson.encode({**found, "pages": {str(number): record for number in range(10_010)}})) < 16 * 2**20


@given(
    fields=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.binary() | st.integers(0, 9)
    ),
    limit=st.integers(0, 200),
)
def test_bounded_fields_fit_and_nothing_fits_that_is_left_out(fields: dict[str, Any], limit: int) -> None:
    kept, left_out = bounded(fields, limit)
    assert kept.items() <= fields.items()
    assert sum(len(bson.encode({name: value})) for name, value in kept.items()) <= limit
    assert (left_out == 0) == (kept == fields)
