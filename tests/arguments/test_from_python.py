"""Arguments that a script passes as Python values mean the same as text after `-a`, or are refused in one line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refusal
from xingtu_crawler.arguments.authors import parse_authors
from xingtu_crawler.arguments.from_python import as_text
from xingtu_crawler.arguments.square import parse_square

KINDS = "give text, a whole number, True, False, None, or a list of text and numbers."


def test_values_of_a_script_are_read_like_text() -> None:
    arguments = parse_square(
        as_text(
            {
                "keyword": "美食",
                "max_authors": 5,
                "max_pages": None,
                "restart": True,
                "is_superstar": False,
                "endpoints": ["rec_videos", "base_info"],
                "content_tag": ("美妆", "穿搭"),
                "_job": 7,
            }
        )
    )
    (query,) = arguments.queries
    assert query.filters == {"contentTag": "穿搭,美妆", "isSuperstar": "false", "keyword": "美食"}
    assert arguments.details.endpoints == ("base_info", "rec_videos")
    assert (arguments.details.max_authors, arguments.max_pages, arguments.restart) == (5, None, True)


def test_ids_of_a_script_may_be_numbers() -> None:
    ids = [6629722295873044494, "20"]
    assert parse_authors(as_text({"star_ids": ids, "terminal": True})).star_ids == ("6629722295873044494", "20")
    assert parse_authors(as_text({"missing": True, "failed": False, "max_age": 0})).missing
    assert parse_authors(as_text({"stale": "7d", "max_age": 0})).details.max_age == timedelta(0)


def test_only_what_scrapyd_adds_is_left_out() -> None:
    assert as_text({"_job": "7", "_version": "1", "_sample": 50, "x": None}) == {"_sample": "50"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, f"x= is a float: {KINDS}"),
        (b"1", f"x= is a bytes: {KINDS}"),
        (Path("ids.txt"), f"x= is a {type(Path()).__name__}: {KINDS}"),
        ({"a": 1}, f"x= is a dict: {KINDS}"),
        ([["a"]], f"the list x= contains a list: {KINDS}"),
        (["a", None], f"the list x= contains a NoneType: {KINDS}"),
        ([True], f"the list x= contains a bool: {KINDS}"),
        ([], "x= is an empty list: leave the argument out."),
    ],
)
def test_other_values_are_refused(value: object, message: str) -> None:
    assert refusal(as_text, {"x": value}) == message


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: not name.startswith("_")), st.text()))
def test_text_stays_as_it_is(arguments: dict[str, str]) -> None:
    assert as_text(arguments) == arguments
