"""The arguments that both spiders take: which details to fetch, how old they may be, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from xingtu_crawler.api.endpoints import DETAILS, SEARCH, Platform
from xingtu_crawler.arguments.scalars import age, count, flag
from xingtu_crawler.arguments.tables import DEFAULTS
from xingtu_crawler.arguments.typed import Typed
from xingtu_crawler.arguments.wording import folded, nearest, shown

_SEARCH_ONLY = "none"
_SWEEP_AGE = timedelta(days=1)
"""An unfinished sweep is continued for this long, however small `max_age` is."""


@dataclass(frozen=True)
class DetailArguments:
    """Which details to fetch of each author, and when to stop; no endpoints means search only."""

    platforms: tuple[Platform, ...]
    endpoints: tuple[str, ...]
    max_age: timedelta
    max_calls: int | None
    max_authors: int | None
    terminal: bool = False

    def fresh_since(self, started_at: datetime) -> datetime:
        """Return the time (UTC) since when a run has to have started whose details a crawl does not fetch again."""
        return started_at - self.max_age

    def open_since(self, started_at: datetime) -> datetime:
        """Return the time (UTC) since when an unfinished sweep has to have started that a crawl continues."""
        return started_at - max(self.max_age, _SWEEP_AGE)


def read_details(own: Mapping[str, str], *, search_only: bool) -> DetailArguments:
    """Read the shared arguments; raise `ArgumentError` for the first invalid one.

    Args:
        own: the arguments of the spider by name, without search filters.
        search_only: whether `endpoints=none` is allowed.
    """
    return DetailArguments(
        platforms=_platforms(Typed.clean("platform", own.get("platform", DEFAULTS["platform"]))),
        endpoints=_endpoints(own, search_only=search_only),
        max_age=age(Typed.clean("max_age", own.get("max_age", DEFAULTS["max_age"]))),
        max_calls=count(own, "max_calls"),
        max_authors=count(own, "max_authors"),
        terminal=flag(own, "terminal"),
    )


def _platforms(typed: Typed) -> tuple[Platform, ...]:
    names = {folded(platform): platform for platform in Platform}
    return tuple(dict.fromkeys(names[_choice(typed, element, names, list(Platform))] for element in typed.elements))


def _endpoints(own: Mapping[str, str], *, search_only: bool) -> tuple[str, ...]:
    """Return the endpoints in the registry's order, whatever their order in the argument."""
    if "endpoints" not in own:
        return tuple(DETAILS)
    typed = Typed.clean("endpoints", own["endpoints"])
    elements = [folded(element) for element in typed.elements]
    if _SEARCH_ONLY in elements and not search_only:
        raise typed.error("without endpoints there is nothing to fetch; leave endpoints out to fetch all.")
    if _SEARCH_ONLY in elements:
        if len(set(elements)) > 1:
            raise typed.error("none cannot be combined with others; write endpoints=none for the search alone.")
        return ()
    if SEARCH.name in elements:
        what = "the search always runs" if search_only else "the spider authors does not search"
        raise typed.error(f"{what}; name detail endpoints: {', '.join(DETAILS)}.")
    names = {folded(name): name for name in DETAILS}
    choices = [*DETAILS, *([_SEARCH_ONLY] if search_only else [])]
    chosen = {names[_choice(typed, element, names, choices)] for element in elements}
    return tuple(name for name in DETAILS if name in chosen)


def _choice(typed: Typed, element: str, known: Mapping[str, object], choices: list[str]) -> str:
    if folded(element) in known:
        return folded(element)
    near = nearest(element, choices)
    hint = f"did you mean {near}? It" if near else "it"
    raise typed.error(f"{shown(element)} is unknown; {hint} must be one of {', '.join(choices)}.")
