"""The run record, without a crawl around it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from scrapy.utils.test import get_crawler

from xingtu_crawler.extensions.api_session import ApiSession
from xingtu_crawler.extensions.run_record import RunRecord
from xingtu_crawler.spiders.authors import AuthorsSpider

NOT_BEGUN, RUNNING, STOPPED = ((None, False), (1.0, True), (1.0, False))


@pytest.mark.parametrize(
    ("engine", "close_reason", "is_hurried"),
    [
        (NOT_BEGUN, None, False),  # what a crash has left may take a while to be made good
        (RUNNING, None, False),
        (STOPPED, None, True),
        (NOT_BEGUN, "storage_unavailable", True),
        (RUNNING, "max_calls", True),
    ],
)
def test_only_a_crawl_that_ends_is_in_a_hurry(
    tmp_path: Path, engine: tuple[float | None, bool], close_reason: str | None, is_hurried: bool
) -> None:
    settings = {
        "JUSTONEAPI_ENV": "sandbox",
        "XINGTU_DATA_DIR": str(tmp_path),
        "EXTENSIONS": {ApiSession: 0, RunRecord: 0},
    }
    crawler = get_crawler(AuthorsSpider, settings)
    crawler.engine = SimpleNamespace(start_time=engine[0], running=engine[1])  # type: ignore[assignment]
    ApiSession.of(crawler).close_reason = close_reason
    assert RunRecord.of(crawler)._is_hurried() is is_hurried
