"""Leases a token for each attempt, as late as possible, at the pace that the token bears.

Requests wait here in order; a token is bound to a request only when the request may leave. The token itself
never comes here: what goes into `request.meta` is its alias.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler

from xingtu_crawler import meta
from xingtu_crawler.api.tokens import Exhausted, Lease, Wait
from xingtu_crawler.extensions.api_session import ApiSession
from xingtu_crawler.middlewares.exceptions import CrawlClosingError, NoAnswerError

_LONGEST_SLEEP_S = 0.5
"""How soon, at the latest, waiting requests notice that the crawl is closing."""


class TokenMiddleware:
    """Lets each call of the API wait for its turn and its token."""

    def __init__(self, session: ApiSession) -> None:
        self._session = session
        self._waiting: deque[tuple[Request, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Take the token pool from the crawl's API session."""
        return cls(ApiSession.of(crawler))

    async def process_request(self, request: Request) -> None:
        """Hold the request until a token is free, and write the token's alias into its meta.

        Raises `CrawlClosingError` where the crawl ends before that, `NoAnswerError` where no token may use
        the endpoint.
        """
        if meta.ENDPOINT not in request.meta:
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((request, turn))
        if self._timer is None:
            self._serve()
        await turn

    def _serve(self) -> None:
        """Let go whoever may go, in order; come back when the next one may."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._waiting:
            request, turn = self._waiting[0]
            wait = self._try(request, turn, loop.time())
            if wait is not None:
                self._timer = loop.call_later(min(wait.seconds, _LONGEST_SLEEP_S), self._serve)
                return
            self._waiting.popleft()

    def _try(self, request: Request, turn: asyncio.Future[None], now: float) -> Wait | None:
        if turn.done():  # the crawl was cancelled under it
            return None
        if self._session.is_closing:
            turn.set_exception(CrawlClosingError("the crawl is closing"))
            return None
        if hold := self._session.hold():  # what comes back now could not be stored
            return Wait(hold)
        decision = self._session.pool.lease(request.meta[meta.ENDPOINT], now=now, today=datetime.now(UTC))
        match decision:
            case Wait():
                return decision
            case Lease(alias):
                request.meta[meta.TOKEN_ALIAS] = alias
                request.meta[meta.SENT_AT] = now
                turn.set_result(None)
            case Exhausted(close_reason=None):
                turn.set_exception(
                    NoAnswerError(
                        code=600,
                        reason="permission_denied",
                        message="no token may use this endpoint",
                        request_id=None,
                        attempts=request.meta.get(meta.ATTEMPTS, 0),
                        terminal=False,
                    )
                )
            case Exhausted(close_reason=str(reason)):
                self._session.close(reason)
                turn.set_exception(CrawlClosingError(f"no token is left: {reason}"))
        return None
