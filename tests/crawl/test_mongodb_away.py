"""MongoDB killed, stopped, gone for good: benchmarks/outage.py, scaled down; each test has its own mongod."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.crawling import LoneMongo, Place, faults
from benchmarks.outage import dead, gone_for_good, kill, lasting, silent, through_outages
from tests.harness import StartSandbox
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.sandbox.process import SandboxProcess

AUTHORS = 80


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> SandboxProcess:
    """A sandbox so slow that many calls are in flight when MongoDB goes away."""
    return start_sandbox("--authors", str(AUTHORS), "--latency", "50", "--jitter", "50", *faults(code_301=0.05))


@pytest.fixture
def where(sandbox: SandboxProcess, mongo_path: Path, tmp_path: Path) -> Iterator[Place]:
    """A place with its own MongoDB, which its keeper restarts when it dies."""
    with EmbeddedMongo(mongo_path / "mongo", min_free_bytes=0) as uri:
        yield Place(sandbox, uri, "away", tmp_path)


def test_a_mongod_that_is_killed_and_comes_back_costs_nothing(where: Place) -> None:
    daily_cap = {"XINGTU_DAILY_CALLS": "5000"}
    result = through_outages(where, authors=AUTHORS, outages=2, outage=kill, variables=daily_cap)
    print(result)
    assert result.broken() == []
    # A claim whose acknowledgement is lost is made again: the cap then counts too many calls, never too few.
    with where.documents() as database:
        day = database.daily_calls.find_one()
    assert day is not None
    calls = where.sandbox.ledger()["calls"]
    assert calls <= day["calls"] <= calls + 16 * len(result.outages)


def test_a_mongod_that_stands_still_costs_nothing(where: Place) -> None:
    result = through_outages(where, authors=AUTHORS, outages=1, outage=lasting(6, silent))
    print(result)
    assert result.broken() == []
    assert [each.away for each in result.outages] == [1]


@pytest.mark.parametrize("how", ["dead", "silent"])
def test_responses_while_mongodb_is_gone_for_good_are_spilled_and_loaded_first(
    sandbox: SandboxProcess, tmp_path: Path, how: str
) -> None:
    with (mongo := LoneMongo()) as uri:
        away = dead(mongo) if how == "dead" else silent
        where = Place(sandbox, uri, "away", tmp_path)
        result = gone_for_good(where, authors=AUTHORS, away=away, interrupt=False, patience=2)
    print(result)
    assert result.broken() == []
    assert result.close_reason == "storage_unavailable"


def test_an_interrupted_crawl_does_not_wait_for_mongodb(where: Place) -> None:
    result = gone_for_good(where, authors=AUTHORS, away=silent, interrupt=True)
    print(result)
    result.seconds = 0  # measured by the benchmark: it depends on the machine
    assert result.broken() == []
    assert result.close_reason == "shutdown"
