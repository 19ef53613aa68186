"""Queries of the author search as people hand them in: typed with `-a`, or one per line in a file."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.arguments.text_file import name_of, open_text
from xingtu_crawler.arguments.typed import shown
from xingtu_crawler.exceptions import ArgumentError


def read_queries(
    path: Path, typed: Mapping[str, str], *, own: Collection[str], check: Callable[[str], None]
) -> tuple[AuthorQuery, ...]:
    """Return the queries of a file: the filters of each line and those that were `typed` for all of them.

    A line is written as on the command line, `keyword=美食 follower_range=100000-500000`; quotes and backslashes mean
    what they mean to a shell, and blank lines and what follows a `#` are skipped. Raises `ArgumentError`, naming the
    file and the line, for the first line that cannot be meant: one that names an argument of the spider (`own`) or
    what `check` refuses, contradicts what was typed, or repeats an earlier line.
    """
    name = name_of(path)
    queries: dict[str, tuple[int, AuthorQuery]] = {}
    with open_text(path, "query") as file:
        for number, line in enumerate(file, start=1):
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                raise ArgumentError(f"{name}, line {number}: a quotation mark or a backslash stands alone.") from None
            if not words:
                continue
            try:
                query = AuthorQuery.build({**typed, **_filters(words, typed, own, check)})
            except ArgumentError as error:
                raise ArgumentError(f"{name}, line {number}: {error}") from None
            earlier, _ = queries.setdefault(query.key, (number, query))
            if earlier != number:
                raise ArgumentError(f"{name}, line {number}: this is the query of line {earlier}.")
    if not queries:
        raise ArgumentError(f"{name} holds no query: write one per line, as in keyword=美食.")
    return tuple(query for _, query in queries.values())


def _filters(
    words: list[str], typed: Mapping[str, str], own: Collection[str], check: Callable[[str], None]
) -> dict[str, str]:
    filters: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ArgumentError(f"{shown(word)} is no filter: write NAME=VALUE, and quote a value with spaces.")
        if name in own:
            raise ArgumentError(f"{shown(name)}= is for the whole crawl: type it with -a.")
        check(name)
        if name in filters:
            raise ArgumentError(f"{shown(name)}= stands there twice.")
        if typed.get(name, value) != value:
            raise ArgumentError(f"{shown(name)}= contradicts the one that was typed with -a.")
        filters[name] = value
    return filters
