"""Details are fresh by the start of the run that fetched them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from xingtu_crawler.storage.freshness import fresh_at, is_fresh, started_at_of

AT = datetime(2026, 3, 8, 12, tzinfo=UTC)
LATER = AT + timedelta(hours=3)


def test_the_start_of_the_run_decides_and_the_time_of_the_answer_where_there_is_none() -> None:
    assert fresh_at({"fetched_at": LATER, "run_started_at": AT}) == AT
    assert fresh_at({"fetched_at": LATER}) == LATER
    assert fresh_at({"fetched_at": AT, "run_started_at": LATER}) == AT


def test_a_run_is_as_old_as_itself_to_the_millisecond() -> None:
    crawl = {"fetched_at": LATER, "run_started_at": AT}
    assert is_fresh(crawl, since=AT + timedelta(microseconds=999))
    assert not is_fresh(crawl, since=AT + timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("run_id", "started_at"),
    [
        ("20260308T120000-5f2c1a", AT),
        ("20261308T120000-5f2c1a", None),
        ("replay", None),
        ("", None),
    ],
)
def test_a_run_id_tells_when_the_run_started(run_id: str, started_at: datetime | None) -> None:
    assert started_at_of(run_id) == started_at
