"""All sweeps of one crawl: which authors count, which page is next when there is room, whether all of it is complete.

It knows no Scrapy and no MongoDB. The spider reports what comes and requests the `Page`s that are due.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.arguments.square import SquareArguments
from xingtu_crawler.items.answers import FailedRequest, Stop
from xingtu_crawler.items.page import SearchPage, star_id_of
from xingtu_crawler.spiders.sweep import Lost, Phase, Received, Sweep
from xingtu_crawler.storage.sweeps import LIMITS, RESULT_CAP, OpenSweep

logger = logging.getLogger(__name__)

MOST_OPEN = 8
"""Maximum number of sweeps under way at once: enough to have a page ready whenever details run out."""


class Page(NamedTuple):
    """A page to request; `again`: it was missing and is requested once more."""

    sweep: Sweep
    number: int
    again: bool = False


class Resumed(NamedTuple):
    """A sweep that an earlier crawl left, those of its authors who count, and whether its paging goes on."""

    sweep: Sweep
    taken: list[str]
    goes_on: bool


class Search:
    """The sweeps of one crawl.

    `has_room` returns whether so few details are open that the next page may be requested. `cap` is the maximum number
    of authors that a search shows.
    """

    def __init__(self, arguments: SquareArguments, *, has_room: Callable[[], bool], cap: int = RESULT_CAP) -> None:
        self.sweeps: dict[str, Sweep] = {}
        self.authors = 0
        """Authors that count: distinct in the crawl and within `max_authors`."""
        self._found: set[str] = set()
        """The authors of all sweeps: with hundreds of sweeps, a look into each of them would take minutes."""
        self._arguments = arguments
        self._has_room = has_room
        self._cap = cap
        self._waiting: deque[Sweep] = deque()
        """The sweeps whose next page is requested when there is room."""
        self._one_done = asyncio.Event()
        self._all_begun = False

    @property
    def close_reason(self) -> str | None:
        """Why the crawl is over when nothing is left to be requested; None for `finished`."""
        return None if self.max_authors_reached is None else "max_authors"

    @property
    def max_authors_reached(self) -> int | None:
        """`max_authors` once that many authors count, else None."""
        limit = self._arguments.details.max_authors
        return limit if limit is not None and self.authors >= limit else None

    @property
    def expected(self) -> int | None:
        """Number of authors that the search will find, by what the API counts; None before the first page.

        A query that has not begun is expected to find as many authors as the others on average.
        """
        max_pages, max_authors = self._arguments.max_pages, self._arguments.details.max_authors
        known = [
            len(sweep.seen)
            if sweep.phase is Phase.DONE
            else min(sweep.total_count or 0, self._cap, (max_pages or self._cap) * sweep.page_size)
            for sweep in self.sweeps.values()
            if sweep.phase is Phase.DONE or sweep.total_count is not None
        ]
        if not known:
            return None
        expected = sum(known) * len(self._arguments.queries) // len(known)
        return expected if max_authors is None else min(expected, max_authors)

    # --- Sweeps begin --------------------------------------------------------------------------------------

    async def wait_for_place(self) -> None:
        """Return when fewer than `MOST_OPEN` sweeps are under way."""
        while sum(sweep.phase is not Phase.DONE for sweep in self.sweeps.values()) >= MOST_OPEN:
            self._one_done.clear()
            await self._one_done.wait()

    def begin(self, name: str, query: AuthorQuery) -> Sweep:
        """Return a new sweep."""
        return self._add(Sweep(name, query, cap=self._cap, max_pages=self._arguments.max_pages))

    def resume(self, query: AuthorQuery, found: OpenSweep, known: Sequence[str]) -> Resumed:
        """Take over the sweep that an earlier crawl left; `known` are the authors on the pages before the next one."""
        sweep = self._add(Sweep(found.sweep, query, cap=self._cap, max_pages=self._arguments.max_pages, found=found))
        taken = self._take(sweep, known)
        if found.next_page is None:
            sweep.end_as_before(found.stop_reason or "no_more_pages")
        else:
            sweep.end_at_limit(max_authors=self.max_authors_reached)
        sweep.keeps_open = (
            sweep.stop is not None
            and found.stop_reason is None
            and found.next_page is not None
            and found.next_page - 1 > self._pages_wanted(sweep)
        )
        return Resumed(sweep, taken, goes_on=sweep.stop is None)

    def all_begun(self) -> None:
        """Record that the sweep of every query has begun."""
        self._all_begun = True

    def _add(self, sweep: Sweep) -> Sweep:
        self.sweeps[sweep.name] = sweep
        return sweep

    def _pages_wanted(self, sweep: Sweep) -> float:
        """Return the number of pages of a sweep within the limits of the user's."""
        max_authors, max_pages = self._arguments.details.max_authors, self._arguments.max_pages
        by_authors = math.inf if max_authors is None else math.ceil(max_authors / sweep.page_size)
        return min(by_authors, math.inf if max_pages is None else max_pages)

    # --- Pages come ----------------------------------------------------------------------------------------

    def read(self, sweep: Sweep, number: int, page: SearchPage, *, again: bool) -> tuple[Received, list[str]]:
        """Record a page; return its result and those of its authors who count now."""
        new = sweep.new([star_id for author in page.authors if (star_id := star_id_of(author))])
        taken = self._take(sweep, new)
        received = sweep.read(number, page, new, again=again, max_authors=self.max_authors_reached)
        if received.is_hole:
            then = _then(received.stop, again)
            if page.authors:
                logger.warning("Page %d repeats authors, although the search counts more: %s", number, then)
            else:
                logger.warning("Page %d is empty, although the search counts more: %s", number, then)
        return received, taken

    def lose(self, sweep: Sweep, number: int, *, code: int | None, terminal: bool, again: bool) -> Lost:
        """Record a page that brought no authors; see `Sweep.lose`."""
        return sweep.lose(number, code=code, terminal=terminal, again=again, max_authors=self.max_authors_reached)

    def fail(self, sweep: Sweep, number: int, failed: FailedRequest, *, again: bool) -> None:
        """Record a page whose request failed, in `failed` too, and log it."""
        lost = self.lose(sweep, number, code=failed.code, terminal=failed.terminal, again=again)
        failed.sweep, failed.page = sweep.name, number
        failed.terminal, failed.stop, failed.tried_again = lost.settled, lost.stop, lost.is_retried
        if lost.stop is not None and lost.stop.reason == "page_refused" and not lost.settled:
            logger.warning(
                "The API refuses page %d of the search (%s, %s): check the filters", number, failed.code, failed.message
            )
        elif lost.stop is None or not lost.settled:  # else it is the end of the search, which `_end` logs
            logger.warning("Could not fetch page %d (%s): %s", number, failed.reason, _then(lost.stop, again))

    def leave_open(self, sweep: Sweep) -> None:
        """Stop reading a sweep: a later crawl goes on with it."""
        sweep.leave_open()
        self._one_done.set()

    def _take(self, sweep: Sweep, new: Sequence[str]) -> list[str]:
        """Return those authors, new in a sweep, who are new in the crawl and within `max_authors`."""
        limit = self._arguments.details.max_authors
        taken: list[str] = []
        for star_id in new:
            is_within = limit is None or self.authors + len(taken) < limit
            sweep.seen[star_id] = is_within and star_id not in self._found
            if sweep.seen[star_id]:
                taken.append(star_id)
        self._found.update(new)
        self.authors += len(taken)
        return taken

    # --- Pages are due -------------------------------------------------------------------------------------

    def next(self, sweep: Sweep) -> Iterator[Page]:
        """Yield the pages that are due after something came of a sweep: its next page, its holes, or another's."""
        if sweep.phase is Phase.READY:
            self._waiting.append(sweep)
        elif sweep.phase is Phase.ENDED:
            yield from self._end(sweep)
        if sweep.phase is Phase.DONE:
            self._one_done.set()
        yield from self.due()

    def due(self) -> Iterator[Page]:
        """Yield the next pages of the sweeps that wait, while the details of the pages before leave room."""
        while self._waiting and self._has_room():
            sweep = self._waiting.popleft()
            if sweep.end_at_limit(max_authors=self.max_authors_reached):
                yield from self._end(sweep)
                self._one_done.set()
            else:
                yield Page(sweep, sweep.request())

    def _end(self, sweep: Sweep) -> Iterator[Page]:
        """Log why paging has ended and yield the missing pages."""
        assert sweep.stop is not None
        of = f" by {sweep.query.describe()}" if len(self._arguments.queries) > 1 else ""
        logger.info("No further page (%s): %d authors found%s", sweep.stop.reason, len(sweep.seen), of)
        if sweep.was_cut_off:
            _warn_of_end(sweep.stop)
        for number in sweep.retry_holes():
            yield Page(sweep, number, again=True)

    # --- Sweeps are finished -------------------------------------------------------------------------------

    def ended(self) -> list[Sweep]:
        """Return all sweeps if nothing of any of them is left to be requested, else none.

        All or none: else the same command would begin those anew that were done when it was interrupted.
        """
        sweeps = list(self.sweeps.values())
        return sweeps if self._all_begun and all(sweep.phase is Phase.DONE for sweep in sweeps) else []

    @property
    def has_ended_by_limit(self) -> bool:
        """Whether a limit of the user's ended one of the sweeps."""
        return any(sweep.stop is not None and sweep.stop.reason in LIMITS for sweep in self.sweeps.values())


def _warn_of_end(stop: Stop) -> None:
    """Log that paging has ended too early, and where the next crawl goes on."""
    match stop.reason:
        case "pages_unreadable":
            logger.warning(
                "The search seems to be down: run the same command later, it resumes at page %d", stop.next_page
            )
        case "no_progress":
            logger.warning(
                "The search shows no further author, although it counts more: run the same command again, it resumes "
                "at page %d",
                stop.next_page,
            )
        case "too_many_pages":
            logger.warning(
                "The search shows more pages than it counts: run the same command again, it resumes at page %d",
                stop.next_page,
            )


def _then(stop: Stop | None, again: bool) -> str:
    """Return what happens after a page that is missing."""
    return "it is missing" if again else stop.reason if stop else "going on with the next page"


def comparison(sweep: Sweep) -> str | None:
    """Return how many authors a sweep found and the API counts, None where that is unknown: pages shift meanwhile."""
    total, found = sweep.total_count, len(sweep.seen)
    if sweep.fewer is not None:
        difference = f": {abs(sweep.fewer)} {'fewer' if sweep.fewer > 0 else 'more'}" if sweep.fewer else ""
        return f"{found} distinct authors found, the API counts {total}{difference}"
    if sweep.extent.is_capped:
        return f"{found} distinct authors found, the API counts {total} or more"
    return None
