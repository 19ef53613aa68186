"""Collapse: a sweep against the last finished sweep of its query."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.items.answers import Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collapse import EndedSweep, compare
from xingtu_crawler.storage.sweeps import Sweeps
from xingtu_crawler.storage.writer import BulkWriter
from xingtu_crawler.verdict import Findings, Verdict

Database = AsyncDatabase[dict[str, Any]]

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)


@pytest.fixture
def sweeps(mongo_db: Database) -> Sweeps:
    return Sweeps(mongo_db, BulkWriter(mongo_db, Outages(5)), Outages(5))


async def finish(
    sweeps: Sweeps,
    authors: int,
    *,
    total: int | None = None,
    days_ago: int = 7,
    reason: str = "no_more_pages",
    query_key: str = "q",
    complete: bool = True,
) -> str:
    """Record a sweep of some days ago that has ended; return its `_id`."""
    at, sweep = NOW - timedelta(days=days_ago), f"{query_key}-{days_ago}"
    await sweeps.start(sweep, query_key=query_key, filters={}, run_id="r", started_at=at)
    page = SearchPage(1, 20, False, authors if total is None else total, [{}], {})
    await sweeps.page_read(sweep, 1, page, request_id="r", fetched_at=at, stop=Stop(reason))
    await sweeps.finish(sweep, stop=Stop(reason), authors=authors, fewer=None, finished_at=at, complete=complete)
    return sweep


def ended(authors: int, *, total: int | None = None, is_whole: bool = True) -> EndedSweep:
    return EndedSweep("q-0", "q", "keyword=美食", authors, authors if total is None else total, is_whole)


async def collapsed(sweeps: Sweeps, sweep: EndedSweep, *, share: float = 0.5) -> list[str]:
    findings = Findings()
    await compare(sweeps, sweep, findings, share=share)
    assert {found.severity for found in findings} <= {Verdict.SUSPICIOUS}
    return sorted(found.text for found in findings)


async def test_a_collapse_is_reported_with_both_figures(sweeps: Sweeps) -> None:
    before = await finish(sweeps, 144)
    assert await collapsed(sweeps, ended(7)) == [
        f"keyword=美食: 7 authors found now, 144 in sweep {before} of 2026-03-01",
        f"keyword=美食: total_count is 7 now, 144 in sweep {before} of 2026-03-01",
    ]


@pytest.mark.parametrize(
    ("authors", "is_collapse"), [(388, False), (200, False), (199, True), (0, True), (4_000, False)]
)
async def test_less_than_half_is_a_collapse(sweeps: Sweeps, authors: int, is_collapse: bool) -> None:
    await finish(sweeps, 400)
    assert bool(await collapsed(sweeps, ended(authors))) is is_collapse


async def test_the_share_is_a_setting(sweeps: Sweeps) -> None:
    await finish(sweeps, 400)
    assert await collapsed(sweeps, ended(300), share=0.8)
    assert await collapsed(sweeps, ended(0), share=0.0) == []


async def test_a_few_authors_are_no_collapse(sweeps: Sweeps) -> None:
    await finish(sweeps, 4)
    assert await collapsed(sweeps, ended(0)) == []


async def test_a_first_sweep_has_nothing_before_it(sweeps: Sweeps) -> None:
    await finish(sweeps, 400, query_key="other")
    await finish(sweeps, 400, days_ago=3, complete=False)
    assert await collapsed(sweeps, ended(7)) == []


async def test_the_last_finished_sweep_counts(sweeps: Sweeps) -> None:
    await finish(sweeps, 400, days_ago=14)
    await finish(sweeps, 10, days_ago=7)
    await finish(sweeps, 400, days_ago=0)  # itself
    assert await collapsed(sweeps, ended(7)) == []


async def test_a_limited_sweep_is_not_compared_with_a_whole_one(sweeps: Sweeps) -> None:
    whole = await finish(sweeps, 400, days_ago=14)
    await finish(sweeps, 20, total=400, days_ago=7, reason="max_authors")
    findings = Findings()
    assert await compare(sweeps, ended(390), findings, share=0.5) == whole
    assert await compare(sweeps, ended(20, total=390, is_whole=False), findings, share=0.5) is None
    assert len(findings) == 0


async def test_total_count_is_compared_under_a_limit_too(sweeps: Sweeps) -> None:
    """A weekly job with max_authors=200 of a search that shrinks to 7."""
    await finish(sweeps, 200, total=960, reason="max_authors")
    (found,) = await collapsed(sweeps, ended(7))
    assert found.startswith("keyword=美食: total_count is 7 now, 960 in sweep")
