"""A whole crawl of a server that spoils every answer: nothing is raised, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from harness import Crawler
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.malformed import Fuzzer
from xingtu_crawler.api.endpoints import DETAILS, SEARCH

ANSWERS = 500


@asynccontextmanager
async def spoiling(bodies: dict[tuple[str, str], bytes]) -> AsyncIterator[str]:
    """Serve these bodies by path and star id; yields the base URL."""

    async def handle(request: web.BaseRequest) -> web.Response:
        path, _, query = request.path_qs.partition("?")
        body = bodies.get((path, dict(parse_qsl(query)).get("oAuthorId", "")))
        if body is None:
            return web.json_response({"code": 404, "message": "not found"})
        return web.Response(body=body, content_type="application/json")

    handler = web.Server(handle, access_log=None)
    server = await asyncio.get_running_loop().create_server(handler, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await handler.shutdown(1)


async def test_a_crawl_of_malformed_answers_keeps_every_one(
    mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    answers = [each for each in Fuzzer(seed=3, size=ANSWERS).answers(ANSWERS, huge=2) if each.endpoint != SEARCH.name]
    bodies = {(DETAILS[each.endpoint].path, each.star_id): each.body for each in answers}
    async with spoiling(bodies) as base_url:
        crawler = Crawler(base_url, mongo_uri, mongo_db.name, tmp_path)
        star_ids = ",".join(dict.fromkeys(each.star_id for each in answers))
        done = await asyncio.to_thread(
            crawler, "authors", star_ids=star_ids, settings={"XINGTU_MAX_ATTEMPTS": 2, "DOWNLOAD_TIMEOUT": 20}
        )
    assert done.returncode == 1  # not everything that was asked is there
    assert done.error_lines == []
    assert "Traceback" not in done.stderr
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert run["close_reason"] == "finished"
    failed = {(each["endpoint"], each["star_id"]) async for each in mongo_db.failures.find()}
    kept = {(each["request"]["endpoint"], each["star_id"]) async for each in mongo_db.quarantine.find()}
    stored = {
        (name, each["star_id"])
        for name, each_of in DETAILS.items()
        async for each in mongo_db[each_of.collection].find()
    }
    asked = {(each.endpoint, each.star_id) for each in answers}
    print(
        f"{len(asked)} malformed answers: {len(asked & stored)} documents, {len(asked & kept)} in quarantine, "
        f"{len(asked & failed - kept)} failures of another code"
    )
    assert asked <= stored | failed
    # What came with code 0, or could not be read, is kept as it came.
    readable = {key for key in asked - stored if key not in kept}
    codes = {(each["endpoint"], each["star_id"]): each["code"] async for each in mongo_db.failures.find()}
    assert all(codes[key] is not None for key in readable)
    assert min(len(asked & stored), len(asked & kept)) > 50
