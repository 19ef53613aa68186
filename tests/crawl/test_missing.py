"""What the dataset itself knows to be missing, failed or stale is streamed: benchmarks/missing.py in small."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from harness import StartSandbox
from pymongo import MongoClient

from benchmarks.crawling import Place
from benchmarks.missing import FEW, LATEST_FIRST_CALL_S, Streamed, broken, crawl, fill, missing
from xingtu_crawler.api.endpoints import DETAILS, Platform
from xingtu_crawler.sandbox.population import Population

AUTHORS = 20_000
WANTED = 50


pytestmark = pytest.mark.usefixtures("new_processes")  # the memory of a forked process is not that of a user's


@pytest.fixture
def many(start_sandbox: StartSandbox, mongo_uri: str, tmp_path: Path) -> Any:
    """A place for crawls of a large dataset."""
    where = Place(start_sandbox("--authors", str(AUTHORS)), mongo_uri, f"test_{uuid4().hex}", tmp_path)
    yield where
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client.drop_database(where.database)
        client.drop_database(f"{where.database}_few")


def test_missing_details_are_found_in_any_number_of_authors(many: Place, start_sandbox: StartSandbox) -> None:
    few = replace(many, sandbox=start_sandbox("--authors", str(FEW)), database=f"{many.database}_few")
    (of_few, *_), of_many = missing(few, FEW, WANTED), missing(many, AUTHORS, WANTED)
    print(of_few, *of_many, sep="\n")
    assert broken(of_few, of_many, WANTED) == []


def test_a_late_first_call_is_not_passed_over() -> None:
    few = Streamed(FEW, 0, WANTED, 0, peak_mb=80, first_call_s=1)
    late = Streamed(AUTHORS, 0, WANTED, 0, peak_mb=80, first_call_s=LATEST_FIRST_CALL_S + 0.1)
    assert broken(few, [few, few], WANTED) == []
    assert broken(few, [few, late], WANTED) == ["the first call comes within 10 s"]


def test_failed_and_stale_details_are_found_in_any_number_of_authors(many: Place) -> None:
    fill(many, AUTHORS)
    chance, population = random.Random(1), Population(seed=1, size=AUTHORS)
    chosen = [population.star_id(index) for index in chance.sample(range(AUTHORS), 2 * WANTED)]
    old = datetime.now(UTC) - timedelta(days=8)
    with many.documents() as database:
        failed = [
            {
                "_id": f"{endpoint}:{star_id}:{Platform.SHORT_VIDEO}",
                "endpoint": endpoint,
                "star_id": star_id,
                "platform": Platform.SHORT_VIDEO.value,
                "reason": "collection failed, please retry",
                "terminal": number >= WANTED,
                "failed_at": datetime.now(UTC),  # since they were answered
            }
            for number, star_id in enumerate(chosen)
            for endpoint in [chance.choice(list(DETAILS))]
        ]
        database.failures.insert_many(failed)
    of_failed = crawl(many, AUTHORS, failed=1)
    print("failed:", of_failed)
    assert (of_failed.exit_code, of_failed.calls) == (0, WANTED)
    with many.documents() as database:
        assert database.failures.count_documents({}) == WANTED  # those with nothing to be had
        for star_id in chosen[:WANTED]:
            endpoint = chance.choice(list(DETAILS.values()))
            aged = {"$set": {"crawl.fetched_at": old}}
            database[endpoint.collection].update_one({"_id": f"{star_id}:{Platform.SHORT_VIDEO}"}, aged)
    of_stale = crawl(many, AUTHORS, stale="7d")
    print("stale:", of_stale)
    assert (of_stale.exit_code, of_stale.calls) == (0, WANTED)
    assert crawl(many, AUTHORS, stale="7d").calls == 0
