"""One crawl per day: benchmarks/history_days.py, scaled down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.crawling import Place
from benchmarks.history_days import crawl_days
from tests.harness import StartSandbox


def test_there_are_as_many_spells_as_changes(
    start_sandbox: StartSandbox, mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    sandbox = start_sandbox("--authors", "40")
    result = crawl_days(Place(sandbox, mongo_uri, mongo_db.name, tmp_path), days=5, authors=40)
    print(result)
    assert result.broken() == []
    assert set(result.expected) == set(result.entities)
    assert result.entities["authors"] == result.entities["author_rec_videos"] == 40
