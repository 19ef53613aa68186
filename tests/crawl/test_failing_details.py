"""Details that fail: what a failing API costs, what stays open, and what the same command does next."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pymongo.asynchronous.database import AsyncDatabase

from tests.crawl.scripted import full
from tests.harness import Crawler, Finished
from xingtu_crawler.api.endpoints import DETAILS, SEARCH

Database = AsyncDatabase[dict[str, Any]]

AUTHORS = 60
DATA: dict[str, dict[str, Any]] = {
    "base_info": {},
    "marketing_info": {"price_info": []},
    "rec_videos": {"newest_videos": []},
    "video_distribution": {"video_content_distribution": []},
}
OF_ENDPOINT = {endpoint.path: name for name, endpoint in DETAILS.items()}


class FailingApi:
    """A flawless search of 60 authors, and details that fail at the endpoints in `failing`, in the way of `fault`."""

    def __init__(self) -> None:
        self.fault = "301"
        self.failing = set(DETAILS)
        self.refused: set[str] = set()
        """The authors of whom the API has no details (404)."""
        self.calls: Counter[str] = Counter()

    async def search(self, request: web.Request) -> web.Response:
        self.calls["search"] += 1
        return web.json_response(full(int(request.query["page"]), of=AUTHORS))

    async def details(self, request: web.Request) -> web.StreamResponse:
        endpoint = OF_ENDPOINT[request.path]
        self.calls[endpoint] += 1
        star_id = request.query["oAuthorId"]
        if star_id in self.refused:
            return web.json_response({"code": 404, "message": "no such author", "data": None})
        if endpoint not in self.failing:
            return web.json_response({"code": 0, "data": DATA[endpoint] or {"id": star_id}})
        match self.fault:
            case "inner":
                return web.json_response({"code": 0, "data": {"base_resp": {"status_code": 10005}}})
            case "timeout":
                await asyncio.sleep(60)
            case "firewall":
                return web.Response(status=403, text="<html>Forbidden</html>", content_type="text/html")
            case "redirect":
                return web.Response(status=302, headers={"Location": "/"})
        return web.json_response({"code": int(self.fault), "message": "as scripted", "data": None})


@pytest.fixture
def api() -> FailingApi:
    return FailingApi()


@pytest.fixture
async def crawler(api: FailingApi, mongo_uri: str, mongo_db: Database, tmp_path: Path) -> AsyncIterator[Crawler]:
    app = web.Application()
    app.router.add_get(SEARCH.path, api.search)
    for path in OF_ENDPOINT:
        app.router.add_get(path, api.details)
    server = TestServer(app)
    await server.start_server()
    yield Crawler(str(server.make_url("")).rstrip("/"), mongo_uri, mongo_db.name, tmp_path)
    await server.close()


async def crawl(crawler: Crawler, **settings: Any) -> Finished:
    return await asyncio.to_thread(crawler, "author_square", settings=settings)


async def documents(database: Database) -> int:
    return sum([await database[each.collection].count_documents({}) for each in DETAILS.values()])


async def last_run(database: Database) -> dict[str, Any]:
    run = await database.runs.find_one({}, sort=[("started_at", -1)])
    assert run is not None
    return run


@pytest.mark.parametrize("fault", ["301", "inner", "timeout", "firewall", "redirect"])
async def test_details_that_always_fail_cost_at_most_300_calls(
    api: FailingApi, crawler: Crawler, mongo_db: Database, fault: str
) -> None:
    api.fault = fault
    done = await crawl(crawler, DOWNLOAD_TIMEOUT=1)
    assert done.returncode == 1
    assert api.calls.total() <= 300, api.calls
    run = await last_run(mongo_db)
    assert (run["close_reason"], run["verdict"]) == ("api_failing", "incomplete")
    assert {"endpoint_failing"} <= {found["kind"] for found in run["findings"]}
    # The same command asks for everything that is missing, when the API works again.
    api.failing = set()
    done = await crawl(crawler)
    assert done.returncode == 0, done.stderr
    assert await documents(mongo_db) == 4 * AUTHORS
    assert await mongo_db.failures.count_documents({}) == 0


async def test_one_failing_endpoint_of_four_costs_at_most_100_calls(
    api: FailingApi, crawler: Crawler, mongo_db: Database
) -> None:
    api.failing = {"base_info"}
    done = await crawl(crawler)
    assert done.returncode == 1
    assert api.calls["base_info"] <= 100
    assert [api.calls[name] for name in DETAILS if name != "base_info"] == [AUTHORS] * 3
    assert (await last_run(mongo_db))["close_reason"] == "api_failing"
    warned = [line for line in done.stderr.splitlines() if "attempts in a row have failed, the last one" in line]
    assert len([line for line in warned if "WARNING" in line and "It is paused" in line]) == 1
    api.failing = set()
    done = await crawl(crawler)
    assert done.returncode == 0, done.stderr
    assert api.calls["rec_videos"] == AUTHORS  # what is there is not paid for again
    assert await documents(mongo_db) == 4 * AUTHORS


async def test_a_few_refused_authors_leave_the_run_complete_and_are_not_requested_again(
    api: FailingApi, crawler: Crawler, mongo_db: Database
) -> None:
    api.failing, api.refused = set(), {"10003", "10007"}
    done = await crawl(crawler)
    assert done.returncode == 0, done.stderr
    assert await mongo_db.failures.count_documents({"terminal": True}) == 8
    calls = api.calls["base_info"]
    await crawl(crawler)
    assert api.calls["base_info"] == calls


async def test_many_refused_authors_stay_open(api: FailingApi, crawler: Crawler, mongo_db: Database) -> None:
    api.failing, api.refused = set(), {str(10_000 + number) for number in range(0, AUTHORS, 6)}
    done = await crawl(crawler)
    assert done.returncode == 1
    run = await last_run(mongo_db)
    assert (run["verdict"], run["failures"]["open"], run["failures"]["terminal"]) == ("incomplete", 40, 0)
    assert "refused_often" in {found["kind"] for found in run["findings"]}
    api.refused = set()
    done = await crawl(crawler)
    assert done.returncode == 0, done.stderr
    assert api.calls["base_info"] == AUTHORS + 10
    assert await documents(mongo_db) == 4 * AUTHORS
