"""Page 1 of each query and nothing else: what `scrapy plan` reads before it estimates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.spiders.search import Page, Search
from xingtu_crawler.spiders.sweep import Sweep


class FirstPages(Search):
    """Reads page 1 of each query, so that a crawl goes on behind the page.

    No author counts, the limits of the user's do not matter, and a page that fails is not requested again.
    """

    @property
    def close_reason(self) -> str | None:
        """Why the crawl is over."""
        return "planned"

    def begin(self, name: str, query: AuthorQuery) -> Sweep:
        """Return a new sweep."""
        return self._add(Sweep(name, query, cap=self._cap, most_idle=1))

    def next(self, sweep: Sweep) -> Iterator[Page]:
        """Yield page 1, if it has not been requested."""
        if sweep.next_page == 1:
            yield Page(sweep, sweep.request())

    def ended(self) -> list[Sweep]:
        """Return the sweeps that no author matches."""
        return [sweep for sweep in self.sweeps.values() if sweep.is_empty]

    def _take(self, sweep: Sweep, new: Sequence[str]) -> list[str]:
        return []
