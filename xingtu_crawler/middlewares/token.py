"""Leases a token for each attempt, as late as possible, at the pace of the token.

Requests wait here in order and get a token when they may be sent. Only the alias of the token goes into `request.meta`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler

from xingtu_crawler.api.breaker import Hold, Leave
from xingtu_crawler.api.tokens import Denied, Exhausted, Lease, Unavailable, Wait
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError, LeftOpenError, NoAnswerError
from xingtu_crawler.engine.resend import resend
from xingtu_crawler.extensions.api_session import ApiSession
from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.extensions.health import FAILING

_LONGEST_SLEEP_S = 0.5
"""Maximum time until waiting requests notice that the crawl is closing."""

Turn = asyncio.Future[float | None]
"""The turn of a request: None to send it, or the seconds after which it comes again."""


class TokenMiddleware:
    """Holds each API request until a token is free for it."""

    def __init__(self, session: ApiSession) -> None:
        self._session = session
        self._waiting: deque[tuple[Request, Turn]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._held: set[str] = set()
        self._held_for_all = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Take the token pool of the crawl's API session."""
        return cls(Crawl.of(crawler).session)

    async def process_request(self, request: Request) -> Request | None:
        """Hold the request until a token is free, and write the token's alias into its meta.

        Returns the request to send again later if its endpoint is paused. Raises `CrawlClosingError` if the crawl
        closes first, `LeftOpenError` if the request is left to the next one, `NoAnswerError` if no token may use the
        endpoint.
        """
        if meta.ENDPOINT not in request.meta:
            return None
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((request, turn))
        if self._timer is None or not (self._held_for_all or request.meta[meta.ENDPOINT] in self._held):
            self._serve()
        pause = await turn
        return None if pause is None else resend(request, pause=pause)

    def _serve(self) -> None:
        """Send the requests for which a token is free, in order, and come back when the next token is.

        A request whose endpoint is denied to the free tokens does not hold up the requests behind it.
        """
        loop = asyncio.get_running_loop()
        if self._timer:
            self._timer.cancel()
        self._timer, self._held_for_all = None, False
        self._held.clear()
        sleep = _LONGEST_SLEEP_S
        passed: list[tuple[Request, Turn]] = []
        while self._waiting and not self._held_for_all:
            request, turn = self._waiting.popleft()
            endpoint = request.meta[meta.ENDPOINT]
            if endpoint in self._held:
                passed.append((request, turn))
            elif wait := self._try(request, turn, loop.time(), waiting=len(self._waiting) + len(passed) + 1):
                passed.append((request, turn))
                self._held.add(endpoint)
                self._held_for_all = wait.for_all
                sleep = min(sleep, wait.seconds)
        self._waiting.extendleft(reversed(passed))
        if self._waiting:
            self._timer = loop.call_later(sleep, self._serve)

    def _try(self, request: Request, turn: Turn, now: float, *, waiting: int) -> Wait | None:
        if turn.done():  # cancelled
            return None
        if self._session.closing.is_over:
            turn.set_exception(CrawlClosingError("the crawl is closing"))
            return None
        if self._is_held_back(request, turn, now):
            return None
        if seconds := self._session.outage.wait(now) or self._session.hold(waiting):
            return Wait(seconds)  # the host is away, or an answer could not be stored now
        return self._lease(request, turn, now)

    def _is_held_back(self, request: Request, turn: Turn, now: float) -> bool:
        """Return whether the endpoint of a request is paused; then its turn is over."""
        endpoint = request.meta[meta.ENDPOINT]
        match self._session.health.check(endpoint, now, has_failed=bool(request.meta.get(meta.ATTEMPTS))):
            case Hold(seconds):
                turn.set_result(seconds)
            case Leave():
                self._leave_open(turn, endpoint, FAILING)
            case None:
                return False
        return True

    def _lease(self, request: Request, turn: Turn, now: float) -> Wait | None:
        endpoint = request.meta[meta.ENDPOINT]
        decision = self._session.pool.lease(endpoint, now=now, today=datetime.now(UTC))
        match decision:
            case Wait():
                return decision
            case Lease(alias):
                request.meta[meta.TOKEN_ALIAS] = alias
                request.meta[meta.SENT_AT] = now
                self._session.health.started(endpoint)
                self._session.outage.started()
                turn.set_result(None)
            case Denied(denial):
                turn.set_exception(
                    NoAnswerError(
                        code=denial.code,
                        reason=denial.reason,
                        message=denial.message,
                        request_id=denial.request_id,
                        attempts=request.meta.get(meta.CALLS, 0),
                        terminal=False,
                    )
                )
            case Unavailable(reason):
                self._leave_open(turn, endpoint, reason)
            case Exhausted(reason):
                self._session.closing.close(reason)
                turn.set_exception(CrawlClosingError(f"no token is left: {reason}"))
        return None

    def _leave_open(self, turn: Turn, endpoint: str, reason: str) -> None:
        self._session.health.leave_open(endpoint, reason)
        turn.set_exception(LeftOpenError(f"{endpoint} is left to the next crawl: {reason}"))
