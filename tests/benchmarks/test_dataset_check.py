"""The check of a dataset finds missing and duplicate documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.crawling import Place
from benchmarks.dataset_check import examine
from xingtu_crawler.sandbox.process import SandboxProcess


async def test_every_fault_of_a_dataset_is_counted(
    mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    with SandboxProcess.start(["--authors", "20"]) as sandbox:
        where = Place(sandbox, mongo_uri, mongo_db.name, tmp_path)
        assert where.crawl("author_square") == 0
        whole = examine(where, 20)
        assert whole.broken() == []
        assert whole.complete == 20

        shown = await mongo_db.author_rec_videos.find_one({"data.newest_videos.item_id": {"$exists": True}})
        assert shown is not None
        await mongo_db.videos.delete_one({"_id": shown["data"]["newest_videos"][0]["item_id"]})
        await mongo_db.author_base_info.delete_one({})
        twice = await mongo_db.author_marketing_info.find_one({})
        assert twice is not None
        await mongo_db.author_marketing_info.insert_one({**twice, "_id": "again"})
        found = examine(where, 20)
    assert (found.complete, found.unstored, found.duplicates, found.videos_missing) == (19, 1, 1, 1)
