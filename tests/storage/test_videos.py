"""What the writes of videos do: documents put together from several lists, and no write for nothing new."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.items.videos import FIELDS, VideoFact, stored
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.history import History
from xingtu_crawler.storage.videos import SAME_OBSERVATION, Videos, video
from xingtu_crawler.storage.writer import BulkWriter, Write

Database = AsyncDatabase[dict[str, Any]]

STAR_ID = "7000000000000000001"
OTHER = "7000000000000000002"
SEARCH, NEWEST, LAST_10 = "search.items", "rec_videos.newest_videos", "search.last_10_items"
COUNTED = {SEARCH: "play_in_items", NEWEST: "play_in_rec", LAST_10: "play_in_last_10"}
BLANK = stored(dict.fromkeys(FIELDS))
LONG = SAME_OBSERVATION / timedelta(minutes=1)
"""Minutes after which a video counts as observed again by the same run."""

Told = tuple[float, str, dict[str, Any], str]
"""The minute, the list, the known values, and the author of an answer."""


def at(minute: float) -> datetime:
    return datetime(2026, 3, 8, 12, tzinfo=UTC) + timedelta(minutes=minute)


def fact(source: str, known: Mapping[str, Any], star_id: str = STAR_ID, item_id: str = "v1") -> VideoFact:
    counts = {COUNTED[source]: known["play"], "play_from": COUNTED[source]} if "play" in known else {}
    return VideoFact(item_id, star_id, (source,), {**dict.fromkeys(FIELDS), **known, **counts})


def said(minute: float, source: str = NEWEST, star_id: str = STAR_ID, *, history: bool = True, **known: Any) -> Write:
    """Return the write of an answer of a run of its own."""
    return video(fact(source, known, star_id), at(minute), run_id=f"run-{minute}", history=history)


@pytest.fixture
def writer(mongo_db: Database) -> BulkWriter:
    return BulkWriter(mongo_db, Outages(5))


async def only(database: Database) -> dict[str, Any]:
    """Return the one video, with everything that waited moved into the history."""
    await History(database, Outages(5)).flush()
    (document,) = await database.videos.find().to_list()
    document["crawl"]["sources"].sort()
    return document


async def write(writer: BulkWriter, *writes: Write) -> None:
    for each in writes:
        assert await writer.write([each]) == []


async def record(writer: BulkWriter, videos: Videos, minute: float, *facts: VideoFact) -> int:
    """Store the videos of one answer, as `Recorder` does; return the number of writes."""
    writes = [write for write, _ in videos.writes(facts, at(minute))]
    assert await writer.write(writes) == []
    videos.remember(facts, at(minute))
    return len(writes)


async def test_a_video_has_what_any_answer_said_of_it(writer: BulkWriter, mongo_db: Database) -> None:
    await write(
        writer,
        said(0, SEARCH, title="a", play=10, like=1),
        said(1, play=20, created_at=at(-100)),
        said(2, SEARCH, like=5),
    )
    document = await only(mongo_db)
    assert (document["_id"], document["item_id"], document["star_id"]) == ("v1", "v1", STAR_ID)
    assert document["data"] == {
        **BLANK,
        "title": "a",
        # `play` stays: no list has changed its own count.
        "play": 10,
        "play_from": "play_in_items",
        "play_in_items": 10,
        "play_in_rec": 20,
        "like": 5,
        "created_at": at(-100),
    }
    crawl = document["crawl"]
    assert crawl["sources"] == [NEWEST, SEARCH]
    assert (crawl["first_seen_at"], crawl["fetched_at"], crawl["run_id"]) == (at(0), at(2), "run-2")


async def test_a_video_has_every_field_from_its_first_moment(writer: BulkWriter, mongo_db: Database) -> None:
    await write(writer, said(0, play=0, is_high_quality=False))
    assert (await only(mongo_db))["data"] == {
        **BLANK,
        "play": 0,
        "play_from": "play_in_rec",
        "play_in_rec": 0,
        "is_high_quality": False,
    }


async def test_a_video_without_known_values_has_its_times_all_the_same(writer: BulkWriter, mongo_db: Database) -> None:
    await write(writer, said(0))
    crawl = (await only(mongo_db))["crawl"]
    assert (crawl["first_seen_at"], crawl["changed_at"], crawl["spell"], crawl["observations"]) == (at(0), at(0), 1, 1)


@pytest.mark.parametrize("history", [True, False])
async def test_a_late_answer_takes_nothing_from_a_video_and_fills_in_what_is_unknown(
    writer: BulkWriter, mongo_db: Database, history: bool
) -> None:
    await write(writer, said(5, play=20, history=history), said(3, SEARCH, play=10, title="a", history=history))
    document = await only(mongo_db)
    assert (document["data"]["play"], document["data"]["title"]) == (20, "a")
    assert document["crawl"]["content_hash"] == "a||20|10||||||"
    assert document["crawl"]["fetched_at"] == at(5)
    assert document["crawl"]["sources"] == [NEWEST, SEARCH]
    ended = await mongo_db.history.find().to_list()
    assert ended == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_whatever_the_order_the_newest_value_wins_and_nothing_is_lost(
    writer: BulkWriter, mongo_db: Database, order: tuple[int, ...]
) -> None:
    writes = [said(0, title="old", like=1), said(1, title="older", url="u"), said(2, title="new")]
    assert await writer.write([writes[number] for number in order]) == []
    data = (await only(mongo_db))["data"]
    assert (data["title"], data["like"], data["url"]) == ("new", 1, "u")


async def test_changed_at_of_a_video_moves_only_with_its_content(writer: BulkWriter, mongo_db: Database) -> None:
    moments = []
    answers: list[dict[str, Any]] = [
        {"play": 1, "url": "a"},
        {"play": 1, "url": "b"},
        {"play": 2},
        {"play": 2, "title": "x"},
        {"title": "x"},
    ]
    for minute, known in enumerate(answers):
        await write(writer, said(minute, **known))
        moments.append((await only(mongo_db))["crawl"]["changed_at"])
    assert moments == [at(0), at(0), at(2), at(3), at(3)]


async def test_the_reason_why_the_search_shows_a_video_is_no_change_and_a_video_keeps_its_first_author(
    writer: BulkWriter, mongo_db: Database
) -> None:
    star_ids = [STAR_ID, OTHER, STAR_ID, OTHER]
    writes = [said(minute, SEARCH, star_id, play=1, video_tag=minute) for minute, star_id in enumerate(star_ids)]
    await write(writer, *writes)
    document = await only(mongo_db)
    assert (document["star_id"], document["data"]["video_tag"]) == (STAR_ID, 3)
    assert (document["crawl"]["spell"], document["crawl"]["observations"]) == (1, 4)


async def test_in_one_run_a_video_with_nothing_new_is_not_written_again(writer: BulkWriter, mongo_db: Database) -> None:
    videos = Videos("run", history=True)
    assert await record(writer, videos, 0, fact(SEARCH, {"title": "a", "play": 10, "url": "u"})) == 1
    before = await only(mongo_db)
    for minute in (1, LONG - 1, -1):
        assert await record(writer, videos, minute, fact(SEARCH, {"title": "a", "play": 10, "url": "signed"})) == 0
        assert await record(writer, videos, minute, fact(SEARCH, {"play": 10})) == 0
    assert await only(mongo_db) == before


async def test_what_is_new_of_a_video_is_written_in_the_same_run_too(writer: BulkWriter, mongo_db: Database) -> None:
    videos = Videos("run", history=True)
    await record(writer, videos, 0, fact(SEARCH, {"play": 10}))
    answers: list[dict[str, Any]] = [{"play": 11}, {"url": "u"}, {"play": 11, "like": 0}]
    for minute, known in enumerate(answers, 1):
        assert await record(writer, videos, minute, fact(SEARCH, known)) == 1
    document = await only(mongo_db)
    assert (document["data"]["play"], document["data"]["url"], document["data"]["like"]) == (11, "u", 0)
    crawl = document["crawl"]
    # The address is no content: it was added to the observation of a minute before.
    assert (crawl["spell"], crawl["changed_at"], crawl["fetched_at"], crawl["observations"]) == (3, at(3), at(3), 1)
    ended = await mongo_db.history.find(sort=[("valid_from", 1)]).to_list()
    assert [(each["valid_from"], each["observations"]) for each in ended] == [(at(0), 1), (at(1), 1)]


async def test_what_the_details_add_belongs_to_the_spell_that_the_search_began(
    writer: BulkWriter, mongo_db: Database
) -> None:
    videos = Videos("run", history=True)
    await record(writer, videos, 0, fact(SEARCH, {"play": 10, "title": "a"}))
    assert await record(writer, videos, 1, fact(NEWEST, {"play": 12, "like": 3})) == 1
    document = await only(mongo_db)
    assert (document["data"]["play"], document["data"]["play_from"], document["data"]["like"]) == (12, "play_in_rec", 3)
    crawl = document["crawl"]
    assert (crawl["spell"], crawl["changed_at"], crawl["fetched_at"], crawl["observations"]) == (1, at(0), at(0), 1)
    assert crawl["content_hash"] == "a||12|10|3|||||"
    await record(writer, videos, 2, fact(NEWEST, {"title": "b"}))  # it contradicts the search
    assert (await only(mongo_db))["crawl"]["spell"] == 2


async def test_counts_of_other_lists_are_no_change(writer: BulkWriter, mongo_db: Database) -> None:
    for day in range(3):
        minute = day * 1440
        videos = Videos(f"run-{day}", history=True)
        shown = fact(SEARCH, {"play": 80})
        latest = fact(LAST_10, {"play": 100, "title": "a", "created_at": at(-500)})
        await record(writer, videos, minute, latest.and_also(shown))
        await record(writer, videos, minute + 2, fact(NEWEST, {"play": 103, "created_at": at(-497)}))
    document = await only(mongo_db)
    assert document["data"] == {
        **BLANK,
        "title": "a",
        "created_at": at(-500),
        "play": 100,
        "play_from": "play_in_last_10",
        "play_in_items": 80,
        "play_in_last_10": 100,
        "play_in_rec": 103,
    }
    assert (document["crawl"]["spell"], document["crawl"]["observations"]) == (1, 3)
    assert await mongo_db.history.count_documents({}) == 0


async def test_a_change_in_all_lists_is_one_spell_whose_play_is_of_the_preferred_list(
    writer: BulkWriter, mongo_db: Database
) -> None:
    for day, plays in enumerate([100, 200, 200, 300]):
        videos = Videos(f"run-{day}", history=True)
        both = fact(LAST_10, {"play": plays}).and_also(fact(SEARCH, {"play": plays - 9}))
        await record(writer, videos, day * 1440, both)
        await record(writer, videos, day * 1440 + 1, fact(NEWEST, {"play": plays + 7}))
    document = await only(mongo_db)
    ended = await mongo_db.history.find(sort=[("valid_from", 1)]).to_list()
    assert [(each["valid_from"], each["data"]["play"]) for each in ended] == [(at(0), 100), (at(1440), 200)]
    assert (document["data"]["play"], document["data"]["play_from"]) == (300, "play_in_last_10")
    assert (document["crawl"]["spell"], document["crawl"]["changed_at"]) == (3, at(3 * 1440))


async def test_a_video_that_leaves_the_preferred_list_has_the_count_of_the_next(
    writer: BulkWriter, mongo_db: Database
) -> None:
    await write(writer, said(0, LAST_10, play=100), said(1, NEWEST, play=103), said(2000, NEWEST, play=150))
    document = await only(mongo_db)
    assert (document["data"]["play"], document["data"]["play_from"]) == (150, "play_in_rec")
    assert (document["data"]["play_in_last_10"], document["crawl"]["spell"]) == (100, 2)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_time_of_the_upload_does_not_depend_on_the_order(
    writer: BulkWriter, mongo_db: Database, order: tuple[int, ...]
) -> None:
    told = [(LAST_10, at(0)), (NEWEST, at(2)), (SEARCH, at(1))]
    for minute, number in enumerate(order):
        source, created_at = told[number]
        await write(writer, said(minute, source, play=1, created_at=created_at))
    document = await only(mongo_db)
    assert document["data"]["created_at"] == at(0)
    assert document["crawl"]["spell"] == 1


async def test_a_time_that_was_stored_wrong_is_corrected_without_a_spell(
    writer: BulkWriter, mongo_db: Database
) -> None:
    await write(writer, said(0, play=1, created_at=at(480)), said(2000, play=1, created_at=at(0)))
    document = await only(mongo_db)
    assert document["data"]["created_at"] == at(0)
    assert (document["crawl"]["spell"], document["crawl"]["observations"]) == (1, 2)


async def test_a_document_of_an_older_schema_is_not_contradicted_by_counts_by_list(
    writer: BulkWriter, mongo_db: Database
) -> None:
    await write(writer, said(0, play=100, like=1))
    await mongo_db.videos.update_one({}, {"$unset": {"data.play_in_rec": 1, "data.play_from": 1}})
    await write(writer, said(2000, LAST_10, play=120, like=1))
    document = await only(mongo_db)
    assert (document["data"]["play"], document["crawl"]["spell"]) == (120, 1)


async def test_a_run_observes_a_video_anew_after_a_while(writer: BulkWriter, mongo_db: Database) -> None:
    videos = Videos("run", history=True)
    for minute in (0, LONG, 2 * LONG - 1):
        await record(writer, videos, minute, fact(SEARCH, {"play": 10}))
    crawl = (await only(mongo_db))["crawl"]
    assert (crawl["observations"], crawl["fetched_at"]) == (2, at(LONG))


async def test_an_answer_that_only_adds_lists_is_one_write(writer: BulkWriter, mongo_db: Database) -> None:
    videos = Videos("run", history=True)
    shown = [fact(SEARCH, {"play": number}, item_id=f"v{number}") for number in range(9)]
    assert await record(writer, videos, 0, *shown) == 9
    listed = [replace(each, sources=(NEWEST, "rec_videos.masterpiece_videos")) for each in shown[:5]]
    other = [replace(each, sources=(NEWEST,)) for each in shown[5:]]
    assert await record(writer, videos, 1, *listed, *other) == 2
    assert await record(writer, videos, 2, *listed, *other) == 0
    documents = await mongo_db.videos.find(sort=[("_id", 1)]).to_list()
    assert [set(each["crawl"]["sources"]) for each in documents] == [
        {SEARCH, NEWEST, "rec_videos.masterpiece_videos"}
    ] * 5 + [{SEARCH, NEWEST}] * 4
    assert {(each["crawl"]["observations"], each["crawl"]["fetched_at"]) for each in documents} == {(1, at(0))}


async def test_a_run_remembers_the_latest_videos_only(writer: BulkWriter, mongo_db: Database) -> None:
    videos = Videos("run", history=True)
    shown = [fact(SEARCH, {"play": 1}, item_id=f"v{number}") for number in range(5000)]
    assert await record(writer, videos, 0, *shown) == 5000
    assert await record(writer, videos, 1, shown[-1]) == 0
    # One that it has forgotten is written, and is the same observation all the same.
    assert await record(writer, videos, 1, shown[0]) == 1
    assert await mongo_db.videos.count_documents({"crawl.observations": 1, "crawl.fetched_at": at(0)}) == 5000


async def test_another_crawl_may_have_changed_a_video_that_is_remembered(
    writer: BulkWriter, mongo_db: Database
) -> None:
    videos = Videos("run", history=True)
    await record(writer, videos, 0, fact(SEARCH, {"play": 10}))
    await write(writer, said(LONG / 2, SEARCH, play=11))
    await record(writer, videos, LONG, fact(SEARCH, {"play": 10}))
    crawl = (await only(mongo_db))["crawl"]
    assert (crawl["spell"], crawl["changed_at"], crawl["observations"]) == (3, at(LONG), 1)
    await mongo_db.videos.delete_many({})
    await record(writer, videos, 2 * LONG, fact(SEARCH, {"play": 10}))
    assert (await only(mongo_db))["data"]["play"] == 10


ANSWERS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([SEARCH, NEWEST]),
        st.fixed_dictionaries(
            {},
            optional={
                "title": st.sampled_from(["a", "b"]),
                "play": st.integers(0, 1),
                "duration_s": st.sampled_from([15.0, 33.333333333333336]),
                "url": st.sampled_from(["u", "v"]),
            },
        ),
        st.sampled_from([STAR_ID, STAR_ID, OTHER]),
    ),
    min_size=1,
    max_size=6,
)


def without_volatile(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "data": {**document["data"], "url": None}}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=ANSWERS)
@example(told=[(0, SEARCH, {"play": 1}, STAR_ID), (1, SEARCH, {"play": 1}, OTHER)])
async def test_a_run_that_remembers_stores_the_same_as_one_that_does_not(
    writer: BulkWriter, mongo_db: Database, told: Sequence[Told]
) -> None:
    found = []
    for remembers in (True, False):
        # Most videos are new, as in a first crawl: they are inserted, and what is added to them replaces them.
        others = (fact(SEARCH, {}, item_id=f"other {number}") for number in range(10))
        await record(writer, Videos("other", history=True), 0, *others)
        await mongo_db.videos.delete_many({})
        await mongo_db.history.delete_many({})
        videos = Videos("run", history=True)
        for minute, (_, source, known, star_id) in enumerate(told):
            await record(writer, videos, minute, fact(source, known, star_id))
            if not remembers:
                videos = Videos("run", history=True)
        found.append([without_volatile(await only(mongo_db))])
        found[-1] += [without_volatile(each) async for each in mongo_db.history.find(sort=[("valid_from", 1)])]
    assert found[0] == found[1]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=ANSWERS, data=st.data())
async def test_in_whatever_order_no_value_is_lost_and_the_newest_one_stands(
    writer: BulkWriter, mongo_db: Database, told: Sequence[Told], data: st.DataObject
) -> None:
    await mongo_db.videos.delete_many({})
    await mongo_db.history.delete_many({})
    told = [(number, *each[1:]) for number, each in enumerate(told)]
    for number, source, known, star_id in data.draw(st.permutations(told)):
        await write(writer, said(number * 20, source, star_id, **known))
    document = await only(mongo_db)
    newest = told[-1][2]
    for name, value in newest.items():
        shown = COUNTED[told[-1][1]] if name == "play" else name
        assert document["data"][shown] == value
    for name in BLANK:
        assert (document["data"][name] is None) == all(name not in known for _, _, known, _ in told)
    assert document["crawl"]["sources"] == sorted({source for _, source, _, _ in told})


async def test_two_answers_of_one_moment_are_one_state(writer: BulkWriter, mongo_db: Database) -> None:
    await write(writer, said(0, play=1), said(0, SEARCH, title="a"), said(0, SEARCH, title="a"))
    document = await only(mongo_db)
    assert (document["data"]["play"], document["data"]["title"]) == (1, "a")
    assert (document["crawl"]["spell"], document["crawl"]["observations"]) == (1, 1)
    assert await mongo_db.history.count_documents({}) == 0


async def test_a_value_of_a_video_is_never_an_expression(writer: BulkWriter, mongo_db: Database) -> None:
    await write(writer, said(0, title="$data.play", play=3), said(1, title="$$ROOT", url="$crawl"))
    await write(writer, said(0.5, SEARCH, title="$data", like=1))
    data = (await only(mongo_db))["data"]
    assert (data["title"], data["url"], data["like"]) == ("$$ROOT", "$crawl", 1)
    titles = [each["data"]["title"] async for each in mongo_db.history.find(sort=[("valid_from", 1)])]
    assert titles == ["$data.play", "$data"]


@pytest.mark.parametrize(
    "known",
    [
        {"title": "片", "play": 7, "duration_s": 15.0, "created_at": at(0), "is_high_quality": True},
        {"duration_s": 15.25, "like": 0, "url": "https://example.com/v"},
        {},
    ],
)
async def test_an_inserted_video_equals_an_upserted_one(mongo_db: Database, known: dict[str, Any]) -> None:
    write = said(1, **known)
    assert callable(write.operation)
    await mongo_db.videos.bulk_write([write.operation()])
    upserted = await mongo_db.videos.find_one()
    assert write.new is not None
    await mongo_db.inserted.insert_one(write.new)
    assert await mongo_db.inserted.find_one() == upserted


def test_a_fraction_that_servers_write_differently_is_left_to_the_server() -> None:
    assert said(1, duration_s=33.333333333333336).new is None
    assert said(1, duration_s=12345678.5).new is None
