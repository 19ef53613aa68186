"""Arguments that a script passes as Python values: `process.crawl("author_square", max_authors=5)`."""

from __future__ import annotations

from collections.abc import Mapping

from xingtu_crawler.arguments.wording import shown
from xingtu_crawler.exceptions import ArgumentError

_OF_SCRAPYD = {"_job", "_project", "_spider", "_version"}
"""What scrapyd adds to the arguments of a job."""


def as_text(arguments: Mapping[str, object]) -> dict[str, str]:
    """Return the arguments as `-a` would give them, without those that are None or that scrapyd adds.

    A value may be text, an int, a bool, None, or a list or tuple of text and ints. Raises `ArgumentError` for any
    other type.
    """
    return {
        name: _text(name, value) for name, value in arguments.items() if value is not None and name not in _OF_SCRAPYD
    }


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        if not value:
            raise ArgumentError(f"{shown(name)}= is an empty list: leave the argument out.")
        for element in value:
            if isinstance(element, bool) or not isinstance(element, str | int):
                raise _refused(f"the list {shown(name)}= contains", element)
        return ",".join(map(str, value))
    raise _refused(f"{shown(name)}= is", value)


def _refused(what: str, value: object) -> ArgumentError:
    return ArgumentError(
        f"{what} a {type(value).__name__}: give text, a whole number, True, False, None, or a list of text and numbers."
    )
