"""No call beyond `max_calls` (benchmarks/budget.py) or the daily cap, counted by the sandbox's ledger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.budget import FAULTS, Spent, settled, spend
from benchmarks.crawling import IN_FLIGHT, Place, faults
from tests.harness import PATIENCE_S, Crawler, MakeCrawler, StartSandbox, wait_until

Database = AsyncDatabase[dict[str, Any]]

AUTHORS = 100


@pytest.mark.parametrize(
    ("spider", "max_calls"), [("author_square", 1), ("author_square", 100), ("authors", 7), ("authors", 200)]
)
def test_max_calls_is_exact_with_64_in_flight_and_a_fifth_failing(
    spider: str, max_calls: int, start_sandbox: StartSandbox, mongo_uri: str, tmp_path: Path
) -> None:
    latency = 2000 if max_calls > IN_FLIGHT else 500
    sandbox = start_sandbox("--authors", str(AUTHORS), "--latency", str(latency), "--jitter", "100", *FAULTS)
    where = Place(sandbox, mongo_uri, f"test_{uuid4().hex}", tmp_path)

    def make_fast() -> None:
        """Let the crawl have its maximum in flight before the first responses arrive; then respond fast."""
        most = min(max_calls, IN_FLIGHT)
        wait_until(lambda: crawl.done() or sandbox.ledger()["max_in_flight"] >= most)
        sandbox.control(latency=20, jitter=20)

    with ThreadPoolExecutor(1) as pool:
        crawl = pool.submit(spend, where, spider, max_calls, authors=AUTHORS)
        make_fast()
        spent = crawl.result()
    print(spent)
    # How many are in flight at once depends on the machine: the benchmark asserts it.
    assert replace(spent, in_flight=max(spent.in_flight, spent.least_in_flight)).broken() == []


def test_a_call_too_many_or_too_few_in_flight_is_broken() -> None:
    fine = Spent("authors", 100, 100, 100, 20, IN_FLIGHT, "max_calls", 0)
    assert fine.broken() == []
    assert len(replace(fine, calls=101, recorded=101).broken()) == 1
    assert len(replace(fine, in_flight=IN_FLIGHT - 1).broken()) == 1


async def test_processes_share_the_daily_cap_and_return_what_they_do_not_use(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    cap = 173
    sandbox = start_sandbox("--authors", str(AUTHORS), "--latency", "30", *faults(code_301=0.1, reset=0.05))
    settings = {"XINGTU_DAILY_CALLS": cap}
    crawler = make_crawler(sandbox)
    # The first crawl ends early and returns the rest of its share; then two crawls at once use up the day.
    assert crawler("author_square", max_calls=21, settings=settings).returncode == 0
    assert await _day(mongo_db) == settled(sandbox)["calls"] == 21
    other = tmp_path / "other"
    other.mkdir()
    second = Crawler(sandbox.base_url, crawler.mongo_uri, mongo_db.name, other)
    process = second.start("author_square", settings=settings, sort="FANS")
    first = crawler("author_square", settings=settings, sort="DEFAULT")
    assert (first.returncode, process.wait(PATIENCE_S)) == (0, 0)
    ledger = settled(sandbox)
    assert ledger["calls"] == await _day(mongo_db) == cap
    reasons = [run["close_reason"] async for run in mongo_db.runs.find(sort=[("started_at", 1)])]
    assert reasons == ["max_calls", "daily_calls", "daily_calls"]


async def _day(mongo_db: Database) -> int:
    days = await mongo_db.daily_calls.find().to_list()
    assert len(days) == 1
    return int(days[0]["calls"])
