"""A query that is crawled again and again, while what the API answers changes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.crawl.scripted import ScriptedApi, authors, full, serving
from tests.harness import Crawler, Finished

Database = AsyncDatabase[dict[str, Any]]

OF = 40
HOLLOW, ONCE, GROWN, TENTH = authors(0)[0], authors(1)[0], authors(2)[0], set(authors(10, 4))


def whole(star_id: str, follower: object = 5_000) -> dict[str, Any]:
    number = int(star_id)
    return {
        "id": star_id,
        "follower": follower,
        "nick_name": f"示例{number}",
        "city": "上海",
        "gender": 1,
        "status": 1,
        "sec_uid": f"s{number}",
        "short_id": str(number),
        "province": "上海",
        "grade": 2,
        "lowest_price": 100,
    }


class Days:
    """The base infos by day: 1 and 2 are alike, on day 3 two are hollow and one grows, on day 4 a field is missing."""

    def __init__(self) -> None:
        self.day = 1
        self.repeats: set[tuple[int, str]] = set()

    def __call__(self, star_id: str) -> dict[str, Any]:
        is_second = (self.day, star_id) in self.repeats
        self.repeats.add((self.day, star_id))
        if self.day == 3 and (star_id == HOLLOW or (star_id == ONCE and not is_second)):
            return {"id": star_id, "follower": 0, "city": ""}
        if self.day == 3 and star_id == GROWN:
            return whole(star_id, 9_000)
        info = whole(star_id)
        if self.day == 4 and star_id in TENTH:
            del info["follower"]
        return info


async def test_what_changed_is_said_and_nothing_is_lost(mongo_uri: str, mongo_db: Database, tmp_path: Path) -> None:
    days = Days()
    api = ScriptedApi(of=OF)
    api.base_info_of = days
    async with serving(api) as base_url:
        crawler = Crawler(base_url, mongo_uri, mongo_db.name, tmp_path)

        async def crawl(day: int) -> tuple[Finished, Mapping[str, Any]]:
            days.day = day
            api.details.clear()
            done = await asyncio.to_thread(crawler, "author_square", endpoints="base_info", max_age="0")
            run = await mongo_db.runs.find_one(sort=[("started_at", -1)])
            assert run is not None
            return done, run

        done, run = await crawl(1)
        assert (done.returncode, run["verdict"], run["findings"]) == (0, "complete", [])
        assert "Since the last crawl" not in done.stderr
        assert run["fields"]["endpoints"]["base_info"]["answers"] == OF
        assert [each["crawl"]["filled"] async for each in mongo_db.author_base_info.find()] == [11] * OF

        done, run = await crawl(2)
        assert (done.returncode, run["verdict"], run["findings"]) == (0, "complete", [])
        assert "Since the last crawl: 0 authors new, 0 gone, 0 of 40 changed" in done.stderr
        assert len(api.details) == OF

        done, run = await crawl(3)
        assert (done.returncode, run["verdict"]) == (1, "suspicious")
        found = {finding["kind"]: finding for finding in run["findings"]}
        assert set(found) == {"hollow_answers", "hollow_once"}
        assert found["hollow_answers"]["example"] == f"{HOLLOW} (SHORT_VIDEO)"
        assert len(api.details) == OF + 2
        assert "Since the last crawl: 0 authors new, 0 gone, 2 of 40 changed" in done.stderr
        # The good document is an ended spell; each first answer is in quarantine, and no replay brings it back.
        history = [each async for each in mongo_db.history.find()]
        assert {each["star_id"]: each["data"]["follower"] for each in history} == {HOLLOW: 5_000, GROWN: 5_000}
        assert await mongo_db.quarantine.distinct("star_id") == [HOLLOW, ONCE]
        replayed = await asyncio.to_thread(crawler.scrapy, "replay")
        assert replayed.returncode == 0, replayed.stderr
        assert await mongo_db.quarantine.count_documents({}) == 2
        once = await mongo_db.author_base_info.find_one({"star_id": ONCE})
        assert once is not None
        assert (once["data"]["follower"], once["crawl"]["spell"]) == (5_000, 1)

        done, run = await crawl(4)
        assert (done.returncode, run["verdict"]) == (1, "suspicious")
        (vanished,) = run["findings"]
        assert vanished["message"].startswith("base_info: follower is missing in 4 of 40 answers; in run ")
        assert vanished["example"] in TENTH

        days.day, api.of = 4, 7
        api.script = {number: full(number, of=7) for number in (1, 2)}
        done, run = await crawl(5)
        assert (done.returncode, run["verdict"]) == (1, "suspicious")
        (collapse, counted) = [finding for finding in run["findings"] if finding["kind"] == "collapsed"]
        assert "7 authors found now, 40 in sweep" in collapse["message"]
        assert "total_count is 7 now, 40 in sweep" in counted["message"]
        assert "Since the last crawl: 0 authors new, 33 gone," in done.stderr
