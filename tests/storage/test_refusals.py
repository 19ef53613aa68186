"""Refusals: rare ones settle their questions at the end of a run, frequent ones do not."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.refusals import Refusals, is_refusal
from xingtu_crawler.verdict import Findings, Verdict

Database = AsyncDatabase[dict[str, Any]]

AT = datetime(2026, 3, 8, 12, tzinfo=UTC)


def failed(star_id: str | None, **changes: Any) -> FailedRequest:
    known: dict[str, Any] = {
        "endpoint": "base_info",
        "code": 404,
        "reason": "not found",
        "message": "",
        "request_id": None,
        "attempts": 1,
        "terminal": True,
        "failed_at": AT,
        "star_id": star_id,
        "platform": "SHORT_VIDEO",
    }
    return FailedRequest(**{**known, **changes})


class Bench:
    """The refusals of a run whose failures are in MongoDB."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.counts: Counter[str] = Counter()
        self.findings = Findings()
        self.refusals = Refusals(
            database,
            Outages(5),
            run_id="run",
            count=lambda what, count: self.counts.update({what: count}),
            findings=self.findings,
        )

    async def run(self, endpoint: str, *, requests: int, refused: int, run_id: str = "run") -> None:
        for number in range(requests):
            self.refusals.ended(endpoint)
            if number < refused:
                self.refusals.refused(failed(str(number), endpoint=endpoint))
                key = f"{endpoint}:{number}:SHORT_VIDEO"
                await self.database.failures.insert_one(
                    {"_id": key, "endpoint": endpoint, "code": 404, "terminal": False, "run_id": run_id}
                )

    async def settled(self, endpoint: str) -> int:
        return await self.database.failures.count_documents({"endpoint": endpoint, "terminal": True})


@pytest.mark.parametrize(("requests", "refused", "settled"), [(100, 10, 10), (100, 11, 0), (10, 1, 1), (9, 1, 0)])
async def test_refusals_settle_up_to_a_tenth_of_the_requests(
    mongo_db: Database, requests: int, refused: int, settled: int
) -> None:
    bench = Bench(mongo_db)
    await bench.run("base_info", requests=requests, refused=refused)
    assert await bench.settled("base_info") == 0  # a run that is killed now settles nothing
    await bench.refusals.settle()
    assert await bench.settled("base_info") == settled
    assert bench.counts == ({} if settled else {"failures/open": refused, "failures/terminal": -refused})


async def test_each_endpoint_is_judged_by_its_own_requests(mongo_db: Database) -> None:
    bench = Bench(mongo_db)
    await bench.run("base_info", requests=100, refused=2)
    await bench.run("rec_videos", requests=100, refused=100)
    await bench.refusals.settle()
    assert (await bench.settled("base_info"), await bench.settled("rec_videos")) == (2, 0)
    (found,) = bench.findings
    assert (found.kind, found.endpoint, found.count, found.severity) == (
        "refused_often",
        "rec_videos",
        100,
        Verdict.INCOMPLETE,
    )
    assert len(found.examples) == 20
    assert found.advice is not None
    listed = found.advice.partition("--filter '")[2].partition("'")[0]
    assert await mongo_db.failures.count_documents(json.loads(listed)) == 100
    assert bench.refusals.open_authors == {str(number) for number in range(100)}
    assert found.text == (
        "the API refused 100 of 100 requests for rec_videos (404 not found): none of them counts as unavailable"
    )


async def test_a_failure_that_another_run_has_recorded_since_stays(mongo_db: Database) -> None:
    bench = Bench(mongo_db)
    await bench.run("base_info", requests=100, refused=1, run_id="another run")
    await bench.refusals.settle()
    assert await bench.settled("base_info") == 0


async def test_settling_twice_changes_nothing(mongo_db: Database) -> None:
    bench = Bench(mongo_db)
    await bench.run("base_info", requests=2, refused=2)
    await bench.refusals.settle()
    await bench.refusals.settle()
    assert bench.counts == {"failures/open": 2, "failures/terminal": -2}


@pytest.mark.parametrize(
    ("request_", "is_one"),
    [
        (failed("1"), True),
        (failed("1", code=400), True),
        (failed("1", code=201), True),
        (failed("1", code=301, terminal=False), False),
        (failed("1", code=None, reason="too_large"), False),
        (failed("1", code=404, reason="quarantined"), False),
        (failed(None, sweep="sweep", page=1, platform=None), False),
    ],
)
def test_only_refused_details_are_refusals(request_: FailedRequest, is_one: bool) -> None:
    assert is_refusal(request_) is is_one
