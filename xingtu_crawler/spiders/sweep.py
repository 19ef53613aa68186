"""One pass over one query as a state machine: which page is next, why paging ends, what was left out.

It knows no Scrapy and no MongoDB: the spider tells it what came of a page and asks what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xingtu_crawler.api.endpoints import PAGE_SIZE
from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.items.answers import Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.storage.sweeps import RESULT_CAP, OpenSweep

MOST_LOST_IN_A_ROW = 5
"""So many pages in a row that cannot be had, and the search is taken to be down."""
LIMITS = frozenset({"max_pages", "max_authors"})
"""The stop reasons that are limits which were typed."""
_NO_CONTENT = frozenset({201, 202})


class Lost(NamedTuple):
    """What a page that could not be had means: whether that is `settled`, or the page `tried_again` in this crawl."""

    settled: bool
    tried_again: bool
    stop: Stop | None


class Sweep:
    """The state of one pass.

    `next_page` waits to be asked: it is None while a page is, and when paging has ended. `seen` holds the authors that
    were found, and whether the crawl counts them as this sweep's; the API reaches 10,000. `holes` are the pages that
    are missing.
    """

    def __init__(
        self,
        name: str,
        query: AuthorQuery,
        *,
        max_pages: int | None = None,
        most_lost: int = MOST_LOST_IN_A_ROW,
        found: OpenSweep | None = None,
    ) -> None:
        self.name = name
        self.query = query
        self.next_page = found.next_page if found else 1
        self.total_count = found.total_count if found else None
        self.holes = set(found.holes) if found else set()
        self.seen: dict[str, bool] = {}
        self.stop: Stop | None = None
        self.pages_read = 0
        """By this crawl."""
        self.keeps_open = False
        """Whether somebody wanted more of this sweep than this crawl does."""
        self._left_out_asked = False
        self._open_pages = 0
        self._lost: list[int] = []
        self._max_pages = max_pages
        self._most_lost = most_lost
        self._resumed_at = found.next_page if found else None

    @property
    def is_done(self) -> bool:
        """Whether every page has been asked, those that were left out twice."""
        return self._left_out_asked and self._open_pages == 0

    @property
    def has_just_ended(self) -> bool:
        """Whether paging has ended and the pages that were left out have not been asked again."""
        return self.stop is not None and not self._left_out_asked

    @property
    def was_cut_off(self) -> bool:
        """Whether paging ended where it should not have: another crawl goes on there."""
        return self.stop is not None and self.stop.next_page is not None and self.stop.reason not in LIMITS

    @property
    def fewer(self) -> int | None:
        """How many authors fewer than the API counts were found (negative: more); None where that cannot be said."""
        if self.total_count is None or self.total_count >= RESULT_CAP or self.stop is None:
            return None
        return None if self.was_cut_off or self.stop.reason in LIMITS else self.total_count - len(self.seen)

    def ask(self) -> int:
        """Return the next page: it is being asked from now on."""
        assert self.next_page is not None
        number, self.next_page = self.next_page, None
        self._open_pages += 1
        return number

    def ask_again(self) -> list[int]:
        """Return, when paging has ended, the pages that are missing: they are being asked once more from now on."""
        # While the search is down that would be in vain.
        again = sorted(self.holes) if self.stop is not None and self.stop.reason != "pages_unreadable" else []
        self._left_out_asked = True
        self._open_pages += len(again)
        return again

    def end(self, *, max_authors: int | None) -> Stop | None:
        """End paging before the next page is asked, if that is not wanted; see `read` for `max_authors`."""
        if self.next_page is not None and (reason := self._limit(self.next_page - 1, max_authors)):
            self.stop, self.next_page = Stop(reason, self.next_page), None
        return self.stop

    def end_as_before(self, reason: str) -> None:
        """End the paging of a sweep whose last page an earlier crawl has read."""
        self.stop = Stop(reason)

    def new(self, star_ids: Sequence[str]) -> list[str]:
        """Return those of these authors who have not been seen, each once."""
        return [star_id for star_id in dict.fromkeys(star_ids) if star_id not in self.seen]

    def read(
        self, number: int, page: SearchPage, new: Sequence[str], *, again: bool, max_authors: int | None
    ) -> Stop | None:
        """Take a page that was read; return why no page follows it, None where one does.

        `new`: the authors on it who had not been seen. `again`: it had been missing. `max_authors`: that limit, if it
        is reached with this page; None if not.
        """
        self._open_pages -= 1
        self.pages_read += 1
        if page.total_count is not None:
            self.total_count = page.total_count
        if again:
            self.holes.discard(number)
            return None
        self._lost.clear()
        ended = self._why_ended(number, page, new)
        limit = self._limit(number, max_authors)
        if limit or ended:
            return self._stop(Stop(limit or ended or "", None if ended else number + 1))
        self.next_page = number + 1
        return None

    def lose(self, number: int, *, code: int | None, terminal: bool, again: bool, max_authors: int | None) -> Lost:
        """Take a page that could not be had: `code` and `terminal` say what came instead."""
        self._open_pages -= 1
        by_count_the_last = self.total_count is not None and number * PAGE_SIZE >= min(self.total_count, RESULT_CAP)
        refused = terminal and code is not None and code not in _NO_CONTENT
        empty = terminal and code in _NO_CONTENT and (by_count_the_last or self.total_count is None)
        # Unreadable whoever asks, beyond the end, or the end itself. All else is missing.
        settled = empty or (terminal and (code is None or by_count_the_last))
        if again:
            if settled:
                self.holes.discard(number)
            return Lost(settled, tried_again=False, stop=None)
        if not settled:
            self.holes.add(number)
        self._lost.append(number)
        stop: Stop | None = None
        if empty:
            stop = Stop("empty_page")
        elif refused:
            stop = Stop("page_refused", None if by_count_the_last else number)
        elif limit := self._limit(number, max_authors):
            stop = Stop(limit, None if by_count_the_last else number + 1)
        elif len(self._lost) >= self._most_lost:
            stop = Stop("pages_unreadable", self._lost[0])
        elif by_count_the_last:
            stop = Stop("no_more_pages")
        if stop is None:
            self.next_page = number + 1
        else:
            self._stop(stop)
        tried_again = number in self.holes and not (stop is not None and stop.reason == "pages_unreadable")
        return Lost(settled, tried_again, stop)

    def _stop(self, stop: Stop) -> Stop:
        self.stop = stop
        if stop.next_page is not None:  # from there on everything is asked by whoever goes on
            self.holes = {number for number in self.holes if number < stop.next_page}
        return stop

    def _limit(self, number: int, max_authors: int | None) -> str | None:
        """Return which limit that was typed is reached with page `number`, if any."""
        if max_authors is not None:
            return "max_authors"
        return "max_pages" if self._max_pages is not None and number >= self._max_pages else None

    def _why_ended(self, number: int, page: SearchPage, new: Sequence[str]) -> str | None:
        """Return why the query has no further page, None where it has."""
        # `has_more` missing: the page speaks for itself, a short one is the last.
        has_more = page.has_more if page.has_more is not None else len(page.authors) >= PAGE_SIZE
        # Between two crawls the ranking shifts: the first page of a later one may hold those of the page before.
        may_be_shifted = number == self._resumed_at and has_more
        reasons = {
            "empty_page": not page.authors,
            "page_number_does_not_advance": page.page is not None and page.page != number,
            "no_new_author": not new and not may_be_shifted,
            "no_more_pages": not has_more,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)
