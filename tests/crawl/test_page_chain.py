"""The order of pages and details: pages do not run ahead of the details, and the details do not run out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import Crawler, MakeCrawler, StartSandbox
from xingtu_crawler.api.endpoints import SEARCH
from xingtu_crawler.sandbox.options import Config
from xingtu_crawler.sandbox.server import Sandbox
from xingtu_crawler.spiders.base import AHEAD

Database = AsyncDatabase[dict[str, Any]]
PER_PAGE = 20 * 4
IN_FLIGHT = 8


async def test_one_call_at_a_time_is_enough(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> None:
    sandbox = start_sandbox("--authors", "40")
    done = make_crawler(sandbox)("author_square", settings={"CONCURRENT_REQUESTS": 1})
    assert done.returncode == 0, done.stderr
    ledger = sandbox.ledger()
    assert (ledger["calls"], ledger["max_in_flight"]) == (2 + 40 * 4, 1)


async def test_a_page_is_fetched_while_the_details_of_the_one_before_are(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler
) -> None:
    sandbox = start_sandbox("--authors", "100", "--latency", "5")
    done = make_crawler(sandbox)("author_square", settings={"CONCURRENT_REQUESTS": IN_FLIGHT})
    assert done.returncode == 0, done.stderr

    details_before: dict[int, int] = {}
    details = 0
    for call in sandbox.calls():
        if call["endpoint"] == "search":
            details_before[call["page"]] = details
        else:
            details += 1
    assert list(details_before) == [1, 2, 3, 4, 5]
    for page in (3, 4, 5):
        known = (page - 1) * PER_PAGE
        assert details_before[page] < known, "details are left to fetch while the page is fetched"
        assert details_before[page] >= known - AHEAD * IN_FLIGHT, "the page does not run ahead"


class Gate:
    """A sandbox that holds all detail requests until this many are in flight."""

    def __init__(self, opens_at: int) -> None:
        self.most = 0
        self._in_flight = 0
        self._opens_at = opens_at
        self._is_open = asyncio.Event()
        self._sandbox = Sandbox(Config(authors=100))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._in_flight += 1
        self.most = max(self.most, self._in_flight)
        try:
            if self._in_flight == self._opens_at:
                self._is_open.set()
            if request.path != SEARCH.path:
                await self._is_open.wait()
            return await self._sandbox.handle(request)
        finally:
            self._in_flight -= 1


async def test_concurrent_requests_are_in_flight(mongo_uri: str, mongo_db: Database, tmp_path: Path) -> None:
    gate = Gate(80)
    handler = web.Server(gate.handle, access_log=None, handler_cancellation=True)
    server = await asyncio.get_running_loop().create_server(handler, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    crawler = Crawler(base_url, mongo_uri, mongo_db.name, tmp_path)
    done = await asyncio.to_thread(crawler, "author_square", settings={"CONCURRENT_REQUESTS": 80})
    server.close()
    await handler.shutdown(1)
    assert done.returncode == 0, done.stderr
    assert gate.most == 80
