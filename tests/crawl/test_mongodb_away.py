"""MongoDB killed, stopped, gone for good: benchmarks/outage.py in small, each with a mongod of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import StartSandbox

from benchmarks.crawling import Place, faults
from benchmarks.outage import AWAY, BACK, gone_for_good, kill, stop_for, through_outages
from xingtu_crawler.storage.embedded import EmbeddedMongo

AUTHORS = 80


@pytest.fixture
def where(start_sandbox: StartSandbox, tmp_path: Path) -> Iterator[Place]:
    """A crawl's place with a MongoDB that no other test uses."""
    sandbox = start_sandbox("--authors", str(AUTHORS), "--latency", "50", "--jitter", "50", *faults(code_301=0.05))
    with EmbeddedMongo(tmp_path / "mongo", min_free_bytes=0) as uri:
        yield Place(sandbox, uri, "away", tmp_path)


def test_a_mongod_that_is_killed_and_comes_back_costs_nothing(where: Place) -> None:
    daily_cap = {"XINGTU_DAILY_CALLS": "5000"}
    result = through_outages(where, authors=AUTHORS, outages=2, outage=kill, variables=daily_cap)
    print(result)
    assert result.broken() == []
    assert result.outages == 2
    # A claim whose acknowledgement was lost is made again: the cap counts too much then, never too little.
    with where.documents() as database:
        day = database.daily_calls.find_one()
    assert day is not None
    calls = where.sandbox.ledger()["calls"]
    assert calls <= day["calls"] <= calls + 16 * result.outages


def test_a_mongod_that_stands_still_costs_nothing(where: Place) -> None:
    result = through_outages(where, authors=AUTHORS, outages=1, outage=stop_for(6))
    print(result)
    assert result.broken() == []
    log = where.log.read_bytes()
    assert (log.count(AWAY), log.count(BACK)) == (1, 1)


def test_what_is_answered_while_mongodb_is_gone_for_good_is_spilled_and_loaded_first(where: Place) -> None:
    result = gone_for_good(where, authors=AUTHORS, interrupt=False, patience=2)
    print(result)
    assert result.broken() == []
    assert result.close_reason == "storage_unavailable"


def test_an_interrupted_crawl_does_not_wait_for_mongodb(where: Place) -> None:
    result = gone_for_good(where, authors=AUTHORS, interrupt=True)
    print(result)
    assert result.broken() == []
    assert result.close_reason == "shutdown"
