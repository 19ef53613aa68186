"""`scrapy replay` as a user runs it: it recovers what a crawl could not store, without a call."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import Crawler, MakeCrawler, StartSandbox, command, environment, run
from xingtu_crawler.options import Options
from xingtu_crawler.storage.spill import Spill, build_answer

Database = AsyncDatabase[dict[str, Any]]


@pytest.fixture
def crawled(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> tuple[Crawler, Any]:
    """Return a crawler after a crawl some of whose answers were other authors', and its sandbox."""
    sandbox = start_sandbox("--authors", "20", "--fault", "wrong_id=0.2")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", endpoints="base_info").returncode == 1
    sandbox.control(reset_ledger=True)
    return crawler, sandbox


async def mend(mongo_db: Database, wrong: dict[str, Any]) -> str:
    """Make a quarantined answer the right author's, as if the model had learnt to read it; return who that is."""
    star_id: str = wrong["request"]["star_id"]
    found = wrong["reason"].split("'")[1]
    body = wrong["body"].replace(found.encode(), star_id.encode())
    await mongo_db.quarantine.update_one({"_id": wrong["_id"]}, {"$set": {"body": body}})
    return star_id


async def test_answers_that_fit_now_are_recovered(crawled: tuple[Crawler, Any], mongo_db: Database) -> None:
    crawler, sandbox = crawled
    kept = await mongo_db.quarantine.find().to_list()
    assert len(kept) >= 2
    star_id = await mend(mongo_db, kept[0])

    said = crawler.scrapy("replay", "--dry-run")
    assert (said.returncode, said.stderr) == (0, "")
    assert "From quarantine: 1 would be recovered (base_info 1)" in said.stdout
    assert await mongo_db.quarantine.count_documents({}) == len(kept)

    done = crawler.scrapy("replay")
    assert (done.returncode, done.stderr) == (0, "")
    assert "From quarantine: 1 recovered (base_info 1)" in done.stdout
    assert f"{len(kept) - 1} stay in quarantine" in done.stdout
    assert "id is '…' and not '…'" in done.stdout
    found = await mongo_db.author_base_info.find_one({"star_id": star_id})
    assert found is not None
    assert found["crawl"]["fetched_at"] == kept[0]["quarantined_at"]
    assert found["crawl"]["run_id"] == kept[0]["run_id"]
    assert await mongo_db.failures.count_documents({"star_id": star_id}) == 0
    assert await mongo_db.failures.count_documents({}) == len(kept) - 1
    assert sandbox.ledger()["calls"] == 0

    again = crawler.scrapy("replay")
    assert "From quarantine: 0 recovered" in again.stdout
    # What is recovered is done: the crawl that follows does not ask it again.
    sandbox.control(faults={})
    assert crawler("authors", star_ids=star_id, endpoints="base_info").returncode == 0
    assert sandbox.ledger()["calls"] == 0


async def test_spill_files_are_loaded(crawled: tuple[Crawler, Any], mongo_db: Database, tmp_path: Path) -> None:
    crawler, _ = crawled
    document = await mongo_db.author_base_info.find_one({})
    assert document is not None
    asked = {"endpoint": "base_info", "star_id": document["star_id"], "platform": "PICTURE_TEXT"}
    body = b'{"code": 0, "data": {"id": "%s", "nick_name": "x"}}' % document["star_id"].encode()
    settings = {"MONGO_URI": crawler.mongo_uri, "MONGO_DATABASE": mongo_db.name, "XINGTU_DATA_DIR": tmp_path / ".data"}
    directory = Options.read(settings).spill_directory
    Spill(directory, "run").add(build_answer(asked, body, fetched_at=datetime(2026, 3, 8, tzinfo=UTC)))
    assert "From spill files: 1 would be recovered (base_info 1)" in crawler.scrapy("replay", "--dry-run").stdout
    assert len(list(directory.iterdir())) == 1
    done = crawler.scrapy("replay")
    assert "From spill files: 1 recovered (base_info 1)" in done.stdout, done.stderr
    assert list(directory.iterdir()) == []
    assert await mongo_db.author_base_info.count_documents({"platform": "PICTURE_TEXT"}) == 1


async def test_an_answer_that_mongodb_refuses_is_named_by_replay_and_status_and_stops_no_crawl(
    crawled: tuple[Crawler, Any], mongo_db: Database, tmp_path: Path
) -> None:
    crawler, _ = crawled
    asked = {"endpoint": "base_info", "star_id": "7", "platform": "SHORT_VIDEO"}
    settings = {"MONGO_URI": crawler.mongo_uri, "MONGO_DATABASE": mongo_db.name, "XINGTU_DATA_DIR": tmp_path / ".data"}
    directory = Options.read(settings).spill_directory
    body = b'{"code": 0, "data": {"id": "7", "nick_name": "x"}}'
    Spill(directory, "run").add(build_answer(asked, body, fetched_at=datetime(2026, 3, 8, tzinfo=UTC)))
    for name in ("author_base_info", "quarantine"):
        await mongo_db.command("collMod", name, validator={"star_id": {"$ne": "7"}})
    first = await mongo_db.author_base_info.find_one({})
    assert first is not None
    done = crawler("authors", star_ids=first["star_id"], endpoints="base_info")
    assert "1 answers that MongoDB refuses are set aside in " in done.stderr
    assert "Closed (finished)" in done.stderr
    assert "MongoDB refuses 1 answers in 1 files" in " ".join(crawler.scrapy("status").stdout.split())
    again = crawler.scrapy("replay")
    assert again.returncode == 0
    assert "  1 that MongoDB refuses are set aside (*.refused):\n        1  " in again.stdout
    for name in ("author_base_info", "quarantine"):
        await mongo_db.command("collMod", name, validator={})
    assert "From spill files: 1 recovered (base_info 1)" in crawler.scrapy("replay").stdout
    assert list(directory.iterdir()) == []


def test_without_a_dataset_there_is_nothing_to_replay(tmp_path: Path) -> None:
    for words in (["replay"], ["replay", "--dry-run"]):
        done = run(command(*words), cwd=tmp_path, env=environment())
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: There is no dataset in .data yet: ")
        assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_spill_file_without_a_dataset_makes_one(tmp_path: Path) -> None:
    asked = {"endpoint": "base_info", "star_id": "7", "platform": "SHORT_VIDEO"}
    body = b'{"code": 0, "data": {"id": "7", "nick_name": "x"}}'
    spill = Spill(Options.read({"XINGTU_DATA_DIR": tmp_path / ".data"}).spill_directory, "run")
    spill.add(build_answer(asked, body, fetched_at=datetime(2026, 3, 8, tzinfo=UTC)))
    done = run(command("replay"), cwd=tmp_path, env=environment())
    assert done.returncode == 0, done.stderr
    assert "From spill files: 1 recovered" in done.stdout
    found = run(command("find", "author_base_info", "--fields", "star_id"), cwd=tmp_path, env=environment())
    assert '"star_id": "7"' in found.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dryrun"], "Unknown option --dryrun: did you mean --dry-run?"),
        (["quarantine"], "scrapy replay does not take 'quarantine': "),
        (["-s", "XINGTU_STORAGE_PATIENCE=soon"], "XINGTU_STORAGE_PATIENCE is 'soon': "),
        (["-s", "JUSTONEAPI_ENV=prod"], ""),
    ],
)
def test_a_mistake_is_one_error_line(tmp_path: Path, words: list[str], said: str) -> None:
    done = run(command("replay", *words), cwd=tmp_path, env=environment())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1
