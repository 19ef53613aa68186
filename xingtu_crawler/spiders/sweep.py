"""One pass over one query as a state machine: which page is next, why paging ends, which pages are missing.

Pages are requested one after the other. A page that fails is a hole, and paging goes on behind it. When paging has
ended, each hole is requested once more; what fails again is left to the next crawl. `_TRANSITIONS` has the phases,
`_LOSSES` what a page without authors means. The module knows no Scrapy and no MongoDB: `spiders.search` reports the
result of each page and takes the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from xingtu_crawler.api.endpoints import PAGE_SIZE
from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.items.answers import Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.storage.sweeps import LIMITS, RESULT_CAP, OpenSweep

MOST_LOST_IN_A_ROW = 5
"""The search counts as down after this many failed pages in a row."""


class Phase(StrEnum):
    """Where a sweep stands."""

    READY = "ready"
    """`next_page` can be requested."""
    REQUESTED = "requested"
    """A page is requested and has neither arrived nor failed."""
    ENDED = "ended"
    """Paging has ended; the holes have not been retried yet."""
    RETRYING = "retrying"
    """The holes are requested once more."""
    DONE = "done"
    """Nothing is left to be requested."""


_TRANSITIONS: dict[tuple[Phase, str], Phase] = {
    (Phase.READY, "request"): Phase.REQUESTED,
    (Phase.READY, "end"): Phase.ENDED,  # a limit is reached, or an earlier crawl has read the last page
    (Phase.REQUESTED, "page follows"): Phase.READY,
    (Phase.REQUESTED, "end"): Phase.ENDED,
    (Phase.ENDED, "retry"): Phase.RETRYING,
    (Phase.ENDED, "nothing to retry"): Phase.DONE,
    (Phase.RETRYING, "all retried"): Phase.DONE,
}


class _Loss(StrEnum):
    """Why a page brought no authors."""

    EMPTY = "empty"
    """The API says: no content (201, 202)."""
    REFUSED = "refused"
    """The API refuses the page (400, 404)."""
    UNREADABLE = "unreadable"
    """The response is too large or nested too deeply; the next one would be the same."""
    FAILED = "failed"
    """Every attempt failed, or the response was no search page."""


class _Position(StrEnum):
    """Where a page is, by the `total_count` of the search."""

    BEFORE_THE_END = "before the end"
    AT_THE_END = "at the end"
    """The last page, or one behind it."""
    UNKNOWN = "unknown"


class _Meaning(NamedTuple):
    """What a loss means: whether the page is `settled` (else it is a hole), and why paging ends, if it does."""

    settled: bool
    stop: str | None


_LOSSES: dict[tuple[_Loss, _Position], _Meaning] = {
    (_Loss.EMPTY, _Position.BEFORE_THE_END): _Meaning(settled=False, stop=None),
    (_Loss.EMPTY, _Position.AT_THE_END): _Meaning(settled=True, stop="empty_page"),
    (_Loss.EMPTY, _Position.UNKNOWN): _Meaning(settled=True, stop="empty_page"),
    (_Loss.REFUSED, _Position.BEFORE_THE_END): _Meaning(settled=False, stop="page_refused"),
    (_Loss.REFUSED, _Position.AT_THE_END): _Meaning(settled=True, stop="page_refused"),
    (_Loss.REFUSED, _Position.UNKNOWN): _Meaning(settled=False, stop="page_refused"),
    (_Loss.UNREADABLE, _Position.BEFORE_THE_END): _Meaning(settled=True, stop=None),
    (_Loss.UNREADABLE, _Position.AT_THE_END): _Meaning(settled=True, stop=None),
    (_Loss.UNREADABLE, _Position.UNKNOWN): _Meaning(settled=True, stop=None),
    (_Loss.FAILED, _Position.BEFORE_THE_END): _Meaning(settled=False, stop=None),
    (_Loss.FAILED, _Position.AT_THE_END): _Meaning(settled=False, stop=None),
    (_Loss.FAILED, _Position.UNKNOWN): _Meaning(settled=False, stop=None),
}


class Lost(NamedTuple):
    """The result of a lost page: whether it is `settled`, whether this crawl retries it, why paging ends (or None)."""

    settled: bool
    is_retried: bool
    stop: Stop | None


class Sweep:
    """The state of one pass.

    `next_page` is the page to request in phase `READY`, else None. `seen` has the authors found (the API shows at
    most 10,000) and whether the crawl counts them as this sweep's. `holes` are the missing pages.
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
        self.phase = Phase.READY
        self.next_page = found.next_page if found else 1
        self.total_count = found.total_count if found else None
        self.holes = set(found.holes) if found else set()
        self.seen: dict[str, bool] = {}
        self.stop: Stop | None = None
        self.pages_read = 0
        """Pages that this crawl has read."""
        self.keeps_open = False
        """True if an interrupted crawl with larger limits began this sweep: keep it resumable."""
        self._retrying: set[int] = set()
        self._lost: list[int] = []
        self._max_pages = max_pages
        self._most_lost = most_lost
        self._resumed_at = found.next_page if found else None
        self._begins_at_page_1 = found is None or found.next_page == 1

    @property
    def was_cut_off(self) -> bool:
        """Whether paging ended before the end of the search, and not by a limit: the next crawl goes on there."""
        return self.stop is not None and self.stop.next_page is not None and self.stop.reason not in LIMITS

    @property
    def is_left_open(self) -> bool:
        """Whether the next crawl goes on with the paging, whatever this one has read."""
        return self.stop is None or self.was_cut_off or self.keeps_open

    @property
    def is_empty(self) -> bool:
        """Whether the API has said that the query finds nothing, in place of page 1."""
        return self._begins_at_page_1 and self.stop is not None and not (self.pages_read or self.was_cut_off)

    @property
    def fewer(self) -> int | None:
        """How many authors fewer than `total_count` were found (negative: more); None where that cannot be said."""
        if self.total_count is None or self.total_count >= RESULT_CAP or self.stop is None:
            return None
        return None if self.was_cut_off or self.stop.reason in LIMITS else self.total_count - len(self.seen)

    def request(self) -> int:
        """Return the next page and count it as requested."""
        assert self.next_page is not None
        self._go("request")
        number, self.next_page = self.next_page, None
        return number

    def retry_holes(self) -> list[int]:
        """Return the missing pages, when paging has ended, and count them as requested once more."""
        # While the search is down a retry would fail too.
        retried = sorted(self.holes) if self.stop is not None and self.stop.reason != "pages_unreadable" else []
        self._go("retry" if retried else "nothing to retry")
        self._retrying = set(retried)
        return retried

    def end_at_limit(self, *, max_authors: int | None) -> Stop | None:
        """End paging before the next page is requested, if a limit is reached; see `read` for `max_authors`."""
        if self.next_page is not None and (reason := self._limit(self.next_page - 1, max_authors)):
            self._end(Stop(reason, self.next_page))
        return self.stop

    def end_as_before(self, reason: str) -> None:
        """End the paging of a sweep whose last page an earlier crawl has read."""
        self._end(Stop(reason))

    def new(self, star_ids: Sequence[str]) -> list[str]:
        """Return those of these authors who have not been seen, each once."""
        return [star_id for star_id in dict.fromkeys(star_ids) if star_id not in self.seen]

    def read(
        self, number: int, page: SearchPage, new: Sequence[str], *, again: bool, max_authors: int | None
    ) -> Stop | None:
        """Record a page that was read; return why no page follows it, None where one does.

        Args:
            number: the page.
            page: what is on it.
            new: the authors on it who had not been seen.
            again: whether the page was a hole.
            max_authors: that limit, if it is reached with this page, else None.
        """
        self.pages_read += 1
        if page.total_count is not None:
            self.total_count = page.total_count
        if again:
            self.holes.discard(number)
            self._retried(number)
            return None
        self._lost.clear()
        ended = self._why_ended(number, page, new)
        limit = self._limit(number, max_authors)
        if limit or ended:
            self._end(Stop(limit or ended or "", None if ended else number + 1))
        else:
            self._go_on_behind(number)
        return self.stop

    def lose(self, number: int, *, code: int | None, terminal: bool, again: bool, max_authors: int | None) -> Lost:
        """Record a page that brought no authors.

        Args:
            number: the page.
            code: the business code that came instead, if one came.
            terminal: whether another request would bring the same.
            again: whether the page was a hole.
            max_authors: that limit, if it is reached, else None.
        """
        position = self._position(number)
        settled, reason = _LOSSES[_loss(code, terminal=terminal), position]
        if again:
            if settled:
                self.holes.discard(number)
            self._retried(number)
            return Lost(settled, is_retried=False, stop=None)
        if not settled:
            self.holes.add(number)
        self._lost.append(number)
        at_the_end = position is _Position.AT_THE_END
        if reason is not None:
            stop = Stop(reason, None if settled else number)
        elif limit := self._limit(number, max_authors):
            stop = Stop(limit, None if at_the_end else number + 1)
        elif len(self._lost) >= self._most_lost:
            stop = Stop("pages_unreadable", self._lost[0])
        elif at_the_end:
            stop = Stop("no_more_pages")
        else:
            self._go_on_behind(number)
            return Lost(settled, number in self.holes, None)
        self._end(stop)
        return Lost(settled, number in self.holes and stop.reason != "pages_unreadable", stop)

    def _go(self, event: str) -> None:
        self.phase = _TRANSITIONS[self.phase, event]

    def _go_on_behind(self, number: int) -> None:
        self._go("page follows")
        self.next_page = number + 1

    def _end(self, stop: Stop) -> None:
        self._go("end")
        self.stop, self.next_page = stop, None
        if stop.next_page is not None:  # the crawl that goes on there requests everything from there on
            self.holes = {number for number in self.holes if number < stop.next_page}

    def _retried(self, number: int) -> None:
        self._retrying.discard(number)
        if not self._retrying:
            self._go("all retried")

    def _position(self, number: int) -> _Position:
        if self.total_count is None:
            return _Position.UNKNOWN
        # Behind its 10,000th author the search shows nothing, however many it counts.
        is_last = number * PAGE_SIZE >= min(self.total_count, RESULT_CAP)
        return _Position.AT_THE_END if is_last else _Position.BEFORE_THE_END

    def _limit(self, number: int, max_authors: int | None) -> str | None:
        """Return which limit of the user's is reached with page `number`, if any."""
        if max_authors is not None:
            return "max_authors"
        return "max_pages" if self._max_pages is not None and number >= self._max_pages else None

    def _why_ended(self, number: int, page: SearchPage, new: Sequence[str]) -> str | None:
        """Return why the query has no further page, None where it has one."""
        # Without `has_more` the number of authors decides: only the last page is not full.
        has_more = page.has_more if page.has_more is not None else len(page.authors) >= PAGE_SIZE
        # Between two crawls the ranking shifts: the first page of a later one may repeat the page before it.
        may_be_shifted = number == self._resumed_at and has_more
        reasons = {
            "empty_page": not page.authors,
            "page_number_does_not_advance": page.page is not None and page.page != number,
            "no_new_author": not new and not may_be_shifted,
            "no_more_pages": not has_more,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)


def _loss(code: int | None, *, terminal: bool) -> _Loss:
    if not terminal:
        return _Loss.FAILED
    if code is None:
        return _Loss.UNREADABLE
    return _Loss.EMPTY if code in {201, 202} else _Loss.REFUSED
