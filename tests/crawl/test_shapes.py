"""Synthetic answers in the shapes of real ones, through whole crawls: no unknown field, no misfit, no false change."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import ROOT, Crawler
from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.items import parse
from xingtu_crawler.storage.collections import entities

Database = AsyncDatabase[dict[str, Any]]
SHAPES = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "tests" / "data" / "shapes").iterdir()
}
STAR_IDS = [author["star_id"] for author in SHAPES["search"]["data"]["authors"]]
NEWEST = "7618241190953751900"
"""A video of the first author that `last_10_items`, `items` and `newest_videos` show: three counts, two times."""


def answer_about(endpoint: str, star_id: str) -> Any:
    """Return the answer of a detail endpoint about one author, whose videos are its own."""
    document = json.loads(json.dumps(SHAPES[endpoint]))
    data = document["data"]
    if endpoint == "base_info":
        data["id"] = star_id
    for price in data.get("price_info", ()):
        price["author_id"] = star_id
    for name in data if endpoint == "rec_videos" else ():
        for video in data[name] if name.endswith("_videos") else ():
            video["item_id"] = str(int(video["item_id"]) + STAR_IDS.index(star_id))
    return document


@pytest.fixture
async def api() -> AsyncIterator[TestServer]:
    """A server that responds in the shapes, always the same."""

    async def page(request: web.Request) -> web.Response:
        return web.json_response(SHAPES["search"])

    def details(endpoint: str) -> Any:
        async def handler(request: web.Request) -> web.Response:
            return web.json_response(answer_about(endpoint, request.query["oAuthorId"]))

        return handler

    app = web.Application()
    app.router.add_get(SEARCH.path, page)
    for name, endpoint in DETAILS.items():
        app.router.add_get(endpoint.path, details(name))
    server = TestServer(app)
    await server.start_server()
    yield server
    await server.close()


async def test_three_crawls_make_one_spell_per_entity(
    api: TestServer, mongo_uri: str, mongo_db: Database, tmp_path: Path
) -> None:
    crawler = Crawler(str(api.make_url("")).rstrip("/"), mongo_uri, mongo_db.name, tmp_path)
    for _ in range(3):
        done = await asyncio.to_thread(crawler, "author_square", max_age=0)
        assert done.returncode == 0, done.stderr
    unknown: Counter[str] = Counter()
    unparsed: Counter[str] = Counter()
    spells: Counter[str] = Counter()
    for name in entities():
        async for document in mongo_db[name].find():
            unknown.update(document["crawl"].get("unknown_fields", ()))
            unparsed.update(document["crawl"].get("unparsed", ()))
            spells[name] = max(spells[name], document["crawl"]["spell"])
    print(f"unknown fields {dict(unknown)}, misfits {dict(unparsed)}, most spells of an entity {dict(spells)}")
    assert (unknown, unparsed) == (Counter(), Counter())
    assert spells == dict.fromkeys(entities(), 1)
    assert await mongo_db.history.count_documents({}) == 0
    assert await mongo_db.quarantine.count_documents({}) == 0
    video = await mongo_db.videos.find_one({"_id": NEWEST})
    assert video is not None
    data = video["data"]
    assert (data["play_in_last_10"], data["play_in_rec"], data["play_in_items"]) == (3_600_000, 3_700_000, 2_983_000)
    assert (data["play"], data["play_from"]) == (3_600_000, "play_in_last_10")
    assert data["created_at"] == data["published_at"] == datetime.fromtimestamp(1_773_760_008, UTC)
    masterpiece = await mongo_db.videos.find_one({"_id": "7590495702220910866"})
    assert masterpiece is not None
    # No search shows its time: that of the recommended videos, without the 8 hours.
    assert masterpiece["data"]["created_at"] == datetime.fromtimestamp(1_767_328_810, UTC) - timedelta(hours=8)
    assert (masterpiece["data"]["play"], masterpiece["data"]["play_in_items"]) == (20_903_999, 20_903_445)


def test_only_guessed_names_of_2025_are_unknown() -> None:
    (author,) = SHAPES["search_2025_extra_fields"]["data"]["authors"]

    parsed = parse("search", author, star_id=None)

    assert parsed.unparsed == {}
    guessed = {name.removeprefix("attribute_datas.") for name in parsed.unknown_fields}
    assert guessed == set(author["attribute_datas"]) & guessed
    assert all(name.endswith(("_90d", "_cpm", "_cpe", "_price_list")) for name in guessed), guessed


def test_ordinary_attributes_are_numbers_flags_and_lists() -> None:
    author = SHAPES["search"]["data"]["authors"][0]

    data = parse("search", author, star_id=None).data

    figures = data["attribute_datas"]
    assert (figures["vv_median_30d"], figures["burst_text_rate"], figures["assign_cpm_suggest_price"]) == (
        5151193.5,
        0.75,
        24.0,
    )
    assert (figures["is_ad_star_cur_high_quality_author"], figures["playlet_author_types"]) == (False, [3])
    assert figures["last_10_items"][1]["item_publish_time"] == datetime.fromtimestamp(1_773_680_191, UTC)
    (per_1000,) = [price for price in data["task_infos"][0]["price_infos"] if price["video_type"] == 92]
    assert per_1000["price_extra_info"] == {"ceiling_price": 140000, "floor_price": 14000}
