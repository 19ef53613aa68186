"""Pages queries of the author search, several side by side, and asks the details of every author found."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from xingtu_crawler.api.endpoints import PAGE_SIZE, SEARCH, search_url
from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.arguments.square import parse_square
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.responses import ApiResponse
from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items.answers import SearchAnswer
from xingtu_crawler.items.page import parse_page, star_id_of
from xingtu_crawler.spiders.base import BATCH, XingtuSpider, failed_request, needs_storage, utc_now
from xingtu_crawler.spiders.sweep import LIMITS, MOST_LOST_IN_A_ROW, Sweep
from xingtu_crawler.storage.claims import DetailKey, details_of
from xingtu_crawler.storage.sweeps import RESULT_CAP

MOST_OPEN = 8
"""So many sweeps are under way at once: enough for a page to be there whenever details run out."""
AT_ONCE = 500
"""So many authors are looked up at once when all is done."""


class AuthorSquareSpider(XingtuSpider):
    """`scrapy crawl author_square -a keyword=… -a …`: docs/README list the arguments."""

    name = "author_square"

    planning = False
    """Set by `scrapy plan`: one page of each query is read and the sweep left open; no details are asked."""

    def parse_arguments(self, arguments: Mapping[str, str]) -> None:
        """Read the search filters and the limits."""
        self.arguments = parse_square(arguments)
        self.details = self.arguments.details
        self._sweeps: dict[str, Sweep] = {}
        self._waiting: deque[Sweep] = deque()
        """The sweeps whose next page is to be asked when there is room."""
        self._authors = 0
        self._place = asyncio.Event()
        self._all_begun = False

    @property
    def empty_queries(self) -> frozenset[str]:
        """The keys of the queries for which the API says that there is nothing, in place of a page."""
        return frozenset(
            sweep.query.key
            for sweep in self._sweeps.values()
            if sweep.stop is not None and not (sweep.pages_read or sweep.was_cut_off)
        )

    @needs_storage
    async def start(self) -> AsyncIterator[Any]:
        """Go on with the unfinished sweep of each query, or begin one."""
        queries = self.arguments.queries
        self.close_reason = "planned" if self.planning else None
        for warning in dict.fromkeys(warning for query in queries for warning in query.warnings):
            self.logger.warning("%s", warning)
        for query in queries:
            while not self.planning and sum(not each.is_done for each in self._sweeps.values()) >= MOST_OPEN:
                self._place.clear()
                await self._place.wait()
            if self._limit_reached is not None or self.is_closing():
                break
            async with self.reading:
                sweep, taken = await self._begin(query)
            for request in self._next(sweep):
                yield request
            async for request in self.paced(self._claims(taken)):
                yield request
        self._all_begun = not self.is_closing()

    async def _begin(self, query: AuthorQuery) -> tuple[Sweep, list[str]]:
        """Return the sweep of a query, and the authors whom an earlier crawl has found in it."""
        # A plan wants one page, whatever the limits, and gives up at once where that cannot be had.
        max_pages, most_lost = (None, 1) if self.planning else (self.arguments.max_pages, MOST_LOST_IN_A_ROW)
        found = None
        if not self.arguments.restart:
            found = await self.sweeps.find_open(query.key, newer_than=self.newer_than, limits=self.arguments.limits)
        if found is None:
            sweep = Sweep(f"{query.key}-{self.run_id}", query, max_pages=max_pages, most_lost=most_lost)
            self._sweeps[sweep.name] = sweep
            await self.sweeps.start(
                sweep.name, query_key=query.key, filters=query.filters, run_id=self.run_id, started_at=utc_now()
            )
            return sweep, []
        sweep = Sweep(found.sweep, query, max_pages=max_pages, most_lost=most_lost, found=found)
        self._sweeps[sweep.name] = sweep
        known = await self.sweeps.star_ids(sweep.name, before_page=found.next_page)
        self.logger.info(
            "Going on with sweep %s: %d authors known, %s",
            sweep.name,
            len(known),
            f"page {found.next_page} is next" if found.next_page else "every page read",
        )
        if self.planning:
            return sweep, []
        taken = self._take(sweep, known)
        if found.next_page is None:
            sweep.end_as_before(found.stop_reason or "no_more_pages")
        elif not sweep.end(max_authors=self._limit_reached) and found.stop_reason is not None:
            await self.sweeps.go_on(sweep.name)
        # Whoever was interrupted behind that wanted more of it: for them it stays open.
        sweep.keeps_open = (
            sweep.stop is not None
            and found.stop_reason is None
            and found.next_page is not None
            and found.next_page - 1 > self._pages_wanted()
        )
        return sweep, taken

    @needs_storage
    async def parse_page(self, response: Response, sweep: str, number: int, again: bool) -> AsyncIterator[Any]:
        """Take one page: its answer, the details of its authors, and the next page."""
        assert isinstance(response, ApiResponse)
        of = self._sweeps[sweep]
        answer = SearchAnswer(
            sweep=sweep, page=number, envelope=response.envelope, body=response.body, fetched_at=utc_now()
        )
        try:
            page = parse_page(response.envelope.data)
        except Exception as error:
            if not isinstance(error, IdentityError):  # a defect, and the answer was paid for
                self.logger.exception("Page %d could not be read", number)
            lost = of.lose(
                number, code=response.envelope.code, terminal=False, again=again, max_authors=self._limit_reached
            )
            answer.stop, answer.tried_again = lost.stop, lost.tried_again
            self.logger.warning("Page %d is not a search page: %s", number, error)
            yield answer
            for request in self._next(of):
                yield request
            return
        new = of.new([star_id for each in page.authors if (star_id := star_id_of(each))])
        taken = [] if self.planning else self._take(of, new)
        answer.stop = of.read(number, page, new, again=again, max_authors=self._limit_reached)
        # They are asked when the page is stored, and count from now on: or the pages would run ahead of them.
        expected = len(taken) * len(self.details.platforms) * len(self.details.endpoints)
        self.open_details += expected
        for request in self._next(of):  # first of all: the page is fetched while this one is being stored
            yield request
        try:
            yield answer
            for question in await self.claim(taken):
                self.open_details -= 1  # the request counts itself
                expected -= 1
                yield self.detail_request(question)
        finally:
            self.give_back(expected)
        for request in self.follow_up():
            yield request

    def page_failed(self, failure: Failure) -> Iterator[Any]:
        """Go on behind a page that cannot be had: it is tried again at the end."""
        request: Request = failure.request  # type: ignore[attr-defined]
        question = failed_request(failure, request)
        if question is None:
            return
        name, number, again = (request.cb_kwargs[key] for key in ("sweep", "number", "again"))
        sweep = self._sweeps[name]
        lost = sweep.lose(
            number, code=question.code, terminal=question.terminal, again=again, max_authors=self._limit_reached
        )
        question.sweep, question.page = name, number
        question.terminal, question.stop, question.tried_again = lost.settled, lost.stop, lost.tried_again
        if lost.stop is not None and lost.stop.reason == "page_refused" and not lost.settled:
            self.logger.warning(
                "The API refuses page %d of the search (%s, %s): check the filters",
                number,
                question.code,
                question.message,
            )
        elif lost.stop is None or not lost.settled:  # else it is the end, and told as that
            what = "it is missing" if again else lost.stop.reason if lost.stop else "going on with the next one"
            self.logger.warning("Page %d could not be had (%s): %s", number, question.reason, what)
        yield question
        yield from self._next(sweep)

    def _next(self, sweep: Sweep) -> Iterator[Request]:
        """Return the requests that a sweep is ready for: its next page or, when paging has ended, those left out."""
        if self.planning and sweep.next_page != 1:
            return
        if sweep.stop is None and sweep.next_page is not None:
            self._waiting.append(sweep)
        elif sweep.has_just_ended:
            yield from self._end(sweep)
        if sweep.is_done:
            self._place.set()
        yield from self.follow_up()

    def follow_up(self) -> Iterator[Request]:
        """Return the requests for next pages, if the details of those before leave room for theirs."""
        while self._waiting and self.has_room:
            sweep = self._waiting.popleft()
            if sweep.end(max_authors=self._limit_reached):
                yield from self._end(sweep)
                self._place.set()
            else:
                yield self._page_request(sweep, sweep.ask())

    def _end(self, sweep: Sweep) -> Iterator[Request]:
        """Say why paging has ended and return the requests for the pages that were left out."""
        assert sweep.stop is not None
        of = f" by {sweep.query.describe()}" if len(self.arguments.queries) > 1 else ""
        self.logger.info("No further page (%s): %d authors found%s", sweep.stop.reason, len(sweep.seen), of)
        if sweep.stop.reason == "pages_unreadable":
            self.logger.warning(
                "The search seems to be down: the same command goes on at page %d", sweep.stop.next_page
            )
        if self._limit_reached is not None:
            self.close_reason = "max_authors"
        for number in sweep.ask_again():
            yield self._page_request(sweep, number, again=True)

    async def finish(self) -> None:
        """Mark the sweeps finished if every page and every detail of all of them is there.

        All of them or none: else the same command would begin those anew that were done when it was interrupted.
        """
        await super().finish()
        sweeps = list(self._sweeps.values())
        if self.planning:
            # What has no page is no sweep that could go on.
            sweeps = [sweep for sweep in sweeps if sweep.query.key in self.empty_queries]
        elif not self._all_begun or self.claims.open_claims or not all(sweep.is_done for sweep in sweeps):
            return
        complete = not any(sweep.was_cut_off or sweep.keeps_open or sweep.holes for sweep in sweeps)
        # In MongoDB there may be more: pages that were read here and could not be stored.
        complete = complete and not await self.sweeps.have_holes([sweep.name for sweep in sweeps])
        complete = complete and not await self._lack_details(sweeps)
        by_limit = any(sweep.stop is not None and sweep.stop.reason in LIMITS for sweep in sweeps)
        for sweep in sweeps:
            if sweep.stop is None or sweep.was_cut_off or sweep.keeps_open:
                continue
            self._compare_with_total(sweep)
            await self.sweeps.finish(
                sweep.name,
                stop=sweep.stop,
                authors=len(sweep.seen),
                fewer=sweep.fewer,
                finished_at=utc_now(),
                complete=complete,
                limits=self.arguments.limits if by_limit else None,
            )

    async def _lack_details(self, sweeps: list[Sweep]) -> bool:
        """Tell whether details of the authors that were taken are still to be asked, by the rule that claims follow."""
        stats = self.crawler.stats
        if not (
            self.claims.passed_over
            or stats.get_value("xingtu/failures/open")
            or stats.get_value("spider_exceptions/count")
        ):
            return False  # all of them have been claimed, and no claim is left
        for sweep in sweeps:
            star_ids = [star_id for star_id, taken in sweep.seen.items() if taken]
            for at in range(0, len(star_ids), AT_ONCE):
                asked = details_of(star_ids[at : at + AT_ONCE], self.details.platforms, self.details.endpoints)
                if await self.claims.lacks(asked, newer_than=self.newer_than):
                    return True
        return False

    def _compare_with_total(self, sweep: Sweep) -> None:
        """Say how many authors the API counts and how many were found: pages shift while they are read."""
        total, found = sweep.total_count, len(sweep.seen)
        if sweep.fewer is not None:
            difference = f": {abs(sweep.fewer)} {'fewer' if sweep.fewer > 0 else 'more'}" if sweep.fewer else ""
            self.logger.info("%d distinct authors found, the API counts %d%s", found, total, difference)
        elif total is not None and total >= RESULT_CAP:
            self.logger.info("%d distinct authors found, the API counts %d or more", found, total)

    async def _claims(self, star_ids: list[str]) -> AsyncIterator[list[DetailKey]]:
        for at in range(0, len(star_ids), BATCH):
            yield await self.claim(star_ids[at : at + BATCH])

    def _take(self, sweep: Sweep, new: list[str]) -> list[str]:
        """Return those authors, new in a sweep, who are new in the crawl and within `max_authors`."""
        limit = self.details.max_authors
        others = [other.seen for other in self._sweeps.values() if other is not sweep]
        taken: list[str] = []
        for star_id in new:
            within = limit is None or self._authors + len(taken) < limit
            sweep.seen[star_id] = within and not any(star_id in seen for seen in others)
            if sweep.seen[star_id]:
                taken.append(star_id)
        self._authors += len(taken)
        self.crawler.stats.set_value("xingtu/authors", self._authors)
        return taken

    @property
    def _limit_reached(self) -> int | None:
        """`max_authors` when so many are there, None before."""
        limit = self.details.max_authors
        return limit if limit is not None and self._authors >= limit else None

    def _pages_wanted(self) -> float:
        """Return how many pages the limits that were typed come to."""
        max_authors, max_pages = self.details.max_authors, self.arguments.max_pages
        by_authors = math.inf if max_authors is None else math.ceil(max_authors / PAGE_SIZE)
        return min(by_authors, math.inf if max_pages is None else max_pages)

    def _page_request(self, sweep: Sweep, number: int, *, again: bool = False) -> Request:
        return Request(
            search_url(self.base_url, sweep.query.filters, number),
            callback=self.parse_page,
            errback=self.page_failed,
            meta={meta.ENDPOINT: SEARCH.name},
            priority=1,  # before the details that wait: what comes of it takes longest
            cb_kwargs={"sweep": sweep.name, "number": number, "again": again},
        )
