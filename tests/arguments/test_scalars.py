"""Ages, counts, flags and paths of spider arguments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.arguments.scalars import age, count, flag
from xingtu_crawler.arguments.typed import Typed
from xingtu_crawler.exceptions import ArgumentError


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("0", timedelta(0)),
        ("0d", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("1.5d", timedelta(hours=36)),
        ("２ W", timedelta(weeks=2)),
    ],
)
def test_ages(typed: str, expected: timedelta) -> None:
    assert age(Typed.clean("max_age", typed)) == expected


@given(st.text(alphabet="0123456789.smhdw ", max_size=12))
def test_any_age_is_usable_or_an_error(typed: str) -> None:
    try:
        found = age(Typed.clean("max_age", typed))
    except ArgumentError:
        return
    assert found >= timedelta(0)
    assert datetime.now(UTC) - found < datetime.max.replace(tzinfo=UTC)


def test_counts() -> None:
    assert count({"max_calls": " ０1０ "}, "max_calls") == 10
    assert count({}, "max_calls") is None
    for wrong in ("0", "1.5", "-1", "1k", "9" * 19):
        with pytest.raises(ArgumentError, match="not a whole number of 1 or more"):
            count({"max_calls": wrong}, "max_calls")


@pytest.mark.parametrize(("typed", "expected"), [("1", True), ("0", False), ("true", True), ("False", False)])
def test_flags(typed: str, expected: bool) -> None:
    assert flag({"missing": typed}, "missing") is expected
    assert flag({}, "missing") is False
    with pytest.raises(ArgumentError, match="write 1 for yes or 0 for no"):
        flag({"missing": f"{typed}2"}, "missing")
