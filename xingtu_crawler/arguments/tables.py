"""The arguments of each spider as tables: name, default and meaning. `make docs` prints docs/arguments.md from them."""

from __future__ import annotations

from dataclasses import dataclass

from xingtu_crawler.api.endpoints import DETAILS, Platform


@dataclass(frozen=True, slots=True)
class Argument:
    """One spider argument: its name, its default as a user would write it (None: no default) and its meaning."""

    name: str
    default: str | None
    meaning: str


def _detail_arguments(*, search_only: str = "") -> tuple[Argument, ...]:
    endpoints = f"Details to fetch, comma separated: {', '.join(DETAILS)}; default: all of them{search_only}."
    age = (
        "Details are not fetched again if the run that fetched them started less than this ago: 90s, 30m, 12h, 1d, 2w; "
        "0: fetch all of them. With 20h, a daily job fetches every detail every day."
    )
    terminal = "1: also retry details that the API refused in the last 7 days or max_age (400, 404, empty)."
    return (
        Argument("platform", "SHORT_VIDEO", f"Platforms of the details, comma separated: {', '.join(Platform)}."),
        Argument("endpoints", None, endpoints),
        Argument("max_age", "20h", age),
        Argument("max_calls", None, "Stop after this many API calls."),
        Argument("max_authors", None, "Stop after this many authors."),
        Argument("terminal", "0", terminal),
    )


SQUARE_ARGUMENTS: tuple[Argument, ...] = (
    *_detail_arguments(search_only="; none: search only"),
    Argument("max_pages", None, "Maximum number of search pages to read (usually 20 authors per page)."),
    Argument("restart", "0", "1: start a new sweep even if an unfinished sweep of this query can be continued."),
    Argument(
        "yes",
        "0",
        "1: go on without the question that a crawl asks on a terminal if it has no limit and needs more than 1,000 "
        "calls.",
    ),
    Argument("queries_file", None, "A UTF-8 text file of queries, one per line: `keyword=美食 gender=FEMALE`."),
)
"""The arguments of `author_square` besides the search filters."""

AUTHORS_ARGUMENTS: tuple[Argument, ...] = (
    Argument("star_ids", None, "Author ids, with commas, semicolons or tabs between them."),
    Argument("star_ids_file", None, "A UTF-8 text file of author ids, one or several per line."),
    Argument("missing", "0", "1: authors in MongoDB whose details are incomplete."),
    Argument("failed", "0", "1: details that are recorded in `failures`."),
    Argument("stale", None, "Details in MongoDB that are older than this: 12h, 7d, 4w."),
    *_detail_arguments(),
)
"""The arguments of `authors`: exactly one of the first five, which select the authors, and any of the others."""

DEFAULTS: dict[str, str] = {argument.name: argument.default for argument in _detail_arguments() if argument.default}
"""The defaults of the arguments that both spiders take."""
