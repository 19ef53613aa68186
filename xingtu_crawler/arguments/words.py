"""The words of a line, with the quotes and backslashes of a shell. Knows no argument.

Unlike `shlex`, it takes every space of Unicode as a separator (a Chinese keyboard writes U+3000) and `#` as the
beginning of a comment only where a word begins: `keyword=C#程序` is one word.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PART = re.compile(r"""\\(?P<escaped>.)|"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>[^']*)'|(?P<plain>[^\s"'\\]+)""")
_SPACE = re.compile(r"[\s\ufeff\u200b]*")
_ESCAPED = re.compile(r'\\(["\\])')


class Word(NamedTuple):
    """One word: its text, and the part of it that is neither quoted nor escaped."""

    text: str
    plain: str


def split(line: str) -> list[Word]:
    """Return the words of a line, without a comment; raise `ValueError` for an unbalanced quotation mark."""
    words: list[Word] = []
    at = _end_of_space(line, 0)
    while at < len(line) and line[at] != "#":
        text, plain = "", ""
        while at < len(line) and not line[at].isspace():
            part = _PART.match(line, at)
            if part is None:
                raise ValueError("a quotation mark or a backslash is unbalanced")
            if part.lastgroup == "double":
                text += _ESCAPED.sub(r"\1", part["double"])
            else:
                text += part[part.lastgroup or 0]
            plain += part["plain"] or "\0"
            at = part.end()
        words.append(Word(text, plain))
        at = _end_of_space(line, at)
    return words


def _end_of_space(line: str, at: int) -> int:
    space = _SPACE.match(line, at)
    return at if space is None else space.end()
