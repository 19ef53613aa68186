"""Author ids: a comma separated list, or a text file of any size.

Checks what an id looks like; only the API knows whether the author exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from xingtu_crawler.arguments.text_file import name_of, open_text
from xingtu_crawler.arguments.typed import Typed
from xingtu_crawler.arguments.wording import narrow, shown
from xingtu_crawler.exceptions import ArgumentError

_ID = re.compile(r"[1-9][0-9]{0,19}")
_ROUNDED = re.compile(r"[0-9]+([.,][0-9]+)?e\+?[0-9]+")


def parse_star_ids(typed: Typed) -> tuple[str, ...]:
    """Return the ids of a comma separated list, in order and without duplicates; raise `ArgumentError`."""
    ids = tuple(narrow(element) for element in typed.elements)
    for star_id in ids:
        if problem := _problem(star_id):
            raise typed.error(problem)
    return tuple(dict.fromkeys(ids))


def read_star_ids(path: Path) -> Iterator[str]:
    """Yield the ids of a file, duplicates included, line by line.

    A line holds one id or several, comma separated; blank lines and text after a `#` are skipped. Raises
    `ArgumentError`, with the file and the line, at the first element that is not an id, and at the end of a file
    without any id.
    """
    name = name_of(path)
    empty = True
    with open_text(path, "star id") as file:
        for number, line in enumerate(file, start=1):
            for element in line.partition("#")[0].split(","):
                if not (star_id := narrow(element.strip())):
                    continue
                if problem := _problem(star_id):
                    raise ArgumentError(f"{name}, line {number}: {problem}")
                empty = False
                yield star_id
    if empty:
        raise ArgumentError(f"{name} contains no star id: write one per line.")


def check_star_ids(path: Path) -> None:
    """Read the whole file once and raise what `read_star_ids` would raise, before the first paid call."""
    for _ in read_star_ids(path):
        pass


def _problem(text: str) -> str | None:
    """Return what is wrong with an id, or None."""
    if _ID.fullmatch(text):
        return None
    if _ROUNDED.fullmatch(text.casefold()):
        return f"{shown(text)} is an id that a spreadsheet has rounded; export the ids as text."
    return f"{shown(text)} is not a star id: use 1 to 20 digits, the first one not 0."
