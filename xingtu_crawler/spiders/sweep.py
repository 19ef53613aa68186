"""One pass over one query as a state machine: which page is next, why paging ends, which pages are missing.

Pages are requested one after the other. An idle page, one that failed or brought no new author, ends paging only behind
the last author that the search counts. Before that it is a hole: paging goes on with the next page, and the hole is
requested once more when paging has ended. After three idle pages in a row, paging goes back to the first of them, once;
the next time it ends there, and the next crawl continues there. What stays missing is left to the next crawl.

`_TRANSITIONS` has the phases, `Extent` the bound on the number of requests. The module knows no Scrapy and no MongoDB:
`spiders.search` reports the result of each page and takes the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.items.answers import Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.spiders.extent import MORE_PAGES, Extent, Position
from xingtu_crawler.storage.sweeps import LIMITS, RESULT_CAP, OpenSweep

MOST_IDLE_IN_A_ROW = 3
"""Paging ends after this many idle pages in a row."""


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


class _Idle(StrEnum):
    """Why a page brought no new author."""

    EMPTY = "empty"
    """It has no authors, or the API says: no content (201, 202)."""
    REPEATED = "repeated"
    """All of its authors were found before."""
    LAST = "last"
    """It brought authors, and says that no page follows although the search counts more: only the next page tells."""
    REFUSED = "refused"
    """The API refuses the page (400, 404)."""
    UNREADABLE = "unreadable"
    """The response is too large or nested too deeply; in this crawl the next one would be the same."""
    FAILED = "failed"
    """Every attempt failed, or the response was no search page."""


_ANSWERED = frozenset({_Idle.EMPTY, _Idle.REPEATED, _Idle.LAST})
_ABSENT = frozenset({_Idle.EMPTY, _Idle.REFUSED})
"""What the API returns for pages that do not exist."""


class _IdlePage(NamedTuple):
    """A page in a row of idle pages; `says_more`: it says itself that a page follows."""

    number: int
    why: _Idle
    says_more: bool = False


class Received(NamedTuple):
    """The result of a page that was read: why no page follows it (None: one does), and whether it is still missing."""

    stop: Stop | None
    is_hole: bool = False


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
        cap: int = RESULT_CAP,
        max_pages: int | None = None,
        most_idle: int = MOST_IDLE_IN_A_ROW,
        found: OpenSweep | None = None,
    ) -> None:
        self.name = name
        self.query = query
        self.phase = Phase.READY
        self.next_page = found.next_page if found else 1
        self.extent = Extent(cap=cap)
        if found:
            self.extent = Extent(cap=cap, total_count=found.total_count, page_size=found.page_size)
        self.holes = set(found.holes) if found else set()
        self.seen: dict[str, bool] = {}
        self.stop: Stop | None = None
        self.pages_read = 0
        """Pages that this crawl has read."""
        self.keeps_open = False
        """True if an interrupted crawl with larger limits began this sweep: keep it resumable."""
        self._retrying: set[int] = set()
        self._row: list[_IdlePage] = []
        self._has_gone_back = False
        self._requests = 0
        self._unreadable: set[int] = set()
        self._held: dict[int, int] = {}
        """How many authors the pages hold that brought new ones, by number."""
        self._max_pages = max_pages
        self._most_idle = most_idle
        self._begins_at = 1 if found is None else found.next_page or 0
        self._may_be_shifted = found is not None and not _was_stuck(found)

    @property
    def total_count(self) -> int | None:
        """Number of authors that the search counts, as far as that can be believed."""
        return self.extent.total_count

    @property
    def page_size(self) -> int:
        """Number of authors on a page."""
        return self.extent.page_size

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
        """Whether the API has said that the query finds no author."""
        is_at_the_end = self.stop is not None and self.stop.next_page is None
        return self._begins_at == 1 and is_at_the_end and not (self._held or self.holes)

    @property
    def fewer(self) -> int | None:
        """How many authors fewer than `total_count` were found (negative: more); None where that cannot be said."""
        if self.total_count is None or self.extent.is_capped or self.stop is None:
            return None
        return None if self.was_cut_off or self.stop.reason in LIMITS else self.total_count - len(self.seen)

    def request(self) -> int:
        """Return the next page and count it as requested."""
        assert self.next_page is not None
        self._go("request")
        self._requests += 1
        number, self.next_page = self.next_page, None
        return number

    def retry_holes(self) -> list[int]:
        """Return the pages to request once more, when paging has ended: the holes, and pages that are too short."""
        # While the search is down a retry would fail too.
        is_down = self.stop is None or self.stop.reason == "pages_unreadable"
        left = max(0, self.extent.most_pages - self._requests)
        retried = [] if is_down else [*sorted(self.holes - self._unreadable), *self._short()][:left]
        self._go("retry" if retried else "nothing to retry")
        self._requests += len(retried)
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

    # --- Pages come ----------------------------------------------------------------------------------------

    def read(
        self, number: int, page: SearchPage, new: Sequence[str], *, again: bool, max_authors: int | None
    ) -> Received:
        """Record a page that was read.

        Args:
            number: the page.
            page: what is on it.
            new: the authors on it who had not been seen; they are in `seen` by now.
            again: whether the page is requested once more at the end.
            max_authors: that limit, if it is reached with this page, else None.
        """
        self.pages_read += 1
        self.extent.note(page)
        if new:
            self._held[number] = len(page.authors)
        # Between two crawls the ranking shifts: the first page of a later one may repeat the page before it.
        is_shifted = self._may_be_shifted and number == self._begins_at
        brings = bool(new) or (bool(page.authors) and (is_shifted or number in self._held))
        if again:
            return self._read_again(number, brings=brings)
        if not brings:
            why = _Idle.REPEATED if page.authors else _Idle.EMPTY
            return self._idle(_IdlePage(number, why, page.has_more is True), max_authors)
        self._row.clear()
        self.holes.discard(number)
        is_last = page.has_more is False and self._may_end_after(number)
        limit = self._limit(number, max_authors)
        if is_last or limit:
            stop = Stop(limit or "no_more_pages", None if is_last else number + 1)
            self._end(replace(stop, void_from=self._void(number + 1)) if is_last else stop)
        else:
            if page.has_more is False:
                self._row.append(_IdlePage(number, _Idle.LAST))
            self._go_on_behind(number)
        return Received(self.stop)

    def lose(self, number: int, *, code: int | None, terminal: bool, again: bool, max_authors: int | None) -> Lost:
        """Record a page that did not come.

        Args:
            number: the page.
            code: the business code that came instead, if one came.
            terminal: whether another request would bring the same.
            again: whether the page is requested once more at the end.
            max_authors: that limit, if it is reached, else None.
        """
        why = _why_lost(code, terminal=terminal)
        if again:
            is_absent = why is _Idle.EMPTY and self._position(number) is Position.BEHIND_THE_END
            if is_absent:
                self.holes.discard(number)
            self._retried(number)
            return Lost(number not in self.holes, is_retried=False, stop=None)
        if why is _Idle.REFUSED and number == 1 and self.total_count is None:  # the query is refused, not a page
            self._end(Stop("page_refused", 1))
            return Lost(settled=False, is_retried=False, stop=self.stop)
        stop, is_hole = self._idle(_IdlePage(number, why), max_authors)
        is_cut_off = stop is not None and (stop.next_page or number + 1) <= number
        is_retried = is_hole and not is_cut_off and why is not _Idle.UNREADABLE
        if why is _Idle.UNREADABLE:
            self._unreadable.add(number)
        return Lost(not is_hole, is_retried, stop)

    def _read_again(self, number: int, *, brings: bool) -> Received:
        if brings or self._position(number) is Position.BEHIND_THE_END:
            self.holes.discard(number)
        self._retried(number)
        return Received(None, number in self.holes)

    def _idle(self, page: _IdlePage, max_authors: int | None) -> Received:
        """Record an idle page: it is the end of the search or a hole."""
        number, position = page.number, self._position(page.number)
        is_behind = position is Position.BEHIND_THE_END
        finds_nothing = number == 1 and position is Position.UNKNOWN and not page.says_more
        if (page.why in _ANSWERED and is_behind) or (page.why is _Idle.EMPTY and finds_nothing):
            reason = "empty_page" if page.why is _Idle.EMPTY else "no_new_author"
            self._end(Stop(reason, void_from=self._void(self._first_absent(number))))
            return Received(self.stop)
        self._row.append(page)
        self.holes.add(number)
        if limit := self._limit(number, max_authors):
            self._end(Stop(limit, number + 1))
        elif len(self._row) >= self._most_idle:
            self._end_row()
        else:
            self._go_on_behind(number)
        return Received(self.stop, number in self.holes or self.was_cut_off)

    def _end_row(self) -> None:
        """Go back to the first page of a row of idle pages, or end paging: behind the end of the search, or there."""
        first = self._row[0].number
        why = {page.why for page in self._row}
        if why <= _ABSENT and self._first_absent(first + len(self._row)) == first:
            self._end(Stop("empty_page" if _Idle.EMPTY in why else "page_refused", void_from=first))
        elif why <= _ANSWERED and not self._has_gone_back and self._requests < self.extent.most_pages:
            self._has_gone_back = True
            self._row.clear()
            self._go("page follows")
            self.next_page = first
        elif why & {_Idle.FAILED, _Idle.UNREADABLE}:
            self._end(Stop("pages_unreadable", first))
        else:
            self._end(Stop("page_refused" if _Idle.REFUSED in why else "no_progress", first))

    def _first_absent(self, number: int) -> int:
        """Return the first of the idle pages right before `number` that do not exist, as far as the search says."""
        for page in reversed(self._row):
            is_known = self._position(page.number) is Position.BEFORE_THE_END or page.says_more
            if page.why not in _ABSENT or is_known:
                break
            number = page.number
        return number

    def _void(self, first: int) -> int | None:
        """Return `first` if a page from there on is a hole, although there is no such page."""
        return first if any(number >= first for number in self.holes) else None

    # --- Steps ---------------------------------------------------------------------------------------------

    def leave_open(self) -> None:
        """Request nothing more; without a `stop` the sweep stays open."""
        self.phase, self.next_page = Phase.DONE, None

    def _go(self, event: str) -> None:
        self.phase = _TRANSITIONS[self.phase, event]

    def _go_on_behind(self, number: int) -> None:
        last = max(self.extent.pages, self._begins_at - 1) + MORE_PAGES
        if number >= last or self._requests >= self.extent.most_pages:
            self._end(Stop("too_many_pages", self._row[0].number if self._row else number + 1))
            return
        self._go("page follows")
        self.next_page = number + 1

    def _end(self, stop: Stop) -> None:
        self._go("end")
        self.stop, self.next_page = stop, None
        # The crawl that goes on at `next_page` requests everything from there on.
        bound = stop.void_from if stop.next_page is None else stop.next_page
        if bound is not None:
            self.holes = {number for number in self.holes if number < bound}

    def _retried(self, number: int) -> None:
        self._retrying.discard(number)
        if not self._retrying:
            self._go("all retried")

    def _position(self, number: int) -> Position:
        return self.extent.position(number, found=len(self.seen))

    def _may_end_after(self, number: int) -> bool:
        """Return whether the search counts no author behind page `number`."""
        return self._position(number + 1) is not Position.BEFORE_THE_END

    def _short(self) -> list[int]:
        """Return the pages that hold fewer authors than they should, if authors are missing at the end."""
        shown = self.extent.shown(len(self.seen))
        is_at_the_end = self.stop is not None and self.stop.next_page is None
        if shown is None or len(self.seen) >= shown or not is_at_the_end:
            return []
        size = self.page_size
        return [number for number, held in self._held.items() if held < size and number * size < shown]

    def _limit(self, number: int, max_authors: int | None) -> str | None:
        """Return which limit of the user's is reached with page `number`, if any."""
        if max_authors is not None:
            return "max_authors"
        return "max_pages" if self._max_pages is not None and number >= self._max_pages else None


def _was_stuck(found: OpenSweep) -> bool:
    """Return whether the page before which an earlier crawl has stopped, or the page before that, brought nothing."""
    return found.stop_reason == "no_progress" or (found.next_page or 0) - 1 in found.holes


def _why_lost(code: int | None, *, terminal: bool) -> _Idle:
    if not terminal:
        return _Idle.FAILED
    if code is None:
        return _Idle.UNREADABLE
    return _Idle.EMPTY if code in {201, 202} else _Idle.REFUSED
