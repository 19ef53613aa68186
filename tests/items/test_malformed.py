"""Malformed answers end as documents or in quarantine: benchmarks/malformed.py in small; hypothesis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.fuzzer import Fuzzer, Malformed, says_failure
from benchmarks.malformed import feed
from xingtu_crawler.api.endpoints import DETAILS, SEARCH

Database = AsyncDatabase[dict[str, Any]]

TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        "id",
        "follower",
        "price_info",
        "newest_videos",
        "video_content_distribution",
        "authors",
        "pagination",
        "base_resp",
    ]
)
PAYLOADS = JSON | st.dictionaries(FIELDS | TEXT, JSON, max_size=5)
ENVELOPES = st.fixed_dictionaries(
    {"code": st.just(0) | JSON, "data": PAYLOADS}, optional={"message": JSON, "recordTime": JSON, "requestId": JSON}
)
BODIES = st.binary(max_size=60) | (JSON | ENVELOPES).map(lambda value: json.dumps(value).encode())


async def test_answers_that_are_spoiled_in_every_way(mongo_uri: str, mongo_db: Database) -> None:
    answers = Fuzzer(seed=2, size=600).answers(600, huge=3)
    result = await feed(mongo_uri, mongo_db.name, answers)
    print(result)
    assert result.broken() == []
    assert result.by_kind.total() == 600
    # The ways of being spoiled were there, and so were the places to end.
    assert len(result.by_kind) == 14
    assert min(result.by_place["document"], result.by_place["quarantine"]) > 120


def test_malformed_answers_of_the_fuzzer(mongo_uri: str) -> None:
    found: list[Malformed] = []

    @given(st.sampled_from([*DETAILS, SEARCH.name]), BODIES)
    @settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def collect(endpoint: str, body: bytes) -> None:
        found.append(Malformed("any", endpoint, str(10**18 + len(found)), len(found) + 1, body, says_failure(body)))

    collect()
    result = asyncio.run(_feed(mongo_uri, iter(found)))
    print(result)
    assert result == []
    assert len(found) >= 400


async def _feed(uri: str, answers: Iterator[Malformed]) -> list[str]:
    from pymongo import AsyncMongoClient

    try:
        return (await feed(uri, "test_malformed", answers)).broken()
    finally:
        async with AsyncMongoClient[dict[str, Any]](uri) as client:
            await client.drop_database("test_malformed")
