"""Requests get their tokens in order, and never behind a request that waits for another token."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from scrapy import Request

from tests.harness import PATIENCE_S
from tests.middlewares.sessions import Session
from xingtu_crawler.api.codes import Action
from xingtu_crawler.api.tokens import Denial, Denied, Exhausted, Lease, TokenPool, Unavailable, Wait
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError, NoAnswerError
from xingtu_crawler.middlewares.token import TokenMiddleware

HOUR = 3600.0


def request_to(endpoint: str, **known: object) -> Request:
    return Request("https://api.example.com", meta={meta.ENDPOINT: endpoint, **known})


def middleware_of(session: Session) -> TokenMiddleware:
    stand_in: Any = session
    return TokenMiddleware(stand_in)


def deny(session: Session, secret: str, endpoint: str, denial: Denial | None = None) -> None:
    alias, now = session.alias(secret), datetime.now(UTC)
    session.pool.refused(alias, Action.DENY_ENDPOINT, endpoint=endpoint, sent_at=now, denial=denial)


def pause(session: Session, secret: str) -> None:
    now = asyncio.get_running_loop().time()
    session.pool.limited(session.alias(secret), now=now, sent_at=now, retry_after=HOUR)


async def served(middleware: TokenMiddleware, request: Request) -> str:
    async with asyncio.timeout(PATIENCE_S):
        await middleware.process_request(request)
    return str(request.meta[meta.TOKEN_ALIAS])


async def waiting(middleware: TokenMiddleware, request: Request) -> asyncio.Task[Request | None]:
    """Return the task of a request that waits for a token."""
    task = asyncio.ensure_future(middleware.process_request(request))
    await asyncio.sleep(0)
    assert not task.done()
    return task


@pytest.fixture
def session() -> Session:
    """Two tokens; the search is denied to the one, and the other is to be left alone for an hour."""
    return Session(TokenPool.from_text("one,two"))


async def test_a_request_does_not_wait_behind_one_that_needs_another_token(session: Session) -> None:
    deny(session, "one", "search")
    pause(session, "two")
    middleware = middleware_of(session)
    held = await waiting(middleware, request_to("search"))
    also_held = await waiting(middleware, request_to("search"))
    for endpoint in ("base_info", "rec_videos", "base_info", "base_info"):
        assert await served(middleware, request_to(endpoint)) == session.alias("one")
    assert not held.done()

    session.closing.is_over = True  # requests that wait notice it, whatever their endpoint
    results = await asyncio.wait_for(asyncio.gather(held, also_held, return_exceptions=True), 10)
    assert [type(result) for result in results] == [CrawlClosingError, CrawlClosingError]


async def test_requests_that_wait_for_any_token_are_served_in_order(session: Session) -> None:
    for token in session.pool:
        token.pace.max_rate = token.pace.rate = 50.0
    middleware = middleware_of(session)
    order: list[int] = []

    async def send(number: int) -> None:
        await middleware.process_request(request_to(("search", "base_info")[number % 2]))
        order.append(number)

    await asyncio.wait_for(asyncio.gather(*map(send, range(12))), 10)
    assert order == list(range(12))


async def test_the_pool_is_looked_up_once_when_every_endpoint_has_to_wait(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause(session, "one")
    pause(session, "two")
    leases: list[str] = []
    lease = session.pool.lease

    def recorded(endpoint: str, *, now: float, today: datetime) -> Lease | Wait | Exhausted | Denied | Unavailable:
        leases.append(endpoint)
        return lease(endpoint, now=now, today=today)

    monkeypatch.setattr(session.pool, "lease", recorded)
    middleware = middleware_of(session)
    tasks = [await waiting(middleware, request_to(endpoint)) for endpoint in ("search", "base_info", "rec_videos")]
    assert leases == ["search"]
    session.closing.is_over = True
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)


async def test_a_request_that_no_token_may_make_fails_with_the_words_of_the_api(session: Session) -> None:
    for secret in ("one", "two"):
        deny(session, secret, "search", Denial(f"not for {secret}", f"id of {secret}"))
    with pytest.raises(NoAnswerError) as caught:
        await middleware_of(session).process_request(request_to("search", **{meta.CALLS: 3}))
    error = caught.value
    assert (error.code, error.message, error.request_id, error.attempts) == (600, "not for two", "id of two", 3)
    assert session.closing.reasons == []
