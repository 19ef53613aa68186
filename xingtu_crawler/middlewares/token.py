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

from xingtu_crawler.api.tokens import Denied, Exhausted, Lease, Wait
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError, NoAnswerError
from xingtu_crawler.extensions.api_session import ApiSession
from xingtu_crawler.extensions.crawl import Crawl

_LONGEST_SLEEP_S = 0.5
"""Maximum time until waiting requests notice that the crawl is closing."""


class TokenMiddleware:
    """Holds each API request until a token is free for it."""

    def __init__(self, session: ApiSession) -> None:
        self._session = session
        self._waiting: deque[tuple[Request, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._held: set[str] = set()
        self._held_for_all = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Take the token pool of the crawl's API session."""
        return cls(Crawl.of(crawler).session)

    async def process_request(self, request: Request) -> None:
        """Hold the request until a token is free, and write the token's alias into its meta.

        Raises `CrawlClosingError` if the crawl closes first, `NoAnswerError` if no token may use the endpoint.
        """
        if meta.ENDPOINT not in request.meta:
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((request, turn))
        if self._timer is None or not (self._held_for_all or request.meta[meta.ENDPOINT] in self._held):
            self._serve()
        await turn

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
        passed: list[tuple[Request, asyncio.Future[None]]] = []
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

    def _try(self, request: Request, turn: asyncio.Future[None], now: float, *, waiting: int) -> Wait | None:
        if turn.done():  # cancelled
            return None
        if self._session.closing.is_over:
            turn.set_exception(CrawlClosingError("the crawl is closing"))
            return None
        if hold := self._session.hold(waiting):  # an answer could not be stored now
            return Wait(hold)
        decision = self._session.pool.lease(request.meta[meta.ENDPOINT], now=now, today=datetime.now(UTC))
        match decision:
            case Wait():
                return decision
            case Lease(alias):
                request.meta[meta.TOKEN_ALIAS] = alias
                request.meta[meta.SENT_AT] = now
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
            case Exhausted(reason):
                self._session.closing.close(reason)
                turn.set_exception(CrawlClosingError(f"no token is left: {reason}"))
        return None
