"""What commands have in common: what is wrong in one line, words they do not take, tables in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scrapy.commands import ScrapyCommand

from xingtu_crawler.arguments.wording import nearest, shown
from xingtu_crawler.engine.log import redacted
from xingtu_crawler.exceptions import ArgumentError, PlanError, UserError

WIDTH_IN_A_PIPE = 120
"""Columns of a table where there is no terminal that has a width."""


@contextmanager
def one_line(command: ScrapyCommand) -> Iterator[None]:
    """Say what the user can put right in one line on standard error; the exit code is 2, or 1 if a call was made."""
    try:
        yield
    except UserError as error:
        sys.stderr.write(f"error: {redacted(str(error))}\n")
        command.exitcode = 1 if isinstance(error, PlanError) else 2


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
