"""The arguments of the spider `authors`: whose details, which details, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from xingtu_crawler.arguments.details import DetailArguments, read_details
from xingtu_crawler.arguments.filters import find
from xingtu_crawler.arguments.query import FORCED, refuse_reserved
from xingtu_crawler.arguments.scalars import age, flag, path
from xingtu_crawler.arguments.star_ids import check_star_ids, parse_star_ids
from xingtu_crawler.arguments.tables import AUTHORS_ARGUMENTS, SQUARE_ARGUMENTS
from xingtu_crawler.arguments.typed import Typed
from xingtu_crawler.arguments.wording import nearest, shown
from xingtu_crawler.exceptions import ArgumentError

_SELECTIONS = ("star_ids", "star_ids_file", "missing", "failed", "stale")
_FLAGS = {"missing", "failed"}


@dataclass(frozen=True)
class AuthorsArguments:
    """The arguments of `authors`; exactly one of the fields after `details` is set and selects the authors."""

    details: DetailArguments
    star_ids: tuple[str, ...] | None = None
    star_ids_file: Path | None = None
    missing: bool = False
    failed: bool = False
    stale: timedelta | None = None
    listed: int | None = None
    """Number of authors in `star_ids` or in the file; None where MongoDB selects them."""


def parse_authors(arguments: Mapping[str, str]) -> AuthorsArguments:
    """Read the arguments of `authors`; raise `ArgumentError` for the first invalid one.

    Reads a file of ids once to its end, so that an invalid line stops the crawl before its first call.
    """
    for name in arguments:
        _refuse_unknown(name)
    # `missing=0` is the same as no `missing`.
    given = [name for name in _SELECTIONS if name in arguments and (name not in _FLAGS or flag(arguments, name))]
    if len(given) > 1:
        raise ArgumentError(f"{' and '.join(f'{name}=' for name in given)} cannot be combined: give one of them.")
    if not given:
        raise ArgumentError(
            "No authors given: add -a star_ids=ID,ID or -a star_ids_file=PATH, or select them from MongoDB with "
            "-a missing=1, -a failed=1 or -a stale=7d."
        )
    details = read_details(arguments, search_only=False)
    match given[0]:
        case "star_ids":
            star_ids = parse_star_ids("star_ids", arguments["star_ids"])
            return AuthorsArguments(details, star_ids=star_ids, listed=len(star_ids))
        case "star_ids_file":
            file = path(Typed.clean("star_ids_file", arguments["star_ids_file"]))
            return AuthorsArguments(details, star_ids_file=file, listed=check_star_ids(file))
        case "stale":
            return AuthorsArguments(details, stale=age(Typed.clean("stale", arguments["stale"])))
        case selection:
            return AuthorsArguments(details, missing=selection == "missing", failed=selection == "failed")


def _refuse_unknown(name: str) -> None:
    """Raise `ArgumentError` for a name that `authors` does not take."""
    own = [argument.name for argument in AUTHORS_ARGUMENTS]
    if name in own:
        return
    if find(name) or name.startswith(FORCED) or name in {argument.name for argument in SQUARE_ARGUMENTS}:
        raise ArgumentError(f"{shown(name)}= belongs to the spider author_square; authors takes {', '.join(own)}.")
    refuse_reserved(name)
    near = nearest(name, own)
    hint = f"did you mean {near}=?" if near else f"authors takes {', '.join(own)}."
    raise ArgumentError(f"Unknown argument {shown(name)}=: {hint}")
