"""What both spiders share: their arguments, and how details are asked and taken.

A spider knows endpoints and arguments; tokens, codes, retries and MongoDB are not its business. What is
already known it asks of the claims.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, wraps
from typing import Any, ParamSpec, Self

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import CloseSpider
from scrapy.http import Response
from scrapy.settings import BaseSettings
from twisted.python.failure import Failure

from xingtu_crawler.api.endpoints import DETAILS, Platform, detail_url
from xingtu_crawler.arguments.details import DetailArguments
from xingtu_crawler.arguments.from_python import as_text
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError, NoAnswerError
from xingtu_crawler.engine.responses import ApiResponse
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.items.answers import DetailAnswer, FailedRequest
from xingtu_crawler.options import Options
from xingtu_crawler.storage.claims import Claims, DetailKey, details_of
from xingtu_crawler.storage.sweeps import Sweeps
from xingtu_crawler.storage.worklist import Worklist

BATCH = 100
"""How many authors' details are claimed at once."""

AHEAD = 3
"""More details are looked for when fewer are open than this many times those that can be in flight: there is work
while MongoDB or the search is asked, and what waits is bounded."""

P = ParamSpec("P")


def needs_storage(method: Callable[P, AsyncIterator[Any]]) -> Callable[P, AsyncIterator[Any]]:
    """Decorate what asks MongoDB: where that is gone for good the crawl ends, and the run record says so."""

    @wraps(method)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Any]:
        try:
            async for each in method(*args, **kwargs):
                yield each
        except StorageError:
            raise CloseSpider("storage_unavailable") from None

    return guarded


class XingtuSpider(Spider):
    """A spider of this project.

    `base_url`, `claims`, `sweeps`, `worklist`, `run_id`, `run_started_at`, `tally` and `is_closing` are set while the
    crawl is being opened, before `start` is iterated.
    """

    typed_arguments: Mapping[str, str]
    """The arguments as they were typed."""
    details: DetailArguments
    base_url: str
    claims: Claims
    sweeps: Sweeps
    worklist: Worklist
    run_id: str
    run_started_at: datetime
    tally: Callable[[str, int], None]
    """Told what was found, and how many: `authors`, `fresh` details."""
    is_closing: Callable[[], bool]
    """Whether the crawl is ending: what is not asked yet is left for the next one."""

    close_reason: str | None = None
    """Why the crawl is over when nothing is left to be done; None for `finished`."""

    def __init__(self, **arguments: object) -> None:
        super().__init__()  # without the arguments: Scrapy would make attributes of them
        self.typed_arguments = as_text(arguments)
        self._room = asyncio.Event()
        self.reading = asyncio.Lock()
        """Held while `start` asks MongoDB, which is not to be closed under it."""
        self.parse_arguments(self.typed_arguments)

    @classmethod
    def update_settings(cls, settings: BaseSettings) -> None:
        """Add the project's `API_CRAWL` settings below those of the project and the command line."""
        super().update_settings(settings)
        settings.setdict(settings["API_CRAWL"], priority="addon")

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Build the spider and connect it to the moment when nothing is left to be done."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.spider_idle, signal=signals.spider_idle)
        spider.tally = lambda what, count: crawler.stats.inc_value(f"xingtu/{what}", count)
        return spider

    def spider_idle(self) -> None:
        """Close for the reason that the spider has found, if any."""
        if self.close_reason:
            raise CloseSpider(self.close_reason)

    def parse_arguments(self, arguments: Mapping[str, str]) -> None:
        """Read what was typed with `-a`; raise `ArgumentError`."""
        raise NotImplementedError

    @property
    def max_calls(self) -> int | None:
        """The most calls that the crawl may make."""
        return self.details.max_calls

    @property
    def newer_than(self) -> datetime:
        """Details fetched since then are fresh enough; what this run has fetched always is."""
        return self.run_started_at - self.details.max_age

    open_details = 0
    """Details that are asked, or about to be, and not answered yet."""

    async def finish(self) -> None:
        """Record what is left to be recorded when every item is stored; MongoDB is closed after that."""
        async with self.reading:
            pass

    async def claim(self, star_ids: Sequence[str]) -> list[DetailKey]:
        """Claim those details of these authors that are missing or stale."""
        asked = details_of(star_ids, self.details.platforms, self.details.endpoints)
        questions = await self.claims.claim(
            asked, newer_than=self.newer_than, terminal=self.details.terminal, failed_before=self.run_started_at
        )
        self.tally("fresh", len(asked) - len(questions))
        return questions

    async def paced(self, claims: AsyncIterable[list[DetailKey]]) -> AsyncIterator[Request]:
        """Yield the requests for a stream of claims: a batch is claimed when there is room for it."""
        batches = aiter(claims)
        while not self.is_closing():
            async with self.reading:
                questions = await anext(batches, None)
            if questions is None:
                return
            for question in questions:
                yield self.detail_request(question)
            while not self.has_room:
                self._room.clear()
                await self._room.wait()

    @cached_property
    def _most_open(self) -> int:
        return AHEAD * Options.read(self.settings).concurrent_requests

    @property
    def has_room(self) -> bool:
        """Whether so few details are open that more should be found."""
        return self.open_details < self._most_open

    def detail_request(self, question: DetailKey) -> Request:
        """Return the request for one author's details."""
        self.open_details += 1
        platform = Platform(question.platform)
        return Request(
            detail_url(self.base_url, DETAILS[question.endpoint], question.star_id, platform),
            callback=self.parse_detail,
            errback=self.detail_failed,
            meta={
                meta.ENDPOINT: question.endpoint,
                meta.STAR_ID: question.star_id,
                meta.PLATFORM: question.platform,
                meta.VERBATIM_URL: True,
            },
            cb_kwargs={"had_failed": question.had_failed},
        )

    def parse_detail(self, response: Response, had_failed: bool) -> Iterator[Any]:
        """Take the details of one author."""
        assert isinstance(response, ApiResponse)
        yield from self._settled()  # first: what comes behind an answer waits until that is stored
        yield DetailAnswer(
            endpoint=response.meta[meta.ENDPOINT],
            star_id=response.meta[meta.STAR_ID],
            platform=response.meta[meta.PLATFORM],
            envelope=response.envelope,
            body=response.body,
            fetched_at=utc_now(),
            had_failed=had_failed,
        )

    def detail_failed(self, failure: Failure) -> Iterator[Any]:
        """Record details that could not be had."""
        yield from self._settled()
        request: Request = failure.request  # type: ignore[attr-defined]
        question = failed_request(failure, request)
        if question is not None:
            question.star_id = request.meta[meta.STAR_ID]
            question.platform = request.meta[meta.PLATFORM]
            yield question

    def _settled(self) -> Iterator[Request]:
        self.give_back(1)
        return self.follow_up()

    def give_back(self, details: int) -> None:
        """Tell that so many details are not open any more, or were not to be asked after all."""
        self.open_details -= details
        if self.has_room:
            self._room.set()

    def follow_up(self) -> Iterator[Request]:
        """Return what may be asked now that there is one open question less."""
        return iter(())


def failed_request(failure: Failure, request: Request) -> FailedRequest | None:
    """Return the record of a failed request; None where it was only left for the next run."""
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
    """Return the time in UTC, to the millisecond: what MongoDB can hold."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
