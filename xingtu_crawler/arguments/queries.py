"""A file of queries of the author search, one per line, read into `AuthorQuery` objects."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.arguments.text_file import name_of, open_text
from xingtu_crawler.arguments.wording import shown
from xingtu_crawler.exceptions import ArgumentError


def read_queries(
    path: Path, given: Mapping[str, str], *, own: Collection[str], check: Callable[[str], None]
) -> tuple[AuthorQuery, ...]:
    """Return the queries of a file, each with the filters of its line and those `given` for all of them.

    A line is written as on the command line, `keyword=美食 follower_range=100000-500000`, with the quotes and
    backslashes of a shell. Blank lines and text after a `#` are skipped. Raises `ArgumentError`, with the file and
    the line, for the first invalid line: one that names an argument of the spider (`own`) or a name that `check`
    refuses, contradicts a given filter, or repeats an earlier line.
    """
    name = name_of(path)
    queries: dict[str, tuple[int, AuthorQuery]] = {}
    with open_text(path, "query") as file:
        for number, line in enumerate(file, start=1):
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                raise ArgumentError(f"{name}, line {number}: a quotation mark or a backslash is unbalanced.") from None
            if not words:
                continue
            try:
                query = AuthorQuery.build({**given, **_filters(words, given, own, check)})
            except ArgumentError as error:
                raise ArgumentError(f"{name}, line {number}: {error}") from None
            earlier, _ = queries.setdefault(query.key, (number, query))
            if earlier != number:
                raise ArgumentError(f"{name}, line {number}: this repeats the query of line {earlier}.")
    if not queries:
        raise ArgumentError(f"{name} contains no query: write one per line, for example keyword=美食.")
    return tuple(query for _, query in queries.values())


def _filters(
    words: list[str], given: Mapping[str, str], own: Collection[str], check: Callable[[str], None]
) -> dict[str, str]:
    filters: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ArgumentError(f"{shown(word)} is not a filter: write NAME=VALUE, and quote a value with spaces.")
        if name in own:
            raise ArgumentError(f"{shown(name)}= applies to the whole crawl: give it with -a.")
        check(name)
        if name in filters:
            raise ArgumentError(f"{shown(name)}= is given twice.")
        if given.get(name, value) != value:
            raise ArgumentError(f"{shown(name)}= contradicts the value given with -a.")
        filters[name] = value
    return filters
