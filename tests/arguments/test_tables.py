"""The tables of arguments agree with what the spiders accept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from xingtu_crawler.arguments.authors import parse_authors
from xingtu_crawler.arguments.filters import BY_ARGUMENT, FILTERS
from xingtu_crawler.arguments.square import parse_square
from xingtu_crawler.arguments.tables import AUTHORS_ARGUMENTS, SQUARE_ARGUMENTS

ALL = ("base_info", "marketing_info", "rec_videos", "video_distribution")
ONE_ID = {"star_ids": "6629722295873044494"}


def test_the_tables_say_of_endpoints_what_each_spider_takes() -> None:
    square, authors = (
        next(argument.meaning for argument in table if argument.name == "endpoints")
        for table in (SQUARE_ARGUMENTS, AUTHORS_ARGUMENTS)
    )
    assert parse_square({}).details.endpoints == parse_authors(ONE_ID).details.endpoints == ALL
    assert "default: all of them" in square
    assert "default: all of them" in authors
    assert "none: search only" in square
    assert "none" not in authors  # which refuses it


def test_the_tables_hold_no_name_twice_and_one_sentence_each() -> None:
    for table in (SQUARE_ARGUMENTS, AUTHORS_ARGUMENTS):
        names = [argument.name for argument in table]
        assert len(set(names)) == len(names)
        assert all(argument.meaning.endswith(".") and "\n" not in argument.meaning for argument in table)
    assert not {argument.name for argument in SQUARE_ARGUMENTS} & {*FILTERS, *BY_ARGUMENT}


def test_every_argument_of_the_tables_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("1", encoding="utf-8")
    queries = tmp_path / "queries.txt"
    queries.write_text("gender=FEMALE", encoding="utf-8")
    values = {
        "platform": "SHORT_DRAMA",
        "endpoints": "base_info",
        "max_age": "1h",
        "max_calls": "1",
        "max_authors": "1",
        "max_pages": "1",
        "star_ids": "1",
        "star_ids_file": str(path),
        "missing": "1",
        "failed": "1",
        "stale": "7d",
        "queries_file": str(queries),
    }
    for argument in SQUARE_ARGUMENTS:
        (query,) = parse_square({argument.name: argument.default or values[argument.name]}).queries
        assert query.filters == ({"gender": "FEMALE"} if argument.name == "queries_file" else {})
    for argument in AUTHORS_ARGUMENTS:
        whose = argument.name in {"star_ids", "star_ids_file", "missing", "failed", "stale"}
        own = {argument.name: values[argument.name] if whose else argument.default or values[argument.name]}
        ids = {} if whose else ONE_ID
        assert parse_authors({**ids, **own}).details.max_age > timedelta(0)
