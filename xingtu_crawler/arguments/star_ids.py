"""Author ids as people hand them in: a comma separated list or a file of any size.

It checks what an id looks like; whether such an author exists is for the API to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from xingtu_crawler.arguments.text_file import name_of, open_text
from xingtu_crawler.arguments.typed import Typed, narrow, shown
from xingtu_crawler.exceptions import ArgumentError

_ID = re.compile(r"[1-9][0-9]{0,19}")
_ROUNDED = re.compile(r"[0-9]+([.,][0-9]+)?e\+?[0-9]+")
_CHUNK = 65536


def parse_star_ids(typed: Typed) -> tuple[str, ...]:
    """Return the ids of a comma separated list without duplicates, in their order; raise `ArgumentError`."""
    ids = tuple(narrow(element) for element in typed.elements)
    for star_id in ids:
        if problem := _problem(star_id):
            raise typed.error(problem)
    return tuple(dict.fromkeys(ids))


def read_star_ids(path: Path) -> Iterator[str]:
    """Yield the ids of a file as they stand in it, reading as it goes: of a file of any size nothing is remembered.

    One id per line or several with commas; blank lines and what follows a `#` are skipped. Raises `ArgumentError`,
    naming the file and the line, when it comes to something that is no id, and where there is no id at all.
    """
    name = name_of(path)
    empty = True
    with open_text(path, "star id") as file:
        for line, element in _elements(file):
            star_id = narrow(element)
            if problem := _problem(star_id):
                raise ArgumentError(f"{name}, line {line}: {problem}")
            empty = False
            yield star_id
    if empty:
        raise ArgumentError(f"{name} holds no star id: write one per line.")


def check_star_ids(path: Path) -> None:
    """Read the whole file once and raise what `read_star_ids` would, before anything has been paid for."""
    for _ in read_star_ids(path):
        pass


def _elements(file: TextIO) -> Iterator[tuple[int, str]]:
    """Yield (line number, element) without holding a whole line, which may be the whole file."""
    line, rest, in_comment = 1, "", False
    while chunk := file.readline(_CHUNK):
        ended = chunk.endswith("\n")
        text, hash_sign, _ = ("" if in_comment else rest + chunk).partition("#")
        cut = in_comment or bool(hash_sign)
        *whole, rest = text.split(",")
        if ended or cut or len(rest) > _CHUNK:
            whole, rest = [*whole, rest], ""
        for element in whole:
            if stripped := element.strip():
                yield line, stripped
        in_comment = cut and not ended
        line += ended
    if rest.strip():
        yield line, rest.strip()


def _problem(text: str) -> str | None:
    """Return what is wrong with an id, or None."""
    if _ID.fullmatch(text):
        return None
    if _ROUNDED.fullmatch(text.casefold()):
        return f"{shown(text)} is a number that a spreadsheet has rounded; export the ids as text."
    return f"{shown(text)} is not a star id: digits only, at most 20, the first not 0."
