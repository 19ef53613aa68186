"""A whole crawl of a server that spoils every response: benchmarks/malformed.py, scaled down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.crawling import Place
from benchmarks.fuzzer import Fuzzer
from benchmarks.malformed import crawl
from tests.harness import StartSandbox
from xingtu_crawler.api.endpoints import DETAILS

ANSWERS = 400


async def test_a_crawl_of_malformed_responses_keeps_all_of_them(
    start_sandbox: StartSandbox, mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    answers = list(Fuzzer(seed=3, size=ANSWERS).answers(ANSWERS, huge=2, endpoints=tuple(DETAILS)))
    result = await crawl(Place(start_sandbox(), mongo_uri, mongo_db.name, tmp_path), answers)
    print(result)
    assert result.broken() == []
    assert result.by_place.total() == ANSWERS
    assert min(result.by_place["document"], result.by_place["quarantine"]) > 50
    # Well-formed answers that tell of a failure are failures with their code.
    assert result.other["failures"] > 0
    assert await mongo_db.failures.count_documents({"code": None}) == await mongo_db.quarantine.count_documents(
        {"reason": {"$in": ["malformed", "too_deep", "too_large"]}}
    )
