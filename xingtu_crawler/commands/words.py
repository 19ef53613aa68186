"""What commands have in common: words they do not take, options they do not know, tables in a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from xingtu_crawler.api.typed import nearest, shown
from xingtu_crawler.exceptions import ArgumentError

WIDTH_IN_A_PIPE = 120
"""Columns of a table where there is no terminal that has a width."""


def refuse(words: Sequence[str], *, command: str, options: Sequence[str]) -> None:
    """Raise `ArgumentError` for the first of the words, with the option that was probably meant."""
    for word in words:
        name = word.partition("=")[0]
        if not word.startswith("-"):
            raise ArgumentError(f"scrapy {command} does not take {shown(word)!r}: type scrapy {command} -h.")
        hint = nearest(name, options)
        raise ArgumentError(
            f"Unknown option {shown(name)}: " + (f"did you mean {hint}?" if hint else f"type scrapy {command} -h.")
        )
