"""Crawls that are interrupted or killed: the same command does the rest."""

from __future__ import annotations

import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.crawling import NOT_DURABLE
from tests.harness import PATIENCE_S, Crawler, MakeCrawler, StartSandbox, wait_until
from xingtu_crawler.options import Options
from xingtu_crawler.sandbox.process import SandboxProcess
from xingtu_crawler.storage.spill import Spill, build_answer, spilled

Database = AsyncDatabase[dict[str, Any]]


def _interrupt(
    crawler: Crawler, sandbox: SandboxProcess, sign: signal.Signals, *, answered: int
) -> subprocess.Popen[str]:
    process = crawler.start("author_square")
    wait_until(lambda: sandbox.ledger()["answered"] >= answered or process.poll() is not None)
    process.send_signal(sign)
    process.wait(PATIENCE_S)
    return process


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGHUP])
async def test_calls_in_flight_are_stored_and_the_same_command_does_the_rest(
    sign: signal.Signals, start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "200", "--latency", "100", "--fault", "301=0.05")
    crawler = make_crawler(sandbox)
    process = _interrupt(crawler, sandbox, sign, answered=150)
    assert process.returncode == 1
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["state"], run["close_reason"]) == ("ended", "shutdown")
    # Every response is stored, and the run counts it.
    assert sum(codes.get("0", 0) for codes in run["calls"]["by_endpoint"].values()) == sandbox.ledger()["answered"]
    assert await _details(mongo_db) + run["calls"]["by_endpoint"]["search"]["0"] == sandbox.ledger()["answered"]
    assert await mongo_db.failures.count_documents({}) == 0

    done = crawler("author_square")
    assert done.returncode == 0, done.stderr
    assert await mongo_db.authors.count_documents({}) == 200
    assert await _details(mongo_db) == 800
    assert sandbox.ledger()["answered_twice"] == 0
    assert await mongo_db.sweeps.count_documents({}) == 1


async def test_a_killed_crawl_loses_at_most_the_calls_in_flight(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "200", "--latency", "20", "--fault", "301=0.05")
    crawler = make_crawler(sandbox)
    for kills, answered in enumerate((100, 300, 600), start=1):
        process = _interrupt(crawler, sandbox, signal.SIGKILL, answered=answered)
        assert process.returncode == -signal.SIGKILL
        assert await mongo_db.runs.count_documents({"state": "running"}) == kills
    done = crawler("author_square")
    assert done.returncode == 0, done.stderr
    assert await mongo_db.authors.count_documents({}) == 200
    assert await _details(mongo_db) == 800
    assert sandbox.ledger()["answered_twice"] <= 3 * NOT_DURABLE
    assert await mongo_db.sweeps.count_documents({}) == 1


async def test_an_interruption_while_the_crawl_closes_lets_it_close(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    sandbox = start_sandbox("--authors", "60", "--latency", "400")
    crawler = make_crawler(sandbox)
    process = crawler.start("author_square", settings={"LOG_LEVEL": "DEBUG"}, max_calls=40)
    log = tmp_path / "crawl.log"
    wait_until(lambda: "Closing spider (max_calls)" in log.read_text())
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0, log.read_text()
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["state"], run["close_reason"], run["calls"]["total"]) == ("ended", "max_calls", 40)
    assert "Closed (max_calls) after" in log.read_text()
    spells = await mongo_db.spells.count_documents({"entity": {"$ne": "videos"}, "current": True})
    assert spells == await _details(mongo_db) + await mongo_db.authors.count_documents({})


async def test_an_interruption_while_the_crawl_opens_ends_it_before_the_first_call(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    sandbox = start_sandbox("--authors", "10")
    crawler = make_crawler(sandbox)
    settings = {"MONGO_URI": crawler.mongo_uri, "MONGO_DATABASE": mongo_db.name, "XINGTU_DATA_DIR": tmp_path / ".data"}
    spill = Spill(Options.read(settings).spill_directory, "20260308T093000-5f2c1a")
    body = b'{"code": 0, "data": {"id": "7"}}'
    asked = {"endpoint": "base_info", "star_id": "7", "platform": "SHORT_VIDEO"}
    spill.add(build_answer(asked, body, fetched_at=datetime(2026, 3, 8, 9, 30, tzinfo=UTC)))
    line = spill.path.read_bytes()
    spill.path.write_bytes(line * 10_000)  # takes so long to load that the signal arrives meanwhile
    process = crawler.start("author_square")
    with MongoClient[dict[str, Any]](crawler.mongo_uri) as client:
        runs = client[mongo_db.name].runs
        wait_until(lambda: runs.count_documents({}) > 0 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 1
    log = (tmp_path / "crawl.log").read_text()
    assert "Traceback" not in log
    assert " ERROR: " not in log
    assert sandbox.ledger()["calls"] == 0
    (left,) = spilled(spill.directory)
    left.write_bytes(line * 3)
    done = crawler("author_square")
    assert done.returncode == 0, done.stderr
    assert await mongo_db.author_base_info.count_documents({}) == 11
    assert spilled(spill.directory) == []


async def test_restart_begins_a_new_sweep(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "60")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", max_calls=30).returncode == 0
    assert crawler("author_square", restart=1).returncode == 0
    sweeps = [each["state"] async for each in mongo_db.sweeps.find(sort=[("started_at", 1)])]
    assert sweeps == ["incomplete", "finished"]


async def test_two_crawls_share_the_embedded_mongodb(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    sandbox = start_sandbox("--authors", "40", "--latency", "50")
    crawler = Crawler(sandbox.base_url, "", "xingtu_sandbox", tmp_path)
    first = crawler.start("author_square", sort="FANS")
    second = crawler("author_square", sort="DEFAULT", endpoints="none")
    assert second.returncode == 0, second.stderr
    assert first.wait(PATIENCE_S) == 0
    found = crawler.scrapy("find", "author_base_info", "--limit", "0", "--lines")
    assert len(found.stdout.splitlines()) == 40, found.stderr


async def _details(mongo_db: Database) -> int:
    names = ("author_base_info", "author_marketing_info", "author_rec_videos", "author_video_distribution")
    return sum([await mongo_db[name].count_documents({}) for name in names])
