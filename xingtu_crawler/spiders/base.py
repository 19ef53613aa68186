"""What both spiders share: their arguments, and how details are requested and received.

A spider knows endpoints and arguments. Tokens, codes and retries are the middlewares' business; what is already in
MongoDB, the claims know.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, Self

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import CloseSpider
from scrapy.http import Response
from scrapy.settings import BaseSettings, get_settings_priority
from twisted.python.failure import Failure

from xingtu_crawler.api.endpoints import DETAILS, Platform, detail_url
from xingtu_crawler.arguments.details import DetailArguments
from xingtu_crawler.arguments.from_python import as_text
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError, NoAnswerError
from xingtu_crawler.engine.responses import ApiResponse
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.extensions.context import CrawlContext, Done
from xingtu_crawler.items.answers import DetailAnswer, FailedRequest
from xingtu_crawler.spiders.backlog import Backlog
from xingtu_crawler.spiders.coverage import Coverage
from xingtu_crawler.spiders.hollow import HollowAnswers
from xingtu_crawler.storage.claims import DetailKey, details_of, settled_since

BATCH = 100
"""Number of authors whose details are claimed at once."""

AHEAD = 3
"""Look for more details while fewer are open than this many times the concurrency.

So there is work while MongoDB is read or a page is fetched, and what waits is bounded.
"""

P = ParamSpec("P")


def needs_storage(method: Callable[P, AsyncIterator[Any]]) -> Callable[P, AsyncIterator[Any]]:
    """Decorate what reads MongoDB: close the crawl where MongoDB is gone for good; the crawl logs the reason."""

    @wraps(method)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Any]:
        try:
            async for each in method(*args, **kwargs):
                yield each
        except StorageError:
            raise CloseSpider("storage_unavailable") from None

    return guarded


class XingtuSpider(Spider):
    """A spider of this project."""

    typed_arguments: Mapping[str, str]
    """The arguments as the user typed them."""
    details: DetailArguments
    context: CrawlContext
    """The crawl; see `begin`."""
    is_plan = False
    """Whether it only reads what `scrapy plan` needs."""

    def __init__(self, **arguments: object) -> None:
        super().__init__()  # without the arguments: Scrapy would make attributes of them
        self.typed_arguments = as_text(arguments)
        self.reading = asyncio.Lock()
        """Held while `start()` reads MongoDB, so that `finish()` waits for it."""
        self._answered_details = 0
        self.parse_arguments(self.typed_arguments)

    @classmethod
    def update_settings(cls, settings: BaseSettings) -> None:
        """Add the settings in `API_CRAWL` that neither the project nor the command line sets itself."""
        super().update_settings(settings)
        project = get_settings_priority("project")
        for name, value in (settings["API_CRAWL"] or {}).items():
            # Not with a lower priority: without a reactor, Scrapy sets its own download handlers with this one.
            if (settings.getpriority(name) or 0) < project:
                settings.set(name, value, priority=project)

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Build the spider and connect it to the moment when nothing is left to be done."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.spider_idle, signal=signals.spider_idle)
        return spider

    def __dir__(self) -> Iterable[str]:
        # Scrapy's feeds read every attribute that is listed, before the spider has its context.
        return (name for name in super().__dir__() if not isinstance(getattr(type(self), name, None), property))

    def parse_arguments(self, arguments: Mapping[str, str]) -> None:
        """Read the arguments of the user; raise `ArgumentError`."""
        raise NotImplementedError

    def begin(self, context: CrawlContext) -> None:
        """Take over the context of the crawl; called once, before `start` is iterated."""
        self.context = context
        self.backlog = Backlog(AHEAD * context.concurrency)
        self.coverage = Coverage(context.tally)
        self.hollow = HollowAnswers(context.findings)
        context.last_steps.append(self.finish)

    def spider_idle(self) -> None:
        """Close for the reason of the requests that were left open, or for the spider's own."""
        if reason := self.context.left_open() or self.close_reason:
            raise CloseSpider(reason)

    async def finish(self) -> None:
        """Record what remains when every item is stored; the crawl closes MongoDB after that."""
        async with self.reading:
            pass
        self.coverage.reopen(self.context.open_authors())
        if of := self.covered():
            self.context.findings.add("coverage", f"{self.context.calls():,} calls: {of}")

    def covered(self) -> str | None:
        """Return in words how many authors are complete; None where all are, or where that is not counted."""
        return None

    @property
    def close_reason(self) -> str | None:
        """Why the crawl is over when nothing is left to be done; None for `finished`."""
        return None

    @property
    def max_calls(self) -> int | None:
        """Maximum number of calls; None for no limit."""
        return self.details.max_calls

    @property
    def population(self) -> str:
        """Names the authors whom the crawl is about: runs of the same name can be compared."""
        return self.name

    @property
    def endpoints(self) -> Sequence[str]:
        """The endpoints of the details that are fetched."""
        return self.details.endpoints

    @property
    def newer_than(self) -> datetime:
        """Details are up to date if the run that fetched them started since then, as this run did."""
        return self.details.fresh_since(self.context.started_at)

    @property
    def settled_since(self) -> datetime:
        """What the API has refused since then is not requested again."""
        return settled_since(self.context.started_at, self.details.max_age)

    @property
    def expected_authors(self) -> Done:
        """How many authors the crawl has looked at, and how many there are as far as is known."""
        return Done(0)

    def progress(self, authors: int, fresh: int) -> dict[str, Done]:
        """Return how far the crawl is: `authors` of them were found, `fresh` details were up to date."""
        expected = self.expected_authors
        per_author = len(self.details.platforms) * len(self.details.endpoints)
        details = None if expected.total is None else expected.total * per_author
        parts = {"authors": expected._replace(done=authors)}
        if per_author:
            parts["details"] = Done(self._answered_details + fresh, details, expected.is_estimate)
        return parts

    # --- Which details are requested -----------------------------------------------------------------------

    async def claim(self, star_ids: Sequence[str]) -> list[DetailKey]:
        """Claim those details of these authors that are missing or stale."""
        wanted = details_of(star_ids, self.details.platforms, self.details.endpoints)
        claimed = await self.claim_details(wanted, newer_than=self.newer_than)
        self.context.tally("fresh", len(wanted) - len(claimed))
        for endpoint, count in (
            Counter(each.endpoint for each in wanted) - Counter(each.endpoint for each in claimed)
        ).items():
            self.context.tally(f"fresh/{endpoint}", count)
        return claimed

    async def claim_details(self, wanted: Sequence[DetailKey], *, newer_than: datetime | None) -> list[DetailKey]:
        """Claim those of these details that are to be requested; what has failed in this run is not."""
        return await self.context.claims.claim(
            wanted,
            newer_than=newer_than,
            settled_since=self.settled_since,
            terminal=self.details.terminal,
            failed_before=self.context.started_at,
        )

    async def paced(self, claims: AsyncIterable[list[DetailKey]]) -> AsyncIterator[Request]:
        """Yield the requests for a stream of claims; the next batch is claimed when there is room for it."""
        batches = aiter(claims)
        while not self.context.is_closing():
            async with self.reading:
                batch = await anext(batches, None)
            if batch is None:
                return
            for detail in batch:
                yield self.detail_request(detail)
            await self.backlog.wait_for_room()

    def follow_up(self) -> Iterator[Request]:
        """Return the requests for which there is room when a detail has been answered."""
        return iter(())

    # --- Details are requested and received ----------------------------------------------------------------

    def detail_request(self, detail: DetailKey, *, again: bool = False) -> Request:
        """Return the request for one author's details; `again`: the first answer was hollow."""
        self.backlog.add(1)
        platform = Platform(detail.platform)
        return Request(
            detail_url(self.context.base_url, DETAILS[detail.endpoint], detail.star_id, platform),
            callback=self.parse_detail,
            errback=self.detail_failed,
            meta={
                meta.ENDPOINT: detail.endpoint,
                meta.STAR_ID: detail.star_id,
                meta.PLATFORM: detail.platform,
                meta.VERBATIM_URL: True,
            },
            cb_kwargs={"detail": detail, "again": again},
        )

    def parse_detail(self, response: Response, detail: DetailKey, again: bool) -> Iterator[Any]:
        """Yield the next requests and one author's details."""
        assert isinstance(response, ApiResponse)
        yield from self._answered()  # first: Scrapy goes on behind an item only when that is stored
        answer = DetailAnswer(
            endpoint=detail.endpoint,
            star_id=detail.star_id,
            platform=detail.platform,
            envelope=response.envelope,
            body=response.body,
            fetched_at=utc_now(),
            had_failed=detail.had_failed,
        )
        answer.is_put_aside = self.hollow.is_to_be_repeated(answer, before=detail.filled, again=again)
        yield answer
        if answer.is_put_aside:
            self.context.tally(f"hollow/{detail.endpoint}", 1)
            yield self.detail_request(detail, again=True)
        else:
            self.coverage.settle(answer.star_id, is_settled=answer.is_stored)

    def detail_failed(self, failure: Failure) -> Iterator[Any]:
        """Yield the next requests and the record of a failed request."""
        yield from self._answered()
        request: Request = failure.request  # type: ignore[attr-defined]
        failed = failed_request(failure, request)
        if failed is not None:
            failed.star_id = request.meta[meta.STAR_ID]
            failed.platform = request.meta[meta.PLATFORM]
            yield failed
            is_settled = failed.terminal and failed.body is None
            self.coverage.settle(failed.star_id, is_settled=is_settled, is_refused=is_settled)

    def _answered(self) -> Iterator[Request]:
        self.backlog.remove(1)
        self._answered_details += 1
        return self.follow_up()


def failed_request(failure: Failure, request: Request) -> FailedRequest | None:
    """Return the record of a failed request; None where it is only left to the next run."""
    error = failure.value
    if isinstance(error, CrawlClosingError):
        return None
    known: dict[str, Any]
    if isinstance(error, NoAnswerError):
        known = {
            "code": error.code,
            "reason": error.reason,
            "message": error.message,
            "request_id": error.request_id,
            "attempts": error.attempts,
            "terminal": error.terminal,
            "body": error.body,
        }
    else:
        known = {
            "code": None,
            "reason": type(error).__name__,
            "message": str(error),
            "request_id": None,
            "attempts": request.meta.get(meta.ATTEMPTS, 0) + 1,
            "terminal": False,
        }
    return FailedRequest(endpoint=request.meta[meta.ENDPOINT], failed_at=utc_now(), **known)


def utc_now() -> datetime:
    """Return the time in UTC, to the millisecond, which is MongoDB's precision."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
