"""Pages queries of the author search, several side by side, and fetches the details of every author found."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from scrapy import Request
from scrapy.http import Response
from twisted.python.failure import Failure

from xingtu_crawler.api.endpoints import SEARCH, search_url
from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.arguments.square import parse_square
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import LeftOpenError
from xingtu_crawler.engine.responses import ApiResponse
from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.extensions.context import CrawlContext, Done
from xingtu_crawler.items.answers import SearchAnswer
from xingtu_crawler.items.page import parse_page
from xingtu_crawler.spiders.base import BATCH, XingtuSpider, failed_request, needs_storage, utc_now
from xingtu_crawler.spiders.search import Page, Search, comparison
from xingtu_crawler.spiders.search_findings import explain_ends, explain_missing
from xingtu_crawler.spiders.sweep import Phase, Sweep
from xingtu_crawler.storage.claims import DetailKey, details_of
from xingtu_crawler.storage.collapse import EndedSweep, compare
from xingtu_crawler.storage.sweeps import LIMITS, OpenSweep

AT_ONCE = 500
"""Number of authors that are looked up at once when all is done."""


class AuthorSquareSpider(XingtuSpider):
    """`scrapy crawl author_square -a keyword=… -a …`; docs/arguments.md lists the arguments."""

    name = "author_square"

    search_class: type[Search] = Search

    def parse_arguments(self, arguments: Mapping[str, str]) -> None:
        """Read the search filters and the limits."""
        self.arguments = parse_square(arguments)
        self.details = self.arguments.details

    def begin(self, context: CrawlContext) -> None:
        """Take over the context of the crawl."""
        super().begin(context)
        self._is_held = False
        """Whether no page is requested until the forecast is made."""
        self._has_forecast = False
        self.search = self.search_class(
            self.arguments,
            has_room=lambda: self.backlog.has_room and not self._is_held,
            cap=context.sweeps.search_cap,
        )

    @property
    def close_reason(self) -> str | None:
        """Why the crawl is over when nothing is left to be done; None for `finished`."""
        return self.search.close_reason

    @property
    def expected_authors(self) -> Done:
        """How many authors the search will find; an estimate, as queries overlap and pages shift."""
        return Done(0, self.search.expected, is_estimate=True)

    @property
    def population(self) -> str:
        """Names the queries: runs of the same ones are about the same kind of authors."""
        keys = "\n".join(sorted(query.key for query in self.arguments.queries))
        return hashlib.blake2b(keys.encode(), digest_size=8).hexdigest()

    # --- Sweeps begin --------------------------------------------------------------------------------------

    @needs_storage
    async def start(self) -> AsyncIterator[Any]:
        """Resume the unfinished sweep of each query, or begin one."""
        queries = self.arguments.queries
        for warning in dict.fromkeys(warning for query in queries for warning in query.warnings):
            self.logger.warning("%s", warning)
        for query in queries:
            await self.search.wait_for_place()
            if self.search.max_authors_reached is not None or self.context.is_closing():
                break
            async with self.reading:
                sweep, taken = await self._begin_or_resume(query)
            if sweep.next_page != 1:  # else page 1 comes first
                await self._forecast()
                if self.context.is_closing():
                    break
            for request in self._requests(self.search.next(sweep)):
                yield request
            async for request in self.paced(self._claims(taken)):
                yield request
        if not self.context.is_closing():
            self.search.all_begun()

    async def _begin_or_resume(self, query: AuthorQuery) -> tuple[Sweep, list[str]]:
        """Return the sweep of a query, and the authors whom an earlier crawl has found in it."""
        sweeps = self.context.sweeps
        found = None
        if not self.arguments.restart:
            found = await self._open_sweep(query)
            open_since = self.details.open_since(self.context.started_at)
            if found is None and await self.context.adopt(query.key, query.filters, open_since):
                found = await self._open_sweep(query)
        if found is None:
            sweep = self.search.begin(f"{query.key}-{self.context.run_id}", query)
            await sweeps.start(
                sweep.name,
                query_key=query.key,
                filters=query.filters,
                run_id=self.context.run_id,
                started_at=utc_now(),
            )
            return sweep, []
        known = await sweeps.star_ids(found.sweep, before_page=found.next_page)
        then = f"page {found.next_page} is next" if found.next_page else "every page read"
        self.logger.info("Resuming sweep %s: %d authors known, %s", found.sweep, len(known), then)
        resumed = self.search.resume(query, found, known)
        self.context.tally("authors", len(resumed.taken))
        if resumed.goes_on and found.stop_reason is not None:
            await sweeps.resume(found.sweep)
        return resumed.sweep, resumed.taken

    async def _open_sweep(self, query: AuthorQuery) -> OpenSweep | None:
        """Return the sweep of a query that this crawl continues, if there is one."""
        return await self.context.sweeps.find_open(
            query.key,
            newer_than=self.newer_than,
            open_since=self.details.open_since(self.context.started_at),
            limits=self.arguments.limits,
        )

    async def lacks_page(self, query: AuthorQuery) -> bool:
        """Return whether page 1 of a query is neither in the sweep that this crawl would continue nor planned."""
        found = await self._open_sweep(query)
        if found is not None and found.next_page != 1:
            return False
        planned, open_since = self.context.planned, self.details.open_since(self.context.started_at)
        return planned is None or await planned.find(query.key, newer_than=open_since) is None

    async def _forecast(self) -> None:
        """Make the forecast of the crawl, which may close it, and go on with the pages that waited for it."""
        await self.context.forecast(self.arguments, self.newer_than)
        self._has_forecast, self._is_held = True, False

    async def _claims(self, star_ids: list[str]) -> AsyncIterator[list[DetailKey]]:
        for at in range(0, len(star_ids), BATCH):
            yield await self.claim(star_ids[at : at + BATCH])

    async def claim(self, star_ids: Sequence[str]) -> list[DetailKey]:
        """Claim the details of these authors that are missing or stale, and count who is complete."""
        claimed = await super().claim(star_ids)
        self.coverage.expect(star_ids, claimed)
        return claimed

    # --- Pages are requested and received ------------------------------------------------------------------

    def follow_up(self) -> Iterator[Request]:
        """Return the requests for the pages for which there is room now."""
        return self._requests(self.search.due())

    def _requests(self, pages: Iterable[Page]) -> Iterator[Request]:
        for page in pages:
            yield Request(
                search_url(self.context.base_url, page.sweep.query.filters, page.number),
                callback=self.parse_page,
                errback=self.page_failed,
                meta={meta.ENDPOINT: SEARCH.name},
                priority=1,  # before the details that wait: a page takes longest to yield documents
                cb_kwargs={"sweep": page.sweep.name, "number": page.number, "again": page.again},
            )

    @needs_storage
    async def parse_page(self, response: Response, sweep: str, number: int, again: bool) -> AsyncIterator[Any]:
        """Yield the next page, one page of the search, and the details of its authors."""
        assert isinstance(response, ApiResponse)
        of = self.search.sweeps[sweep]
        answer = SearchAnswer(
            sweep=sweep, page=number, envelope=response.envelope, body=response.body, fetched_at=utc_now()
        )
        try:
            page = parse_page(response.envelope.data)
        except Exception as error:
            if not isinstance(error, IdentityError):  # a defect, and the answer was paid for
                self.logger.exception("Page %d could not be read", number)
            self.logger.warning("Page %d is not a search page: %s", number, error)
            lost = self.search.lose(of, number, code=response.envelope.code, terminal=False, again=again)
            answer.stop, answer.tried_again = lost.stop, lost.is_retried
            yield answer
            for request in self._requests(self.search.next(of)):
                yield request
            return
        (answer.stop, answer.is_hole), taken = self.search.read(of, number, page, again=again)
        self.context.tally("authors", len(taken))
        # Their details are requested when the page is stored, and count from now on: else pages would run ahead.
        expected = len(taken) * len(self.details.platforms) * len(self.details.endpoints)
        self.backlog.add(expected)
        self._is_held = not self._has_forecast and self.context.asks(self.arguments)
        for request in self._requests(self.search.next(of)):  # first: it is fetched while this page is stored
            yield request
        try:
            yield answer
            await self._forecast()
            if self.context.is_closing():
                return
            for detail in await self.claim(taken):
                self.backlog.remove(1)  # the request counts itself
                expected -= 1
                yield self.detail_request(detail)
        finally:
            self.backlog.remove(expected)
        for request in self.follow_up():
            yield request

    def page_failed(self, failure: Failure) -> Iterator[Any]:
        """Yield the record of a failed page, and the page behind it: the failed one is retried at the end."""
        request: Request = failure.request  # type: ignore[attr-defined]
        failed = failed_request(failure, request)
        sweep = self.search.sweeps[request.cb_kwargs["sweep"]]
        if failed is None:
            if isinstance(failure.value, LeftOpenError):
                self.search.leave_open(sweep)
                yield from self._requests(self.search.due())
            return
        self.search.fail(sweep, request.cb_kwargs["number"], failed, again=request.cb_kwargs["again"])
        yield failed
        yield from self._requests(self.search.next(sweep))

    # --- Sweeps are finished -------------------------------------------------------------------------------

    def covered(self) -> str | None:
        """Return in words how many of the authors found are complete; None where all are, and every page is read."""
        found, sweeps = self.search.authors, list(self.search.sweeps.values())
        pages_follow = any(sweep.stop is None for sweep in sweeps)
        if found == 0 or (self.coverage.complete == found and not pages_follow):
            return None
        of = f"{self.coverage.complete:,} of {found:,} authors complete"
        if not pages_follow:
            return of
        counts = [sweep.total_count for sweep in sweeps]
        return f"{of}; the search counts {counts[0]:,}" if len(counts) == 1 and counts[0] else f"{of}; pages follow"

    async def finish(self) -> None:
        """Record the sweeps as finished if every page and every detail of all of them is there."""
        await super().finish()
        findings, begun = self.context.findings, list(self.search.sweeps.values())
        explain_missing(findings, begun)
        explain_ends(findings, begun, queries=len(self.arguments.queries), cap=self.context.sweeps.search_cap)
        before = {sweep.name: await self._compare(sweep) for sweep in begun if not self.is_plan}
        sweeps = self.search.ended()
        self.context.empty_queries.update(sweep.query.key for sweep in sweeps if sweep.is_empty)
        if self.is_plan or not sweeps or self.context.claims.open_claims:
            return  # a plan begins no sweep that could be finished
        is_complete = await self._is_complete(sweeps)
        limits = self.arguments.limits if self.search.has_ended_by_limit else None
        for sweep in sweeps:
            if sweep.stop is None or sweep.is_left_open:
                continue
            if compared := comparison(sweep):
                self.logger.info("%s", compared)
            await self.context.sweeps.finish(
                sweep.name,
                stop=sweep.stop,
                authors=len(sweep.seen),
                fewer=sweep.fewer,
                finished_at=utc_now(),
                complete=is_complete,
                limits=limits,
            )
            self.context.swept[sweep.name] = before[sweep.name]

    async def _compare(self, sweep: Sweep) -> str | None:
        """Report a collapse since the last finished sweep of the query; return its `_id` if both sweeps are whole.

        A crawl that ends early reports it too: only the authors of a sweep in which nothing is missing are compared,
        but `total_count` is known from page 1 on.
        """
        has_ended = sweep.stop is not None and sweep.stop.reason not in LIMITS and sweep.phase is Phase.DONE
        ended = EndedSweep(
            sweep=sweep.name,
            query_key=sweep.query.key,
            query=sweep.query.describe(),
            authors=len(sweep.seen),
            total_count=sweep.total_count,
            is_whole=has_ended and not (sweep.is_left_open or sweep.holes),
        )
        context = self.context
        return await compare(context.sweeps, ended, context.findings, share=context.collapse_share)

    async def _is_complete(self, sweeps: list[Sweep]) -> bool:
        """Return whether no page and no detail of these sweeps is left to be requested."""
        if any(sweep.is_left_open or sweep.holes for sweep in sweeps):
            return False
        # MongoDB may have holes of its own: pages that were read here and could not be stored.
        if await self.context.sweeps.have_holes([sweep.name for sweep in sweeps]):
            return False
        if not (self.context.claims.passed_over or self.context.has_failures()):
            return True  # every detail was claimed, and no claim is open
        for sweep in sweeps:
            star_ids = [star_id for star_id, is_taken in sweep.seen.items() if is_taken]
            for at in range(0, len(star_ids), AT_ONCE):
                wanted = details_of(star_ids[at : at + AT_ONCE], self.details.platforms, self.details.endpoints)
                if await self.context.claims.lacks(
                    wanted, newer_than=self.newer_than, settled_since=self.settled_since
                ):
                    return False
        return True
