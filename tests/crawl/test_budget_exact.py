"""No call beyond `max_calls` or the daily cap, whatever fails: the sandbox's ledger is the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness import Crawler, MakeCrawler, StartSandbox, wait_until
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.crawling import faults
from xingtu_crawler.sandbox.population import Population
from xingtu_crawler.sandbox.process import SandboxProcess

Database = AsyncDatabase[dict[str, Any]]

AUTHORS = 400
FAULTS = faults(code_301=0.1, code_500=0.04, reset=0.03, cut=0.02, timeout=0.01)


def _settled(sandbox: SandboxProcess) -> dict[str, Any]:
    """Return the ledger when every call has ended: one that timed out ends when its client has left."""
    seen: list[int] = [-1]

    def unchanged() -> bool:
        seen.append(sandbox.ledger()["calls"])
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    wait_until(unchanged)
    return sandbox.ledger()


@pytest.mark.parametrize("max_calls", [1, 7, 100, 1000])
@pytest.mark.parametrize("spider", ["author_square", "authors"])
async def test_max_calls_is_exact_with_64_in_flight_and_a_fifth_failing(
    spider: str, max_calls: int, start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    # So slow that 64 are in flight as soon as the pace has found out that nothing limits it.
    sandbox = start_sandbox("--authors", str(AUTHORS), "--latency", "500", "--jitter", "100", *FAULTS)
    population = Population(seed=1, size=AUTHORS)
    named: dict[str, Any] = {}
    if spider == "authors":
        named["star_ids"] = ",".join(population.star_id(index) for index in range(AUTHORS))
    crawler = make_crawler(sandbox)
    done = crawler(spider, max_calls=max_calls, settings={"DOWNLOAD_TIMEOUT": 2}, **named)
    assert done.returncode == 0, done.stderr
    ledger = _settled(sandbox)
    print(f"{spider}, max_calls={max_calls}: {ledger['calls']} calls, at most {ledger['max_in_flight']} in flight")
    assert ledger["calls"] == max_calls
    assert max_calls < 1000 or ledger["max_in_flight"] >= 48
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["close_reason"], run["calls"]["total"]) == ("max_calls", max_calls)


async def test_two_processes_share_the_daily_cap_and_give_back_what_they_did_not_use(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    cap = 333
    sandbox = start_sandbox("--authors", str(AUTHORS), "--latency", "30", *faults(code_301=0.1, reset=0.05))
    settings = {"XINGTU_DAILY_CALLS": cap}
    crawler = make_crawler(sandbox)
    # One that ends early by itself, and gives back; then two at once that use the day up.
    assert crawler("author_square", max_calls=21, settings=settings).returncode == 0
    assert await _day(mongo_db) == _settled(sandbox)["calls"] == 21
    other = tmp_path / "other"
    other.mkdir()
    second = Crawler(sandbox.base_url, crawler.mongo_uri, mongo_db.name, other)
    process = second.start("author_square", settings=settings, sort="FANS")
    first = crawler("author_square", settings=settings, sort="DEFAULT")
    assert (first.returncode, process.wait(timeout=60)) == (0, 0)
    ledger = _settled(sandbox)
    print(f"daily cap {cap}: {ledger['calls']} calls of 3 processes, counted {await _day(mongo_db)}")
    assert ledger["calls"] == await _day(mongo_db) == cap
    reasons = [run["close_reason"] async for run in mongo_db.runs.find(sort=[("started_at", 1)])]
    assert reasons == ["max_calls", "daily_calls", "daily_calls"]


async def _day(mongo_db: Database) -> int:
    days = await mongo_db.daily_calls.find().to_list()
    assert len(days) == 1
    return int(days[0]["calls"])
