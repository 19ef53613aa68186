"""Replayed answers equal stored ones: from spill files and from quarantine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import ROOT
from xingtu_crawler.exceptions import IdentityError, StorageError
from xingtu_crawler.items.answers import HOLLOW, DetailAnswer, FailedRequest
from xingtu_crawler.items.base_info import BaseInfo
from xingtu_crawler.items.validation import validate_detail
from xingtu_crawler.options import Options
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.replay import Replayed, examine_spilled, load_spilled, replay_quarantine
from xingtu_crawler.storage.spill import Answer, Spill, build_answer, load, refused, run_id_of, spilled
from xingtu_crawler.storage.store import Store

Database = AsyncDatabase[dict[str, Any]]

STAR_ID = "6629722295873044494"
OTHER_ID = "7000000000000000001"
SAMPLES = ROOT / "tests" / "data" / "samples"
AT = datetime(2026, 3, 8, 9, 30, tzinfo=UTC)


def body(name: str, **data: Any) -> bytes:
    """Return the body of a documented sample with parts of its payload replaced."""
    document = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    document["data"] |= data
    return json.dumps(document).encode()


def base_info(at: datetime = AT, **data: Any) -> DetailAnswer:
    request = {"endpoint": "base_info", "star_id": STAR_ID, "platform": "SHORT_VIDEO"}
    answer = build_answer(request, body("author_base_info", **data), fetched_at=at)
    assert isinstance(answer, DetailAnswer)
    return answer


def search_page(**data: Any) -> Answer:
    return build_answer({"endpoint": "search", "sweep": "s", "page": 3}, body("author_search", **data), fetched_at=AT)


@pytest.fixture
async def store(mongo_uri: str, mongo_db: Database) -> AsyncIterator[Store]:
    """An open store; its history is completed at the end."""
    settings = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_db.name, "XINGTU_STORAGE_PATIENCE": 5}
    opened = await Store.open(Options.read(settings))
    yield opened
    await opened.close()


@pytest.fixture
def recorder(store: Store) -> Recorder:
    return recorder_of(store, "paid")


def recorder_of(store: Store, run_id: str) -> Recorder:
    return Recorder(
        store.writer, store.claims, store.sweeps, store.history, run_id=run_id, count=lambda _what, _count: None
    )


async def quarantine(recorder: Recorder, answer: DetailAnswer, reason: str = "rejected") -> None:
    await recorder.quarantine_detail(answer, reason)


async def replay(store: Store) -> tuple[dict[str, int], dict[str, int]]:
    result = await replay_quarantine(store.database, recorder_of(store, "replay"))
    return dict(result.recovered), dict(result.unfit)


async def everything(mongo_db: Database) -> dict[str, list[dict[str, Any]]]:
    return {
        name: await mongo_db[name].find(sort=[("_id", 1)]).to_list() for name in await mongo_db.list_collection_names()
    }


async def test_a_recovered_detail_equals_one_stored_by_the_crawl(
    mongo_db: Database, store: Store, recorder: Recorder
) -> None:
    await quarantine(recorder, base_info())
    assert await mongo_db.failures.count_documents({"reason": "quarantined"}) == 1

    assert await replay(store) == ({"base_info": 1}, {})
    found = await mongo_db.author_base_info.find_one({"_id": f"{STAR_ID}:SHORT_VIDEO"})
    assert found is not None
    assert found["data"]["id"] == STAR_ID
    # The time of the answer and the run that paid for it, not those of the replay.
    assert (found["crawl"]["fetched_at"], found["crawl"]["first_seen_at"]) == (AT, AT)
    assert found["crawl"]["run_id"] == "paid"
    assert await mongo_db.quarantine.count_documents({}) == 0
    assert await mongo_db.failures.count_documents({}) == 0
    assert await mongo_db.spells.count_documents({"entity": "author_base_info", "key": found["_id"]}) == 1


async def test_a_corrected_model_recovers_what_it_had_rejected(
    mongo_db: Database, store: Store, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(payload: dict[str, Any], star_id: str | None) -> None:
        raise IdentityError("the old model rejects it")

    await quarantine(recorder, base_info())
    with monkeypatch.context() as old:
        old.setattr(BaseInfo, "identify", refuse)
        assert await replay(store) == ({}, {"the old model rejects it": 1})
        assert await mongo_db.quarantine.count_documents({}) == 1
        assert await mongo_db.failures.count_documents({}) == 1
    assert await replay(store) == ({"base_info": 1}, {})
    assert await mongo_db.author_base_info.count_documents({}) == 1


async def test_rejected_answers_stay_in_quarantine_unchanged(
    mongo_db: Database, store: Store, recorder: Recorder
) -> None:
    await quarantine(recorder, base_info(id=OTHER_ID))
    malformed = FailedRequest(
        endpoint="rec_videos",
        code=None,
        reason="malformed",
        message="HTTP 200, not JSON",
        request_id=None,
        attempts=8,
        terminal=False,
        failed_at=AT,
        star_id=STAR_ID,
        platform="SHORT_VIDEO",
        body=b"<html>",
    )
    await recorder.failure(malformed)
    # A failure code in a body that was quarantined because it could not be parsed then.
    await recorder.failure(replace(malformed, endpoint="base_info", body=b'{"code": 301, "data": null}'))
    before = await everything(mongo_db)
    recovered, unfit = await replay(store)
    assert recovered == {}
    assert sum(unfit.values()) == 3
    assert {f"id is '{OTHER_ID}' and not '{STAR_ID}'", "code 301, collection failed, please retry"} < set(unfit)
    assert await everything(mongo_db) == before


async def test_replaying_twice_changes_nothing(mongo_db: Database, store: Store, recorder: Recorder) -> None:
    await quarantine(recorder, base_info())
    await quarantine(recorder, base_info(id=OTHER_ID))
    await replay(store)
    before = await everything(mongo_db)
    assert await replay(store) == ({}, {f"id is '{OTHER_ID}' and not '{STAR_ID}'": 1})
    assert await everything(mongo_db) == before


async def test_a_newer_document_stays_and_the_older_answer_becomes_a_spell(
    mongo_db: Database, store: Store, recorder: Recorder
) -> None:
    await quarantine(recorder, base_info(nick_name="then"))
    await quarantine(recorder_of(store, "later"), base_info(AT + timedelta(days=1), nick_name="now"))
    older = await mongo_db.quarantine.find_one_and_delete({"run_id": "paid"})
    assert older is not None
    await replay(store)
    await mongo_db.quarantine.insert_one(older)
    assert await replay(store) == ({"base_info": 1}, {})
    found = await mongo_db.author_base_info.find_one({})
    assert found is not None
    assert (found["data"]["nick_name"], found["crawl"]["fetched_at"]) == ("now", AT + timedelta(days=1))
    spells = await mongo_db.spells.find({"entity": "author_base_info"}, sort=[("valid_from", 1)]).to_list()
    assert [(spell["data"]["nick_name"], spell["current"]) for spell in spells] == [("then", False), ("now", True)]


async def test_answers_are_replayed_in_the_order_in_which_they_were_fetched(
    mongo_db: Database, store: Store, recorder: Recorder
) -> None:
    for day in (3, 1, 2):
        await quarantine(recorder, base_info(AT + timedelta(days=day), nick_name=f"day {day}"))
    await replay(store)
    spells = await mongo_db.spells.find({"entity": "author_base_info"}, sort=[("valid_from", 1)]).to_list()
    assert [(spell["spell"], spell["data"]["nick_name"]) for spell in spells] == [
        (1, "day 1"),
        (2, "day 2"),
        (3, "day 3"),
    ]


async def test_a_failure_newer_than_the_answer_stays(mongo_db: Database, store: Store, recorder: Recorder) -> None:
    await quarantine(recorder, base_info())
    gone = {"code": 404, "reason": "not found", "terminal": True, "failed_at": AT + timedelta(days=1)}
    await mongo_db.failures.update_one({}, {"$set": gone})
    assert await replay(store) == ({"base_info": 1}, {})
    assert await mongo_db.failures.count_documents({"code": 404}) == 1


async def test_a_page_and_a_single_author_are_recovered(mongo_db: Database, store: Store, recorder: Recorder) -> None:
    page = search_page()
    assert not isinstance(page, DetailAnswer | FailedRequest)
    element = json.loads(page.body)["data"]["authors"][0]
    await store.sweeps.start("s", query_key="k", filters={}, run_id="paid", started_at=AT)
    await recorder.quarantine_page(page, "no search page", page.body)
    # A body that is no search page counts as a missing page, which the next crawl fetches again.
    assert await mongo_db.failures.find_one({}, {"_id": 1, "reason": 1, "terminal": 1}) == {
        "_id": "search:s:3",
        "reason": "quarantined",
        "terminal": False,
    }
    assert (await mongo_db.sweeps.find_one({}, {"_id": 0, "holes": 1})) == {"holes": [3]}
    await recorder.quarantine_page(replace(page, page=4), "no id", json.dumps(element).encode(), rank=2)

    assert await replay(store) == ({"search": 2}, {})
    authors = len(json.loads(page.body)["data"]["authors"])
    assert await mongo_db.search_hits.count_documents({"sweep": "s", "page": 3}) == authors
    hit = await mongo_db.search_hits.find_one({"page": 4})
    assert hit is not None
    assert (hit["rank"], hit["star_id"], hit["seen_at"]) == (2, element["star_id"], AT)
    author = await mongo_db.authors.find_one({"_id": element["star_id"]})
    assert author is not None
    assert (author["crawl"]["fetched_at"], author["crawl"]["run_id"]) == (AT, "paid")
    sweep = await mongo_db.sweeps.find_one({})
    assert sweep is not None
    assert (sweep["pages_read"], sweep["next_page"], sweep["holes"]) == (1, 4, [])
    assert await mongo_db.failures.count_documents({}) == 0
    assert await mongo_db.quarantine.count_documents({}) == 0


async def test_documents_that_no_crawl_wrote_are_rejected_and_stop_nothing(
    mongo_db: Database, store: Store, recorder: Recorder
) -> None:
    strange = {"quarantined_at": AT, "run_id": "r", "body": b"{}", "request_id": None}
    await mongo_db.quarantine.insert_many(
        [
            {**strange, "request": {}},
            {**strange, "request": {"endpoint": "retired", "star_id": "1", "platform": "SHORT_VIDEO"}},
            {**strange, "request": {"endpoint": "search", "sweep": "s", "page": 1, "rank": 1}, "body": b"[1]"},
        ]
    )
    await quarantine(recorder, base_info())
    recovered, unfit = await replay(store)
    assert recovered == {"base_info": 1}
    assert sum(unfit.values()) == 3
    assert "no model for the endpoint retired" in unfit


async def test_a_replay_without_a_recorder_changes_nothing(mongo_db: Database, recorder: Recorder) -> None:
    await quarantine(recorder, base_info())
    await quarantine(recorder, base_info(id=OTHER_ID))
    before = await everything(mongo_db)
    result = await replay_quarantine(mongo_db, None)
    assert (dict(result.recovered), result.unfit.total()) == ({"base_info": 1}, 1)
    assert await everything(mongo_db) == before


async def test_spill_files_are_loaded_and_deleted(mongo_db: Database, recorder: Recorder, tmp_path: Path) -> None:
    spill = Spill(tmp_path, "20260308T093000-5f2c1a")
    for answer in (base_info(), search_page(), base_info(id=OTHER_ID)):
        spill.add(answer)
    seen = examine_spilled(tmp_path)
    assert spilled(tmp_path) == [spill.path]
    result = await load_spilled(tmp_path, recorder)
    assert seen == result
    assert (dict(result.recovered), result.unfit.total(), result.broken) == ({"base_info": 1, "search": 1}, 1, [])
    assert list(tmp_path.iterdir()) == []
    found = await mongo_db.author_base_info.find_one({})
    assert found is not None
    assert (found["crawl"]["run_id"], found["crawl"]["fetched_at"]) == ("20260308T093000-5f2c1a", AT)
    assert await mongo_db.quarantine.count_documents({"run_id": "20260308T093000-5f2c1a"}) == 1


async def test_cut_lines_are_kept_and_the_other_answers_are_stored(
    mongo_db: Database, recorder: Recorder, tmp_path: Path
) -> None:
    spill = Spill(tmp_path, "run")
    spill.add(base_info())
    whole = spill.path.read_text()
    spill.path.write_text(whole + whole[: len(whole) // 2])
    assert examine_spilled(tmp_path).broken == [spill.path]
    result = await load_spilled(tmp_path, recorder)
    assert result.recovered == {"base_info": 1}
    assert [path.suffix for path in tmp_path.iterdir()] == [".broken"]
    assert result.broken == list(tmp_path.iterdir())
    assert result.broken[0].read_text().startswith(whole)
    assert await mongo_db.author_base_info.count_documents({}) == 1


async def test_an_answer_of_a_retired_endpoint_does_not_stop_the_start(recorder: Recorder, tmp_path: Path) -> None:
    Spill(tmp_path, "run").add(replace(base_info(), endpoint="retired"))
    result = await load_spilled(tmp_path, recorder)
    assert (result.recovered.total(), len(result.broken)) == (0, 1)
    assert spilled(tmp_path) == []


async def test_a_load_that_was_killed_is_repeated_and_changes_nothing(
    mongo_db: Database, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spill = Spill(tmp_path / "spill", "run")
    for answer in (base_info(), search_page(), base_info(id=OTHER_ID)):
        spill.add(answer)

    async def killed(_recorder: Recorder) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "settle", killed)  # everything is stored, nothing is deleted
        with pytest.raises(asyncio.CancelledError):
            await load_spilled(spill.path.parent, recorder)
    assert len(spilled(spill.path.parent)) == 1
    await recorder.settle()
    before = await everything(mongo_db)
    result = await load_spilled(spill.path.parent, recorder)
    assert (dict(result.recovered), result.unfit.total()) == ({"base_info": 1, "search": 1}, 1)
    assert await everything(mongo_db) == before
    assert list(spill.path.parent.iterdir()) == []


async def test_a_hollow_answer_never_replaces_the_good_document(
    mongo_db: Database, store: Store, recorder: Recorder, tmp_path: Path
) -> None:
    """It was put aside while MongoDB was gone, and the second request was not made."""
    await recorder.detail(validate_detail(base_info()))
    before = await everything(mongo_db)
    hollow = replace(base_info(AT + timedelta(minutes=1)), is_put_aside=True)
    Spill(tmp_path, "later").add(hollow)
    assert examine_spilled(tmp_path).recovered == {}
    await load_spilled(tmp_path, recorder)
    after = await everything(mongo_db)
    (kept,) = after.pop("quarantine")
    assert (kept["reason"], kept["body"], kept["star_id"]) == (HOLLOW, hollow.body, STAR_ID)
    assert await replay(store) == ({}, {})
    assert {**after, "quarantine": []} == {**before, "quarantine": []}


async def refuse_everything_in(mongo_db: Database, *collections: str, refuse: bool = True) -> None:
    """Give collections a validator that no document of a crawl passes, or take it away."""
    for name in collections:
        await mongo_db.command("collMod", name, validator={"never": True} if refuse else {})


async def test_a_spilled_answer_that_mongodb_refuses_is_set_aside_and_loading_goes_on(
    mongo_db: Database, recorder: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spill, later = Spill(tmp_path, "20260308T093000-5f2c1a"), Spill(tmp_path, "20260309T093000-5f2c1a")
    page = search_page()
    spill.add(base_info())
    spill.add(page)
    later.add(replace(page, page=4))  # type: ignore[arg-type]  # it is a page
    await recorder._sweeps.start("s", query_key="k", filters={}, run_id="paid", started_at=AT)
    await refuse_everything_in(mongo_db, "author_base_info", "quarantine")

    result = await load_spilled(tmp_path, recorder)
    assert (dict(result.recovered), result.refused.total(), result.broken) == ({"search": 2}, 1, [])
    (aside,) = refused(tmp_path)
    assert list(tmp_path.iterdir()) == [aside]
    assert list(load(aside)) == [base_info()]
    assert run_id_of(aside) == "20260308T093000-5f2c1a"
    assert f"1 answers that MongoDB refuses are set aside in {aside}" in caplog.messages
    assert any(str(base_info()) in message and "quarantine" in message for message in caplog.messages)
    # The next crawl does not stumble over it, and a replay tries it again.
    assert await load_spilled(tmp_path, recorder) == Replayed()
    assert (await load_spilled(tmp_path, recorder, again=True)).refused.total() == 1
    assert [list(load(path)) for path in refused(tmp_path)] == [[base_info()]]

    await refuse_everything_in(mongo_db, "author_base_info", "quarantine", refuse=False)
    assert examine_spilled(tmp_path).recovered == {"base_info": 1}
    assert (await load_spilled(tmp_path, recorder, again=True)).recovered == {"base_info": 1}
    assert list(tmp_path.iterdir()) == []
    found = await mongo_db.author_base_info.find_one({})
    assert found is not None
    assert found["crawl"]["run_id"] == "20260308T093000-5f2c1a"


@pytest.mark.parametrize("collection", ["sweeps", "failures", "search_hits", "authors", "videos"])
async def test_no_refusing_collection_stops_the_loading(
    mongo_db: Database, recorder: Recorder, tmp_path: Path, collection: str
) -> None:
    spill = Spill(tmp_path, "run")
    for answer in (search_page(), base_info(id=OTHER_ID), base_info()):
        spill.add(answer)
    await refuse_everything_in(mongo_db, collection)
    result = await load_spilled(tmp_path, recorder)
    assert result.recovered["base_info"] == 1
    kept = [answer for path in refused(tmp_path) for answer in load(path) if answer is not None]
    quarantined = {document["run_id"] async for document in mongo_db.quarantine.find()}
    assert kept or quarantined == {"run"}
    assert spilled(tmp_path) == []


async def test_a_mongodb_that_is_away_keeps_the_spill_file(
    mongo_db: Database, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Spill(tmp_path, "run").add(base_info())

    async def away(*_: object) -> None:
        raise StorageError("MongoDB has been away for 5 s")

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "detail", away)
        with pytest.raises(StorageError):
            await load_spilled(tmp_path, recorder)
    assert len(spilled(tmp_path)) == 1
    assert refused(tmp_path) == []
    assert (await load_spilled(tmp_path, recorder)).recovered == {"base_info": 1}


async def test_an_answer_whose_replay_is_refused_stays_in_quarantine(
    mongo_db: Database, store: Store, recorder: Recorder
) -> None:
    page = search_page()
    assert not isinstance(page, DetailAnswer | FailedRequest)
    await store.sweeps.start("s", query_key="k", filters={}, run_id="paid", started_at=AT)
    await recorder.quarantine_page(page, "no search page", page.body)
    await quarantine(recorder, base_info())
    await refuse_everything_in(mongo_db, "sweeps")
    assert await replay(store) == ({"base_info": 1}, {"MongoDB refuses the document": 1})
    await refuse_everything_in(mongo_db, "sweeps", refuse=False)
    assert await replay(store) == ({"search": 1}, {})
