"""The arguments of the spider `author_square`: search filters, and what its table in `tables` lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xingtu_crawler.arguments.details import DetailArguments, read_details
from xingtu_crawler.arguments.filters import BY_ARGUMENT, FILTERS, find
from xingtu_crawler.arguments.queries import read_queries
from xingtu_crawler.arguments.query import FORCED, AuthorQuery, refuse_reserved, swallowed
from xingtu_crawler.arguments.scalars import count, flag, path
from xingtu_crawler.arguments.tables import AUTHORS_ARGUMENTS, SQUARE_ARGUMENTS
from xingtu_crawler.arguments.typed import Typed
from xingtu_crawler.arguments.wording import nearest, shown
from xingtu_crawler.exceptions import ArgumentError

_LIKENESS = 0.65
"""How similar (0 to 1) a known name must be to an unknown one to be proposed."""


@dataclass(frozen=True)
class SquareArguments:
    """The arguments of `author_square`."""

    queries: tuple[AuthorQuery, ...]
    details: DetailArguments
    max_pages: int | None
    restart: bool
    yes: bool = False

    @property
    def has_limit(self) -> bool:
        """Whether the user has limited the crawl."""
        given = (self.max_pages, self.details.max_authors, self.details.max_calls)
        return any(limit is not None for limit in given)

    @property
    def limits(self) -> dict[str, int | None]:
        """The limits that can end the paging of a sweep, by name."""
        return {"max_pages": self.max_pages, "max_authors": self.details.max_authors}


def parse_square(arguments: Mapping[str, str]) -> SquareArguments:
    """Read the arguments of `author_square`; raise `ArgumentError` for the first invalid one."""
    own_names = {argument.name for argument in SQUARE_ARGUMENTS}
    own: dict[str, str] = {}
    filters: dict[str, str] = {}
    for name, value in arguments.items():
        if name in own_names:
            own[name] = value
            continue
        _refuse_unknown(name)
        if not name.startswith(FORCED) and (other := swallowed(value)):
            raise ArgumentError(
                f"{shown(name)}={shown(value)}: the value contains {other}=. Give {other}= as an argument of its own, "
                f"or write {FORCED}{shown(name)}=VALUE if this text belongs to the value."
            )
        filters[name] = value
    details, max_pages, restart = read_details(own, search_only=True), count(own, "max_pages"), flag(own, "restart")
    if "queries_file" not in own:
        queries: tuple[AuthorQuery, ...] = (AuthorQuery.build(filters),)
    else:
        file = path(Typed.clean("queries_file", own["queries_file"]))
        queries = read_queries(file, filters, own=own_names, check=_refuse_unknown)
    return SquareArguments(queries, details, max_pages, restart, flag(own, "yes"))


def _refuse_unknown(name: str) -> None:
    """Raise `ArgumentError` for a name that is neither a known filter nor forced to be one."""
    if find(name) is not None or name.startswith(FORCED):
        return
    refuse_reserved(name)
    force = f"To send it as a search filter anyway, write {FORCED}{shown(name)}=VALUE."
    if name in {argument.name for argument in AUTHORS_ARGUMENTS}:
        raise ArgumentError(f"{name}= belongs to the spider authors, not to author_square. {force}")
    own = [argument.name for argument in SQUARE_ARGUMENTS]
    # The filters in the spelling that the name seems to be in.
    spelling = FILTERS if any(map(str.isupper, name)) else BY_ARGUMENT
    near = nearest(name, [*own, *spelling], likeness=_LIKENESS)
    hint = (
        f"did you mean {near}=?"
        if near
        else f"author_square takes {', '.join(own)}, and the search filters of docs/search-filters.md."
    )
    raise ArgumentError(f"Unknown argument {shown(name)}=: {hint} {force}")
