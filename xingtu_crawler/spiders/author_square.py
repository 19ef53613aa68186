"""Pages one query of the author search and asks the details of every author found."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from xingtu_crawler import meta
from xingtu_crawler.api.endpoints import PAGE_SIZE, SEARCH, search_url
from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items.answers import FailedQuestion, SearchAnswer
from xingtu_crawler.items.page import SearchPage, parse_page, star_id_of
from xingtu_crawler.responses import ApiResponse
from xingtu_crawler.spiders.arguments import parse_square
from xingtu_crawler.spiders.base import BATCH, XingtuSpider, failed_question, needs_storage, utc_now
from xingtu_crawler.storage.ledger import Question
from xingtu_crawler.storage.sweeps import RESULT_CAP

MOST_HOLES_IN_A_ROW = 5
"""So many pages in a row that cannot be had, and the search is taken to be down."""


class AuthorSquareSpider(XingtuSpider):
    """`scrapy crawl author_square -a keyword=… -a …`: docs/README list the arguments."""

    name = "author_square"

    planning = False
    """Set by `scrapy plan`: one page of the search is read and the sweep left open; no details are asked."""

    def parse_arguments(self, arguments: Mapping[str, str]) -> None:
        """Read the search filters and the limits."""
        self.arguments = parse_square(arguments)
        self.details = self.arguments.details
        self.query = self.arguments.query
        self.sweep = ""
        self.seen: set[str] = set()
        """The authors of this sweep; the API reaches 10,000 at most."""
        self._taken: set[str] = set()
        self._pages = 0
        self._holes: list[int] = []
        self._holes_in_a_row = 0
        self._total_count: int | None = None
        self._stop_reason: str | None = None
        self._open_pages = 0
        self._next_page: int | None = None

    @needs_storage
    async def start(self) -> AsyncIterator[Any]:
        """Go on with an unfinished sweep of this query, or begin one."""
        for warning in self.query.warnings:
            self.logger.warning("%s", warning)
        unfinished = None if self.arguments.restart else await self.sweeps.find_open(self.query.key)
        if unfinished is None:
            self.sweep = f"{self.query.key}-{self.run_id}"
            await self.sweeps.start(
                self.sweep,
                query_key=self.query.key,
                filters=self.query.filters,
                run_id=self.run_id,
                started_at=utc_now(),
            )
            yield self._page_request(1)
            return
        self.sweep = unfinished.sweep
        self._total_count = unfinished.total_count
        self._holes = list(unfinished.holes)
        self._pages = unfinished.pages_read
        if self.planning:
            if unfinished.next_page is not None:
                yield self._page_request(unfinished.next_page)
            return
        known = await self.sweeps.star_ids(self.sweep, before_page=unfinished.next_page)
        self.logger.info(
            "Going on with sweep %s: %d authors known, %s",
            self.sweep,
            len(known),
            f"page {unfinished.next_page} is next" if unfinished.next_page else "every page read",
        )
        self.seen.update(known)
        taken = self._take(known)
        if unfinished.next_page is None:
            requests = self._end_of_pages("resumed")
        elif limit := self._limit():
            # As much as is wanted has been read before: no further page is paid for.
            if unfinished.pages_read > self._pages_wanted():
                # More than that, in fact: the sweep stays open for whoever wanted more of it.
                self.logger.info("No further page (%s): the sweep stays open at page %d", limit, unfinished.next_page)
                self.close_reason = limit if limit == "max_authors" else None
                requests = []
            else:
                requests = self._end_of_pages(limit)
                await self.sweeps.pages_done(self.sweep, limit)
        else:
            requests = [self._page_request(unfinished.next_page)]
        for request in requests:
            yield request
        async for request in self.paced(self._claims(taken)):
            yield request

    @needs_storage
    async def parse_page(self, response: Response, number: int, again: bool) -> AsyncIterator[Any]:
        """Take one page: its answer, the details of its authors, and the next page."""
        assert isinstance(response, ApiResponse)
        self._open_pages -= 1
        self._holes_in_a_row = 0
        answer = SearchAnswer(
            sweep=self.sweep, page=number, envelope=response.envelope, body=response.body, fetched_at=utc_now()
        )
        try:
            page = parse_page(response.envelope.data)
        except IdentityError as error:
            self.logger.warning("Page %d is not a search page: %s", number, error)
            page = None
        star_ids = [] if page is None else [star_id for each in page.authors if (star_id := star_id_of(each))]
        new = [star_id for star_id in dict.fromkeys(star_ids) if star_id not in self.seen]
        if self.planning:
            yield answer
            await self._leave_open(number, page, new)
            return
        self.seen.update(new)
        taken = self._take(new)
        if not again:
            self._pages += 1
        reason = None if again else self._why_stop(number, page, new)
        # They are asked when the page is stored, and count from now on: or the pages would run ahead of them.
        expected = len(taken) * len(self.details.platforms) * len(self.details.endpoints)
        self.open_details += expected
        if not again and reason is None:
            self._next_page = number + 1
            for request in self.follow_up():  # first of all: the page is fetched while this one is being stored
                yield request
        try:
            yield answer
            for question in await self.claim(taken):
                self.open_details -= 1  # the request counts itself
                expected -= 1
                yield self.detail_request(question)
        finally:
            self.open_details -= expected
        for request in self.follow_up():
            yield request
        if reason:
            for request in self._end_of_pages(reason):
                yield request
            await self.sweeps.pages_done(self.sweep, reason)

    def follow_up(self) -> Iterator[Request]:
        """Return the request for the next page, if the details of those before leave room for its own."""
        if self._next_page is not None and self.has_room:
            number, self._next_page = self._next_page, None
            yield self._page_request(number)

    def page_failed(self, failure: Failure) -> Iterator[Any]:
        """Go on behind a page that cannot be had: it is tried again at the end."""
        request: Request = failure.request  # type: ignore[attr-defined]
        question = failed_question(failure, request)
        if question is None:
            return
        self._open_pages -= 1
        number, again = request.cb_kwargs["number"], request.cb_kwargs["again"]
        question.sweep, question.page = self.sweep, number
        yield question
        if again:
            return
        if self.planning:
            self.close_reason = "planned"
            # What will never be answered is no sweep that could go on.
            self._stop_reason = "page_refused" if question.terminal else None
            return
        self._holes_in_a_row += 1
        reason = self._why_stop_at_hole(number, question)
        if reason is None or not question.terminal:
            self._holes.append(number)
        self.logger.warning(
            "Page %d could not be had (%s): %s", number, question.reason, reason or "going on with the next one"
        )
        if reason:
            yield from self._end_of_pages(reason)
        else:
            self._next_page = number + 1
            yield from self.follow_up()

    async def finish(self) -> None:
        """Mark the sweep finished if every page and every detail of it has been settled."""
        if not self.sweep:
            return
        if self._stop_reason is not None and self._open_pages == 0 and self.ledger.open_claims == 0:
            await self.sweeps.finish(self.sweep, authors=len(self.seen), finished_at=utc_now())
            self._compare_with_total()

    def _compare_with_total(self) -> None:
        """Say how many authors the API counts and how many were found: pages shift while they are read."""
        if self._total_count is None or self._stop_reason in {"max_authors", "max_pages"}:
            return
        counted = f"{self._total_count} or more" if self._total_count >= RESULT_CAP else str(self._total_count)
        self.logger.info("%d distinct authors found, the API counts %s", len(self.seen), counted)

    async def _claims(self, star_ids: list[str]) -> AsyncIterator[list[Question]]:
        for at in range(0, len(star_ids), BATCH):
            yield await self.claim(star_ids[at : at + BATCH])

    def _take(self, star_ids: list[str]) -> list[str]:
        """Return those authors whose details are to be asked, up to `max_authors`."""
        limit = self.details.max_authors
        taken = star_ids if limit is None else star_ids[: max(0, limit - len(self._taken))]
        self._taken.update(taken)
        self.crawler.stats.set_value("xingtu/authors", len(self._taken))
        return taken

    def _why_stop(self, number: int, page: SearchPage | None, new: list[str]) -> str | None:
        """Return why no page is to follow this one; None where one is."""
        if page is None:
            return None
        self._total_count = page.total_count if page.total_count is not None else self._total_count
        return self._limit() or self._why_ended(number, page, new)

    def _pages_wanted(self) -> float:
        """Return how many pages the limits that were typed come to."""
        max_authors, max_pages = self.details.max_authors, self.arguments.max_pages
        by_authors = math.inf if max_authors is None else math.ceil(max_authors / PAGE_SIZE)
        return min(by_authors, math.inf if max_pages is None else max_pages)

    def _limit(self) -> str | None:
        """Return which limit that was typed is reached, if any."""
        max_pages = self.arguments.max_pages
        if self._limit_reached:
            return "max_authors"
        return "max_pages" if max_pages is not None and self._pages >= max_pages else None

    def _why_ended(self, number: int, page: SearchPage, new: list[str]) -> str | None:
        """Return why the query has no further page, None where it has."""
        # `has_more` missing: the page speaks for itself, a short one is the last.
        has_more = page.has_more if page.has_more is not None else len(page.authors) >= PAGE_SIZE
        reasons = {
            "empty_page": not page.authors,
            "page_number_does_not_advance": page.page is not None and page.page != number,
            "no_new_author": not new,
            "no_more_pages": not has_more,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _why_stop_at_hole(self, number: int, question: FailedQuestion) -> str | None:
        if question.terminal:
            # Not a hole: the API says that there is no such page, or that the query is wrong.
            return "empty_page" if question.code in {201, 202} else "page_refused"
        if self._holes_in_a_row >= MOST_HOLES_IN_A_ROW:
            return "pages_unreadable"
        if self._total_count is not None and number * PAGE_SIZE >= self._total_count:
            return "no_more_pages"
        return None

    async def _leave_open(self, number: int, page: SearchPage | None, new: list[str]) -> None:
        """End a plan: the crawl that follows goes on behind this page, or with its authors where it is the last."""
        self.close_reason = "planned"
        if page is not None and (reason := self._why_ended(number, page, new)):
            await self.sweeps.pages_done(self.sweep, reason)

    @property
    def _limit_reached(self) -> bool:
        return self.details.max_authors is not None and len(self._taken) >= self.details.max_authors

    def _end_of_pages(self, reason: str) -> list[Request]:
        """Note why paging ends and return the requests for the pages that were left out."""
        self._stop_reason = reason
        self.logger.info("No further page (%s): %d authors found", reason, len(self.seen))
        if reason == "max_authors":
            self.close_reason = reason
        holes, self._holes = self._holes, []
        return [self._page_request(number, again=True) for number in holes]

    def _page_request(self, number: int, *, again: bool = False) -> Request:
        self._open_pages += 1
        return Request(
            search_url(self.base_url, self.query.filters, number),
            callback=self.parse_page,
            errback=self.page_failed,
            meta={meta.ENDPOINT: SEARCH.name},
            priority=1,  # before the details that wait: what comes of it takes longest
            cb_kwargs={"number": number, "again": again},
        )
