"""How large a search is, by what its pages say and hold: its authors, the size of a page, the last page to request.

A search may contradict itself: `total_count` is 0 on a page with authors, or the number of authors of that page alone;
`limit` is not what pages hold. `Extent` keeps what can be believed. Plain Python.
"""

from __future__ import annotations

from enum import StrEnum

from xingtu_crawler.api.endpoints import PAGE_SIZE
from xingtu_crawler.items.page import SearchPage

MORE_PAGES = 10
"""Number of pages that may be requested beyond those that the search counts; further requests of a page are of them."""
_DRIFT = 0.1
"""A count that falls by a larger share, and by a page or more, is not believed: populations change slowly."""


class Position(StrEnum):
    """Where a page is, by the number of authors that the search shows."""

    BEFORE_THE_END = "before the end"
    """The page should hold authors."""
    BEHIND_THE_END = "behind the end"
    """All authors are on the pages before it, or have been found."""
    UNKNOWN = "unknown"


class Extent:
    """The size of one search.

    `total_count` is the number of authors that the search counts, None while it is unknown. `cap` is the maximum number
    of authors that it shows.
    """

    def __init__(self, *, cap: int, total_count: int | None = None, page_size: int = 0) -> None:
        self.cap = cap
        self.total_count = total_count if total_count or not page_size else None
        self._held = page_size
        self._said = 0

    @property
    def page_size(self) -> int:
        """The largest number of authors on a page; until there is one, what the search says."""
        return self._held or self._said or PAGE_SIZE

    @property
    def is_capped(self) -> bool:
        """Whether the search counts as many authors as it shows at most, or more."""
        return self.total_count is not None and self.total_count >= self.cap

    @property
    def pages(self) -> int:
        """Number of pages that the search shows; while nothing is known, as many as it may show at most."""
        shown = self.cap if self.total_count is None else min(self.total_count, self.cap)
        return -(-shown // self.page_size)

    @property
    def most_pages(self) -> int:
        """Maximum number of pages to request."""
        return self.pages + MORE_PAGES

    def note(self, page: SearchPage) -> None:
        """Take over what a page says and holds."""
        if page.limit is not None and page.limit > 0:
            self._said = page.limit
        self._held = max(self._held, len(page.authors))
        total = page.total_count
        if total is None or total < 0 or (total == 0 and self._held):
            return
        known = total if self.total_count is None else self.total_count
        if known - total <= max(known * _DRIFT, self.page_size - 1 if total else 0):
            self.total_count = total

    def shown(self, found: int) -> int | None:
        """Return the number of authors that the search shows; None if it is unknown.

        A count that is smaller than the number of authors `found`, by a page or more, says nothing.
        """
        if self.total_count is None or self.total_count + self.page_size <= found:
            return None
        return min(self.total_count, self.cap)

    def position(self, number: int, *, found: int) -> Position:
        """Return where page `number` is, when this many distinct authors are `found`."""
        shown = self.shown(found)
        if shown is None:
            return Position.UNKNOWN
        is_behind = (number - 1) * self.page_size >= shown or found >= shown
        return Position.BEHIND_THE_END if is_behind else Position.BEFORE_THE_END
