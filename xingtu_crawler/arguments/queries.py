"""A file of queries of the author search, one per line, read into `AuthorQuery` objects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from xingtu_crawler.arguments import words
from xingtu_crawler.arguments.problems import Problems
from xingtu_crawler.arguments.query import FORCED, AuthorQuery, swallowed
from xingtu_crawler.arguments.text_file import name_of, open_text
from xingtu_crawler.arguments.wording import shown
from xingtu_crawler.exceptions import ArgumentError


def read_queries(
    path: Path, given: Mapping[str, str], *, own: Collection[str], check: Callable[[str], None]
) -> tuple[AuthorQuery, ...]:
    """Return the queries of a file, each with the filters of its line and those `given` for all of them.

    A line is written as on the command line, `keyword=美食 follower_range=100000-500000`, with the quotes and
    backslashes of a shell. Blank lines and comments (a word that begins with `#`, and what follows it) are skipped.
    Raises `ArgumentError`, with the file and all invalid lines. A line is invalid if it names an argument of the spider
    (`own`) or a name that `check` refuses, contradicts a given filter, or repeats an earlier line.
    """
    problems = Problems(name_of(path))
    queries: dict[str, tuple[int, AuthorQuery]] = {}
    with open_text(path, "query") as file:
        for number, line in enumerate(file, start=1):
            try:
                filters = _filters(line, given, own, check)
                if not filters:
                    continue
                query = AuthorQuery.build({**given, **filters})
            except ArgumentError as error:
                problems.add(number, str(error))
                continue
            earlier, _ = queries.setdefault(query.key, (number, query))
            if earlier != number:
                problems.add(number, f"this repeats the query of line {earlier}.")
    problems.raise_any()
    if not queries:
        raise ArgumentError(f"{name_of(path)} contains no query: write one per line, for example keyword=美食.")
    return tuple(query for _, query in queries.values())


def _filters(line: str, given: Mapping[str, str], own: Collection[str], check: Callable[[str], None]) -> dict[str, str]:
    try:
        found = words.split(line)
    except ValueError as error:
        raise ArgumentError(f"{error}.") from None
    filters: dict[str, str] = {}
    for word in found:
        name, equals, value = word.text.partition("=")
        if not equals:
            raise ArgumentError(f"{shown(word.text)} is not a filter: write NAME=VALUE, and quote a value with spaces.")
        if name in own:
            raise ArgumentError(f"{shown(name)}= applies to the whole crawl: give it with -a.")
        check(name)
        if not name.startswith(FORCED) and (other := swallowed(word.plain.partition("=")[2])):
            raise ArgumentError(
                f"{shown(word.text)}: the value contains {other}=. Write a space before {other}=, or quote the value "
                "if this text belongs to it."
            )
        if name in filters:
            raise ArgumentError(f"{shown(name)}= is given twice.")
        if given.get(name, value) != value:
            raise ArgumentError(f"{shown(name)}= contradicts the value given with -a.")
        filters[name] = value
    return filters
