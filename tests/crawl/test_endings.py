"""Crawls that end early: by Scrapy's own limits, one Ctrl-C, two Ctrl-C; and an API that restarts."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.crawling import IN_FLIGHT, NOT_DURABLE
from tests.crawl.witness import refused, witness
from tests.harness import PATIENCE_S, Crawler, MakeCrawler, StartSandbox, wait_until
from xingtu_crawler.sandbox.options import Config
from xingtu_crawler.sandbox.process import SandboxProcess
from xingtu_crawler.sandbox.server import Sandbox

Database = AsyncDatabase[dict[str, Any]]
AN_HOUR_S = 3600
"""The latency of calls that never get a response, and the timeout of a crawl that waits for them."""
DETAILS = ("author_base_info", "author_marketing_info", "author_rec_videos", "author_video_distribution")


async def test_scrapys_own_limits_stop_waiting_requests(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "200")
    # At two calls per second, nearly all requests in the downloader wait for their turn.
    done = make_crawler(sandbox)("author_square", settings={"CLOSESPIDER_PAGECOUNT": 4, "XINGTU_MAX_RATE": 2})
    assert done.returncode == 1, done.stderr
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["state"], run["close_reason"]) == ("ended", "closespider_pagecount")
    assert sandbox.ledger()["calls"] == run["calls"]["total"] <= 5
    assert await _details(mongo_db) + run["calls"]["by_endpoint"]["search"]["0"] == sandbox.ledger()["answered"]
    assert await mongo_db.failures.count_documents({}) == 0


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        (("--fault", "timeout=1"), {"DOWNLOAD_TIMEOUT": 2}),  # no call gets a response
        ((), {"XINGTU_MAX_RATE": 0.5}),  # the queue would take minutes
    ],
)
async def test_an_interrupted_crawl_waits_only_for_calls_in_flight(
    options: tuple[str, ...],
    limits: dict[str, object],
    start_sandbox: StartSandbox,
    make_crawler: MakeCrawler,
    mongo_db: Database,
) -> None:
    assert make_crawler(start_sandbox("--authors", "200"))("author_square", endpoints="none").returncode == 0
    sandbox = start_sandbox("--authors", "200", *options)
    process = make_crawler(sandbox).start("authors", missing=1, settings=limits)
    wait_until(lambda: _begun(sandbox) >= 1 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_S)
    assert process.returncode == 1
    run = await mongo_db.runs.find_one(sort=[("started_at", -1)])
    assert run is not None
    assert (run["state"], run["close_reason"]) == ("ended", "shutdown")
    assert run["calls"]["total"] <= IN_FLIGHT
    assert await mongo_db.failures.count_documents({}) == 0


async def test_a_second_ctrl_c_ends_at_once_and_leaves_nothing_half_done(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "100", "--latency", "300")
    crawler = make_crawler(sandbox)
    process = crawler.start("author_square", settings={"DOWNLOAD_TIMEOUT": AN_HOUR_S})
    wait_until(lambda: sandbox.ledger()["answered"] >= 100 or process.poll() is not None)
    sandbox.control(latency=AN_HOUR_S * 1000)
    ended: list[int] = []

    def all_hang() -> bool:
        ended.append(sandbox.ledger()["calls"])
        return len(ended) > 10 and ended[-1] == ended[-10]

    wait_until(all_hang)
    _interrupt_twice(process, crawler.cwd / "crawl.log")
    assert process.wait(PATIENCE_S) == 1
    # Stored documents are complete, and the same command fetches the rest.
    for collection in DETAILS:
        assert await mongo_db[collection].count_documents({"crawl.content_hash": {"$exists": False}}) == 0
    sandbox.control(latency=0)
    done = crawler("author_square")
    assert done.returncode == 0, done.stderr
    assert await mongo_db.authors.count_documents({}) == 100
    assert await _details(mongo_db) == 400
    assert sandbox.ledger()["answered_twice"] <= NOT_DURABLE
    assert await mongo_db.sweeps.count_documents({}) == 1


async def test_the_terminal_has_its_cursor_back_after_a_second_ctrl_c(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler
) -> None:
    sandbox = start_sandbox("--authors", "100", "--latency", str(AN_HOUR_S * 1000))
    crawler = make_crawler(sandbox)
    master, slave = pty.openpty()
    with (crawler.cwd / "output.txt").open("w") as output:
        process = subprocess.Popen(
            crawler.words("author_square", {"DOWNLOAD_TIMEOUT": AN_HOUR_S}),
            cwd=crawler.cwd,
            env=crawler.env(TERM="xterm", COLUMNS="200"),
            stdout=output,
            stderr=slave,
            start_new_session=True,
        )
    os.close(slave)
    os.set_blocking(master, False)
    shown = bytearray()

    def has_shown(text: bytes) -> bool:
        try:
            while more := os.read(master, 65_536):
                shown.extend(more)
        except OSError:  # nothing to read now, or the other end is closed
            pass
        return text in shown

    wait_until(lambda: has_shown(b" calls (") or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: has_shown(b"shutting down gracefully") or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_S)
    wait_until(lambda: has_shown(b"\x1b[?25l"))
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")
    os.close(master)


class Restarting:
    """A sandbox in this process that can stop listening and start again on the same port."""

    def __init__(self, authors: int) -> None:
        self._sandbox = Sandbox(Config(authors=authors))
        self.ledger = self._sandbox.state.ledger
        self.port = 0

    async def up(self) -> None:
        self._handler = web.Server(self._sandbox.handle, access_log=None, handler_cancellation=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._handler, "127.0.0.1", self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        self._server.close()
        await self._handler.shutdown(0.1)


async def test_a_restart_of_the_api_costs_nothing(mongo_uri: str, mongo_db: Database, tmp_path: Path) -> None:
    api = Restarting(200)
    await api.up()
    crawler = Crawler(f"http://127.0.0.1:{api.port}", mongo_uri, mongo_db.name, tmp_path)
    process = crawler.start("author_square", settings={**witness(tmp_path), "XINGTU_MAX_ATTEMPTS": 4})

    async def until(holds: Callable[[], bool]) -> None:
        await asyncio.to_thread(wait_until, lambda: holds() or process.poll() is not None)

    await until(lambda: api.ledger.summary()["answered"] >= 100)
    await api.down()
    await until(lambda: refused(tmp_path) >= 4)
    await api.up()
    assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0, (tmp_path / "crawl.log").read_text()
    await api.down()
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert run["close_reason"] == "finished"
    assert await mongo_db.failures.count_documents({}) == 0
    assert await _details(mongo_db) == 800
    assert api.ledger.summary()["answered_twice"] <= NOT_DURABLE


def _interrupt_twice(process: subprocess.Popen[str], log: Path) -> None:
    process.send_signal(signal.SIGINT)
    wait_until(lambda: b"shutting down gracefully" in log.read_bytes() or process.poll() is not None)
    process.send_signal(signal.SIGINT)


def _begun(sandbox: SandboxProcess) -> int:
    ledger = sandbox.ledger()
    return int(ledger["calls"]) + int(ledger["max_in_flight"])


async def _details(mongo_db: Database) -> int:
    return sum([await mongo_db[name].count_documents({}) for name in DETAILS])
