"""How old details and unfinished sweeps may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from xingtu_crawler.arguments.square import parse_square

AT = datetime(2026, 3, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "fresh_for", "open_for"),
    [
        ({}, timedelta(hours=20), timedelta(days=1)),
        ({"max_age": "0"}, timedelta(), timedelta(days=1)),
        ({"max_age": "7d"}, timedelta(days=7), timedelta(days=7)),
    ],
)
def test_an_unfinished_sweep_is_continued_for_a_day_at_least(
    typed: dict[str, str], fresh_for: timedelta, open_for: timedelta
) -> None:
    details = parse_square(typed).details
    assert (AT - details.fresh_since(AT), AT - details.open_since(AT)) == (fresh_for, open_for)
