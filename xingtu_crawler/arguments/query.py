"""A query of the author search: its filters in one canonical form, with one stable key.

Knows the filters and which of them contradict each other; knows no request, page, token or spider.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from xingtu_crawler.arguments.filters import BY_ARGUMENT, FILTERS, Filter, find
from xingtu_crawler.arguments.typed import Typed
from xingtu_crawler.arguments.values import canonical
from xingtu_crawler.arguments.wording import shown
from xingtu_crawler.exceptions import ArgumentError

FORCED = "filter."
"""`filter.NAME=VALUE` sends NAME and VALUE exactly as given."""

_ANOTHER = re.compile(rf"({'|'.join(sorted({*FILTERS, *BY_ARGUMENT}, key=len, reverse=True))})\s*[=\uff1d]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SECRETS = ("token", "apikey", "secret", "password")
_FEW_FOLLOWERS = 1000


@dataclass(frozen=True, slots=True)
class AuthorQuery:
    """One query of the author search.

    `filters` maps the API's names to canonical values, sorted by name. `warnings` are for the log, one line each.
    `key` depends on the filters alone, not on how they were written, and never changes between versions.
    """

    filters: dict[str, str] = field(hash=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        ordered = dict(sorted(self.filters.items()))
        text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
        object.__setattr__(self, "filters", ordered)
        object.__setattr__(self, "key", hashlib.sha256(text.encode()).hexdigest()[:16])

    @classmethod
    def build(cls, filters: Mapping[str, str]) -> AuthorQuery:
        """Return the query of `filters`, whose names are in snake case or in the API's own spelling.

        Raises `ArgumentError` for an unknown name, unless it is written `filter.NAME`, for an invalid value, and for
        filters that contradict each other.
        """
        sent: dict[str, str] = {}
        given_names: dict[str, str] = {}
        warnings: list[str] = []
        for name, value in filters.items():
            api_name, text, said = _read(name, value)
            if api_name in sent:
                raise ArgumentError(f"{given_names[api_name]}= and {name}= are the same filter: give one of them.")
            sent[api_name], given_names[api_name] = text, name
            warnings += said
        if "kolPriceRange" in sent and "kolPriceType" not in sent:
            typed = Typed(given_names["kolPriceRange"], sent["kolPriceRange"])
            other = "kolPriceType" if typed.name == "kolPriceRange" else "kol_price_type"
            raise typed.error(f"a price range needs {other}=, for example {other}=VIDEO_21_60S.")
        return cls(sent, tuple(warnings))

    def describe(self) -> str:
        """Return the query on one line for the log, with long values cut."""
        return " ".join(f"{name}={shown(value)}" for name, value in self.filters.items()) or "all authors"


def refuse_reserved(name: str) -> None:
    """Raise `ArgumentError` for a parameter that the crawler sends itself; the message never shows a value."""
    plain = name.removeprefix(FORCED).casefold().replace("_", "").replace("-", "")
    if plain == "key" or any(map(plain.__contains__, _SECRETS)) or get_close_matches(plain, ["token"], cutoff=0.75):
        raise ArgumentError(
            f"{shown(name)}= cannot be an argument, because arguments are logged and stored: "
            "set the environment variable JUSTONEAPI_TOKEN."
        )
    if plain == "page":
        raise ArgumentError(
            f"{shown(name)}= cannot be a filter: the crawl reads the pages itself. Limit them with max_pages=."
        )


def swallowed(value: str) -> str | None:
    """Return the filter whose `NAME=` stands in a value, most likely because a separator is missing; None for none."""
    found = _ANOTHER.search(value)
    return None if found is None else found[1]


def _read(name: str, value: str) -> tuple[str, str, tuple[str, ...]]:
    """Return the API's name, the value to send and the warnings of one filter as given."""
    refuse_reserved(name)
    forced = name.startswith(FORCED)
    bare = name.removeprefix(FORCED)
    if not _NAME.fullmatch(bare):
        raise ArgumentError(f"{shown(name)}= is not a filter name: use a letter, then letters, digits and underscores.")
    typed = Typed.clean(name, value)
    if forced:
        return bare, value, (f"{typed}: {bare} is sent exactly as given, unchecked.",)
    filter_ = find(bare)
    if filter_ is None:
        raise ArgumentError(f"Unknown search filter {shown(name)}=: to send it anyway, write {FORCED}{name}=VALUE.")
    text, warnings = canonical(filter_, typed)
    return filter_.name, text, warnings + _doubts(filter_, typed, text)


def _doubts(filter_: Filter, typed: Typed, text: str) -> tuple[str, ...]:
    """Return a warning for a value that is valid but probably not intended."""
    if filter_.name != "followerRange" or int(text.partition("-")[2]) > _FEW_FOLLOWERS:
        return ()
    low, high = text.split("-")
    return (f"{typed.write(text)}: read as raw follower counts, {low} to {high} followers.",)
