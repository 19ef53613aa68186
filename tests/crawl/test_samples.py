"""A crawl of the documented samples: every leaf is in MongoDB, typed or raw."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import ROOT, Crawler, run
from tests.leaves import leaves, lost
from xingtu_crawler.api.endpoints import DETAILS, SEARCH

Database = AsyncDatabase[dict[str, Any]]
STAR_ID = "6629722295873044494"
SAMPLES = {
    name: json.loads((ROOT / "tests" / "data" / "samples" / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("author_search", *(endpoint.collection for endpoint in DETAILS.values()))
}
AUDIENCE_PATH = "/api/douyin-xingtu/gw/api/data_sp/author_audience_distribution/v1"
AUDIENCE = {"base_resp": {"status_code": 0, "status_message": ""}, "distributions": [{"type": 1, "share": "0.25"}]}


@pytest.fixture
async def api() -> AsyncIterator[TestServer]:
    """A server that responds with the documented samples."""

    def answer(document: Any) -> Any:
        async def handler(_: web.Request) -> web.Response:
            return web.json_response(document)

        return handler

    async def page(request: web.Request) -> web.Response:
        document = json.loads(json.dumps(SAMPLES["author_search"]))
        if request.query["page"] != "1":
            document["data"] |= {"authors": [], "pagination": {"has_more": False, "page": 2}}
        return web.json_response(document)

    app = web.Application()
    app.router.add_get(SEARCH.path, page)
    for endpoint in DETAILS.values():
        app.router.add_get(endpoint.path, answer(SAMPLES[endpoint.collection]))
    app.router.add_get(AUDIENCE_PATH, answer({"code": "0", "data": AUDIENCE}))
    server = TestServer(app)
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
def crawler(api: TestServer, mongo_uri: str, mongo_db: Database, tmp_path: Path) -> Crawler:
    return Crawler(str(api.make_url("")).rstrip("/"), mongo_uri, mongo_db.name, tmp_path)


async def test_every_leaf_of_the_samples_is_in_mongodb(crawler: Crawler, mongo_db: Database) -> None:
    details = await asyncio.to_thread(crawler, "authors", star_ids=STAR_ID)
    assert details.returncode == 0, details.stderr
    search = await asyncio.to_thread(crawler, "author_square", endpoints="none")
    # The provider has cut the JSON text of the sample.
    assert "1 of 1 answers of search have values that do not fit" in search.stderr
    assert search.returncode == 1
    covered = total = 0
    for name, sample in SAMPLES.items():
        document = await mongo_db[name if name != "author_search" else "authors"].find_one({})
        assert document is not None
        # The code is stored beside the data.
        assert document["crawl"]["code"] == sample["code"]
        raw, kept = sample["data"], document["data"]
        if name == "author_search":
            sweep = await mongo_db.sweeps.find_one({})
            assert sweep is not None
            meta = {key: value for key, value in raw.items() if key != "authors"}
            assert lost(meta, sweep["pages"]["1"]["said"], {}, zeros=False) == []
            total += len(leaves(meta))
            covered += len(leaves(meta))
            raw = raw["authors"][0]
        missing = lost(raw, kept, document["crawl"].get("unparsed", {}), zeros=name == "author_rec_videos")
        assert missing == [], name
        total += len(leaves(raw)) + 1
        covered += len(leaves(raw)) + 1 - len(missing)
    assert covered == total > 400


async def test_a_sixth_endpoint_is_one_entry_and_one_model(crawler: Crawler, mongo_db: Database) -> None:
    """An endpoint needs only a registry entry and a model: crawl, history and codebook follow."""
    (crawler.cwd / "sixth.py").write_text(
        f'''
import sys
from scrapy.cmdline import execute
from xingtu_crawler.api import endpoints
from xingtu_crawler.items.fields import Float, Int, about
from xingtu_crawler.items.payload import Part, Payload

endpoint = endpoints.Endpoint("audience", "{AUDIENCE_PATH}", "author_audience", "Audience Distribution (V1)")
endpoints.DETAILS[endpoint.name] = endpoint

class Share(Part):
    type: Int = about("Kind of distribution.")
    share: Float = about("Share, 0 to 1.")

class Audience(Payload, endpoint="audience"):
    distributions: list[Share | None] | None = about("Distributions.")

execute(["scrapy", *sys.argv[1:]])
''',
        encoding="utf-8",
    )
    words = ["-a", f"star_ids={STAR_ID}", "-a", "endpoints=audience,base_info"]
    command = [crawler.words("authors")[0], "sixth.py", "crawl", "authors", *words]
    done = await asyncio.to_thread(run, command, cwd=crawler.cwd, env=crawler.env())
    assert done.returncode == 0, done.stderr
    stored = await mongo_db.author_audience.find_one({})
    assert stored is not None
    assert stored["_id"] == f"{STAR_ID}:SHORT_VIDEO"
    assert stored["data"]["distributions"] == [{"type": 1, "share": 0.25}]
    assert await mongo_db.spells.count_documents({"entity": "author_audience", "current": True}) == 1
    pages = await asyncio.to_thread(
        run, [command[0], "sixth.py", "codebook", "pages"], cwd=crawler.cwd, env=crawler.env()
    )
    assert pages.returncode == 0, pages.stderr
    assert "Kind of distribution." in (crawler.cwd / "pages" / "author_audience.md").read_text(encoding="utf-8")
