"""Author ids: a list, or a text file of any size.

Checks what an id looks like; only the API knows whether the author exists.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xingtu_crawler.arguments.problems import MOST_SHOWN, Problems
from xingtu_crawler.arguments.text_file import name_of, open_text
from xingtu_crawler.arguments.typed import Typed
from xingtu_crawler.arguments.wording import narrow, shown
from xingtu_crawler.exceptions import ArgumentError

_ID = re.compile(r"[1-9][0-9]{0,19}")
_AS_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)?e\+?[0-9]+|[0-9]+\.0*")
_GROUPED = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3}){5,}")
_SEPARATORS = re.compile(r"[,;\t\u3001\uff0c\uff1b]")
_RUNS = re.compile(r"[\s,\u3001\uff0c]*[;\uff1b\t\r\n][\s,;\u3001\uff0c\uff1b]*")
"""Separators that are no commas, with what stands beside them."""
_QUOTES = "\"'`=\u2018\u2019\u201c\u201d\u300c\u300d\uff02\uff07"
"""Around an id, these come from CSV files, formulas (`="6629…"`) and chats."""
_EXACT_DIGITS = 15
"""A spreadsheet keeps this many digits of a number and writes zeros for the others."""
_MANY_ROUNDED = 3
"""As many rounded ids are no coincidence, if they are a tenth of all: one id in a thousand ends in 000."""


def parse_star_ids(name: str, value: str) -> tuple[str, ...]:
    """Return the ids of an argument, in order and without duplicates; raise `ArgumentError`."""
    typed = Typed.clean(name, _RUNS.sub(",", value.strip(";\uff1b \t\r\n")))
    if _GROUPED.fullmatch(typed.value):
        raise typed.error(_problem_of_groups(typed.value))
    ids = tuple(dict.fromkeys(map(_plain, typed.elements)))
    if problems := [problem for star_id in ids if (problem := _problem(star_id))]:
        more = len(problems) - MOST_SHOWN
        raise typed.error(" ".join([*problems[:MOST_SHOWN], *([f"And {more} more."] if more > 0 else [])]))
    rounding = _Rounding()
    for star_id in ids:
        rounding.look_at(star_id)
    if problem := rounding.problem:
        raise typed.error(problem)
    return ids


def read_star_ids(path: Path) -> Iterator[str]:
    """Yield the ids of a file, duplicates included, line by line.

    A line holds one id or several, with commas, semicolons or tabs between them; blank lines and text after a `#` are
    skipped. Raises `ArgumentError`, with the file and the line, at the first element that is not an id, and at the end
    of a file without any id.
    """
    problems = Problems(name_of(path))
    empty = True
    for number, element in _read(path):
        if problem := _problem(element):
            problems.add(number, problem)
            problems.raise_any()
        empty = False
        yield element
    if empty:
        raise ArgumentError(f"{name_of(path)} contains no star id: write one per line.")


def check_star_ids(path: Path) -> int:
    """Read the whole file once, before the first paid call, and return the number of ids, duplicates included.

    Raises `ArgumentError` with all invalid lines, or where the ids have been rounded.
    """
    problems, rounding = Problems(name_of(path)), _Rounding()
    for number, element in _read(path):
        if problem := _problem(element):
            problems.add(number, problem)
        else:
            rounding.look_at(element, number)
    problems.raise_any()
    if not rounding.ids:
        raise ArgumentError(f"{name_of(path)} contains no star id: write one per line.")
    if problem := rounding.problem:
        raise ArgumentError(f"{name_of(path)}{rounding.where}: {problem}")
    return rounding.ids


def _read(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number of each line and its elements, which may be no ids."""
    with open_text(path, "star id") as file:
        for number, line in enumerate(file, start=1):
            text = line.partition("#")[0].strip()
            if _GROUPED.fullmatch(text):
                yield number, text
            else:
                for element in _elements(text):
                    yield number, element


def _elements(text: str) -> Iterator[str]:
    """Yield what stands between separators."""
    yield from filter(None, map(_plain, _SEPARATORS.split(text)))


def _plain(text: str) -> str:
    """Return `text` without what can surround an id: space, quotes, invisible characters."""
    if not text.isascii():
        text = "".join(each for each in text if unicodedata.category(each) != "Cf")
    return narrow(text.strip().strip(_QUOTES).strip())


def _problem(text: str) -> str | None:
    """Return what is wrong with an id, or None."""
    if _ID.fullmatch(text):
        return None
    if _AS_NUMBER.fullmatch(text.casefold()):
        return f"{shown(text)} is an id that a spreadsheet has rounded; export the ids as text."
    if _GROUPED.fullmatch(text):
        return _problem_of_groups(text)
    return f"{shown(text)} is not a star id: use 1 to 20 digits, the first one not 0."


def _problem_of_groups(text: str) -> str:
    return f"{shown(text)} is one id with a comma after every three digits; export the ids as text."


@dataclass(slots=True)
class _Rounding:
    """Whether ids have lost their last digits: too many of them end in 000."""

    ids: int = 0
    _long: int = 0
    _rounded: int = 0
    _line: int | None = None

    def look_at(self, star_id: str, line: int | None = None) -> None:
        """Take one id into account."""
        self.ids += 1
        if len(star_id) > _EXACT_DIGITS:
            self._long += 1
            if star_id.endswith("000"):
                self._rounded += 1
                self._line = line if self._line is None else self._line

    @property
    def where(self) -> str:
        """Where the first rounded id is, for a message about a file."""
        return "" if self._line is None else f", line {self._line}"

    @property
    def problem(self) -> str | None:
        """What is wrong with the ids together, or None."""
        are_all = self._rounded == self._long
        if not self._rounded or not (are_all or (self._rounded >= _MANY_ROUNDED and self._rounded * 10 >= self._long)):
            return None
        ends = "the id ends" if self._long == 1 else f"{self._rounded} of {self._long} ids end"
        return (
            f"{ends} in 000: a spreadsheet or a script that reads ids as numbers has rounded them; export the ids as "
            "text. (An id that really ends in 000 is accepted among ids that do not.)"
        )
