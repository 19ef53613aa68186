"""A bug in this project, put in on purpose: paid responses that hit it are kept raw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import ROOT, MakeCrawler, StartSandbox, run

Database = AsyncDatabase[dict[str, Any]]

DEFECTIVE = """
from xingtu_crawler.items.marketing_info import MarketingInfo
from xingtu_crawler.settings import *
from xingtu_crawler.storage import videos


def identify(cls, payload, star_id):
    raise ZeroDivisionError("a defect in a model")


def video(fact, *args, **kwargs):
    if fact.sources[0].startswith("rec_videos"):
        raise RecursionError("a defect in a write")
    return real(fact, *args, **kwargs)


MarketingInfo.identify = classmethod(identify)
real, videos.video = videos.video, video
"""


async def test_responses_that_hit_a_bug_are_kept_and_replayed_without_a_call(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    sandbox = start_sandbox("--authors", "10")
    crawler = make_crawler(sandbox)
    (tmp_path / "defective.py").write_text(DEFECTIVE)
    variables = crawler.env(SCRAPY_SETTINGS_MODULE="defective", PYTHONPATH=f"{ROOT}:{tmp_path}")
    done = run(crawler.words("author_square"), cwd=tmp_path, env=variables)
    assert done.returncode == 1
    kept = [(each["request"]["endpoint"], each["reason"]) async for each in mongo_db.quarantine.find()]
    assert kept.count(("marketing_info", "ZeroDivisionError: a defect in a model")) == 10
    with_videos = kept.count(("rec_videos", "RecursionError: a defect in a write"))
    assert with_videos > 0
    assert len(kept) == 10 + with_videos
    assert await mongo_db.author_rec_videos.count_documents({}) == 10 - with_videos
    assert await mongo_db.failures.count_documents({"reason": "quarantined"}) == len(kept)
    assert sum("kept as it came" in line for line in done.error_lines) == len(kept)
    answered = sandbox.ledger()["answered"]
    assert answered == 41

    # Without the bug:
    assert crawler.scrapy("replay").returncode == 0
    assert await mongo_db.author_marketing_info.count_documents({}) == 10
    assert await mongo_db.author_rec_videos.count_documents({}) == 10
    assert await mongo_db.quarantine.count_documents({}) == await mongo_db.failures.count_documents({}) == 0
    assert sandbox.ledger()["answered"] == answered
