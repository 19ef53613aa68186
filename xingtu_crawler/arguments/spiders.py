"""What is typed after `-a`, read into plain values before the first call is made.

It knows names and how values are written; it imports no Scrapy and does nothing with what it read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from xingtu_crawler.api.endpoints import DETAILS, SEARCH, Platform
from xingtu_crawler.arguments.filters import BY_ARGUMENT, FILTERS, find
from xingtu_crawler.arguments.queries import read_queries
from xingtu_crawler.arguments.query import FORCED, AuthorQuery, refuse_reserved
from xingtu_crawler.arguments.star_ids import check_star_ids, parse_star_ids, read_star_ids
from xingtu_crawler.arguments.typed import Typed, folded, nearest, shown
from xingtu_crawler.exceptions import ArgumentError

__all__ = [
    "AUTHORS_ARGUMENTS",
    "SQUARE_ARGUMENTS",
    "Argument",
    "AuthorsArguments",
    "DetailArguments",
    "SquareArguments",
    "parse_authors",
    "parse_square",
    "read_star_ids",
]


@dataclass(frozen=True, slots=True)
class Argument:
    """One spider argument: its name, its default as it would be typed (None: no limit or nothing) and its meaning."""

    name: str
    default: str | None
    meaning: str


def _detail_arguments(*, or_else: str = "") -> tuple[Argument, ...]:
    endpoints = f"Details to fetch, with commas: {', '.join(DETAILS)}; left out: all of them{or_else}."
    age = "Details younger than this are not fetched again: 90s, 30m, 12h, 1d, 2w; 0 fetches all."
    return (
        Argument(
            "platform", "SHORT_VIDEO", f"Platforms whose details are fetched, with commas: {', '.join(Platform)}."
        ),
        Argument("endpoints", None, endpoints),
        Argument("max_age", "1d", age),
        Argument("max_calls", None, "The crawl stops after so many calls."),
        Argument("max_authors", None, "The crawl stops after so many authors."),
        Argument(
            "terminal", "0", "1 also asks what was once answered with: there is nothing to be had (400, 404, empty)."
        ),
    )


SQUARE_ARGUMENTS: tuple[Argument, ...] = (
    *_detail_arguments(or_else="; none: search only"),
    Argument("max_pages", None, "So many pages of the search are read, 20 authors each."),
    Argument("restart", "0", "1 begins a new sweep even where an unfinished one of this query could go on."),
    Argument("queries_file", None, "A UTF-8 text file of queries, one per line: `keyword=美食 gender=FEMALE`."),
)
"""What `author_square` takes besides the search filters."""

AUTHORS_ARGUMENTS: tuple[Argument, ...] = (
    Argument("star_ids", None, "Author ids, comma separated."),
    Argument("star_ids_file", None, "A UTF-8 text file of author ids, one per line or comma separated."),
    Argument("missing", "0", "1: the authors in MongoDB who lack details."),
    Argument("failed", "0", "1: the details in `failures`."),
    Argument("stale", None, "The details in MongoDB that are older than this: 12h, 7d, 4w."),
    *_detail_arguments(),
)
"""What `authors` takes: one of the first five, which say whose details, and any of the others."""

_WHOSE = ("star_ids", "star_ids_file", "missing", "failed", "stale")

_DEFAULTS = {argument.name: argument.default for argument in _detail_arguments() if argument.default}
_SEARCH_ONLY = "none"
_WHOLE = re.compile(r"0*[1-9][0-9]{0,17}")
_AGE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36500)  # more would reach back before the year 1 when taken from today
_LIKENESS = 0.7


@dataclass(frozen=True)
class DetailArguments:
    """What to fetch of each author and when to stop; no endpoints means search only."""

    platforms: tuple[Platform, ...]
    endpoints: tuple[str, ...]
    max_age: timedelta
    max_calls: int | None
    max_authors: int | None
    terminal: bool = False


@dataclass(frozen=True)
class SquareArguments:
    """The arguments of `author_square`."""

    queries: tuple[AuthorQuery, ...]
    details: DetailArguments
    max_pages: int | None
    restart: bool

    @property
    def limits(self) -> dict[str, int | None]:
        """The limits that end the paging of a sweep, by name."""
        return {"max_pages": self.max_pages, "max_authors": self.details.max_authors}


@dataclass(frozen=True)
class AuthorsArguments:
    """The arguments of `authors`: one of all but the first says whose details are asked."""

    details: DetailArguments
    star_ids: tuple[str, ...] | None = None
    star_ids_file: Path | None = None
    missing: bool = False
    failed: bool = False
    stale: timedelta | None = None


def parse_square(arguments: Mapping[str, str]) -> SquareArguments:
    """Read the arguments of `author_square`; raise `ArgumentError` for the first that cannot be meant.

    Names that start with an underscore are Scrapyd's and are skipped.
    """
    own_names = {argument.name for argument in SQUARE_ARGUMENTS}
    own: dict[str, str] = {}
    filters: dict[str, str] = {}
    for name, value in _public(arguments):
        if name in own_names:
            own[name] = value
            continue
        _refuse_slips(name)
        filters[name] = value
    details, max_pages, restart = _details(own, search_only=True), _count(own, "max_pages"), _flag(own, "restart")
    if "queries_file" not in own:
        queries: tuple[AuthorQuery, ...] = (AuthorQuery.build(filters),)
    else:
        queries = read_queries(
            _path(Typed.clean("queries_file", own["queries_file"])), filters, own=own_names, check=_refuse_slips
        )
    return SquareArguments(queries, details, max_pages, restart)


def parse_authors(arguments: Mapping[str, str]) -> AuthorsArguments:
    """Read the arguments of `authors`; raise `ArgumentError` for the first that cannot be meant.

    A file of ids is read through once, so that a wrong line stops the crawl before it costs anything.
    """
    own = dict(_public(arguments))
    for name in own:
        _refuse_foreign(name)
    # `missing=0` is as good as not typed.
    whose = [name for name in _WHOSE if name in own and (name not in {"missing", "failed"} or _flag(own, name))]
    if len(whose) > 1:
        named = " and ".join(f"{name}=" for name in whose)
        raise ArgumentError(f"{named} contradict each other: give one of them.")
    if not whose:
        raise ArgumentError(
            "No authors are named: type -a star_ids=ID,ID or -a star_ids_file=PATH, or -a missing=1, failed=1 or "
            "stale=7d for those in MongoDB."
        )
    details = _details(own, search_only=False)
    match whose[0]:
        case "star_ids":
            return AuthorsArguments(details, star_ids=parse_star_ids(Typed.clean("star_ids", own["star_ids"])))
        case "star_ids_file":
            path = _path(Typed.clean("star_ids_file", own["star_ids_file"]))
            check_star_ids(path)
            return AuthorsArguments(details, star_ids_file=path)
        case "stale":
            return AuthorsArguments(details, stale=_age(Typed.clean("stale", own["stale"])))
        case flag:
            return AuthorsArguments(details, missing=flag == "missing", failed=flag == "failed")


def _public(arguments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in arguments.items() if not name.startswith("_"))


def _refuse_slips(name: str) -> None:
    """Raise where a name that is no filter looks like a known one; a name like no other may be a new filter."""
    if find(name) is not None or name.startswith(FORCED):
        return
    refuse_reserved(name)
    force = f"To send it as a search filter all the same, type -a {FORCED}{shown(name)}=VALUE."
    if name in {argument.name for argument in AUTHORS_ARGUMENTS}:
        raise ArgumentError(f"{name}= belongs to the spider authors, not to author_square. {force}")
    known = _spelled_alike(name, [argument.name for argument in SQUARE_ARGUMENTS])
    if near := nearest(name, known, likeness=_LIKENESS):
        raise ArgumentError(f"Unknown argument {shown(name)}=: did you mean {near}=? {force}")


def _refuse_foreign(name: str) -> None:
    """Raise for a name that `authors` does not take."""
    own = [argument.name for argument in AUTHORS_ARGUMENTS]
    if name in own:
        return
    if find(name) or name.startswith(FORCED) or name in {argument.name for argument in SQUARE_ARGUMENTS}:
        raise ArgumentError(f"{shown(name)}= belongs to the spider author_square; authors takes {', '.join(own)}.")
    refuse_reserved(name)
    near = nearest(name, own, likeness=_LIKENESS)
    hint = f"did you mean {near}=?" if near else f"authors takes {', '.join(own)}."
    raise ArgumentError(f"Unknown argument {shown(name)}=: {hint}")


def _spelled_alike(name: str, own: Iterable[str]) -> list[str]:
    """Return all names to choose from, the filters in the spelling that `name` seems to be in."""
    return [*own, *(FILTERS if any(map(str.isupper, name)) else BY_ARGUMENT)]


def _details(own: Mapping[str, str], *, search_only: bool) -> DetailArguments:
    return DetailArguments(
        platforms=_platforms(Typed.clean("platform", own.get("platform", _DEFAULTS["platform"]))),
        endpoints=_endpoints(own, search_only=search_only),
        max_age=_age(Typed.clean("max_age", own.get("max_age", _DEFAULTS["max_age"]))),
        max_calls=_count(own, "max_calls"),
        max_authors=_count(own, "max_authors"),
        terminal=_flag(own, "terminal"),
    )


def _platforms(typed: Typed) -> tuple[Platform, ...]:
    names = {folded(platform): platform for platform in Platform}
    return tuple(dict.fromkeys(names[_choice(typed, element, names, list(Platform))] for element in typed.elements))


def _endpoints(own: Mapping[str, str], *, search_only: bool) -> tuple[str, ...]:
    """Return names in the registry's order: what they mean does not depend on how they were typed."""
    if "endpoints" not in own:
        return tuple(DETAILS)
    typed = Typed.clean("endpoints", own["endpoints"])
    elements = [folded(element) for element in typed.elements]
    if _SEARCH_ONLY in elements and not search_only:
        raise typed.error("without endpoints there is nothing to fetch; leave endpoints out to fetch all.")
    if _SEARCH_ONLY in elements:
        if len(set(elements)) > 1:
            raise typed.error("none contradicts the others; write endpoints=none for the search alone.")
        return ()
    if SEARCH.name in elements:
        what = "the search always runs" if search_only else "there is no search in the spider authors"
        raise typed.error(f"{what}; name the detail endpoints among {', '.join(DETAILS)}.")
    names = {folded(name): name for name in DETAILS}
    choices = [*DETAILS, *([_SEARCH_ONLY] if search_only else [])]
    chosen = {names[_choice(typed, element, names, choices)] for element in elements}
    return tuple(name for name in DETAILS if name in chosen)


def _choice(typed: Typed, element: str, known: Mapping[str, object], choices: list[str]) -> str:
    if folded(element) in known:
        return folded(element)
    near = nearest(element, choices)
    hint = f"did you mean {near}? It" if near else "it"
    raise typed.error(f"{shown(element)} is unknown; {hint} is one of {', '.join(choices)}.")


def _age(typed: Typed) -> timedelta:
    text = typed.figures
    if re.fullmatch(r"0{1,9}", text):
        return timedelta(0)
    if re.fullmatch(r"[0-9]{1,9}", text):
        forms = ", ".join(f"{text}{unit}" for unit in _UNITS)
        raise typed.error(f"the unit is missing; write one of {forms} ({', '.join(_UNITS.values())}).")
    match = _AGE.fullmatch(text)
    if match is None:
        raise typed.error(f"not an age; write a number and s, m, h, d or w, as in {typed.name}=12h, or {typed.name}=0.")
    try:
        age = timedelta(**{_UNITS[match[2]]: float(match[1])})
    except OverflowError:
        age = timedelta.max
    if age > _LONGEST:
        raise typed.error(f"more than a hundred years; write a shorter age, as in {typed.name}=52w.")
    return age


def _count(own: Mapping[str, str], name: str) -> int | None:
    if name not in own:
        return None
    typed = Typed.clean(name, own[name])
    if not _WHOLE.fullmatch(typed.figures):
        raise typed.error(f"not a whole number from 1 up; leave {name} out for no limit.")
    return int(typed.figures)


def _flag(own: Mapping[str, str], name: str) -> bool:
    if name not in own:
        return False
    typed = Typed.clean(name, own[name])
    if typed.value not in {"0", "1"}:
        raise typed.error("write 1 for yes or 0 for no.")
    return typed.value == "1"


def _path(typed: Typed) -> Path:
    try:
        return Path(typed.value).expanduser()
    except RuntimeError:
        raise typed.error("there is no such home directory; write the path out.") from None
