"""Details that a machine with a wrong clock has dated in the future are fetched again, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import MakeCrawler, StartSandbox


async def test_details_of_the_future_are_fetched_again(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: AsyncDatabase[dict[str, Any]]
) -> None:
    sandbox = start_sandbox("--authors", "20")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", endpoints="base_info", max_authors=5).returncode == 0
    stars = ",".join([each["star_id"] async for each in mongo_db.author_base_info.find()])
    ahead = datetime.now(UTC) + timedelta(days=365)
    await mongo_db.author_base_info.update_many(
        {}, {"$set": {"crawl.fetched_at": ahead, "crawl.run_started_at": ahead}}
    )
    for calls in (5, 0):
        sandbox.control(reset_ledger=True)
        done = crawler("authors", star_ids=stars, endpoints="base_info")
        assert done.returncode == 0, done.stderr
        assert sandbox.ledger()["calls"] == calls
        said = "5 documents are dated in the future, as a clock was wrong: they are fetched again"
        assert done.stderr.count(said) == (1 if calls else 0)
    async for each in mongo_db.author_base_info.find():
        assert each["crawl"]["fetched_at"] < datetime.now(UTC)
        assert "dated_ahead" not in each["crawl"]
