"""What the middleware does about single responses, and about missing ones; whole crawls are in tests/crawl."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from scrapy import Request
from scrapy.exceptions import (
    DownloadFailedError,
    DownloadTimeoutError,
)
from scrapy.http import Response
from scrapy.statscollectors import MemoryStatsCollector
from scrapy.utils.test import get_crawler

from tests.middlewares.sessions import Session
from xingtu_crawler.api import reachability, tokens
from xingtu_crawler.api.backoff import Backoff
from xingtu_crawler.api.tokens import Exhausted, Lease, TokenPool, Wait
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError, NoAnswerError, NotSentError
from xingtu_crawler.engine.responses import CUT, TOO_LARGE, ApiResponse
from xingtu_crawler.middlewares.business_code import BusinessCodeMiddleware

WEB_PAGE = b"<html>Please log in</html>"
SUCCESS = {"code": 0, "data": {"id": "1"}}


class Bench:
    """The middleware with a session and stats of its own."""

    def __init__(self, *, max_attempts: int = 8) -> None:
        self.session = Session(TokenPool.from_text("one"))
        self.stats = MemoryStatsCollector(get_crawler())
        stand_in: Any = self.session
        self.middleware = BusinessCodeMiddleware(
            stand_in, self.stats, max_attempts=max_attempts, backoff=Backoff(1.0, 60.0)
        )

    def request(self, *, sent_s_ago: float = 0.0, attempts: int = 0) -> Request:
        """Return a request that was sent with the token `sent_s_ago` seconds ago, after `attempts` failed attempts."""
        known = {
            meta.ENDPOINT: "base_info",
            meta.TOKEN_ALIAS: self.session.alias("one"),
            meta.SENT_AT: asyncio.get_running_loop().time() - sent_s_ago,
            meta.CALLS: 1,
            meta.ATTEMPTS: attempts,
        }
        return Request("https://api.example.com", meta=known)

    def receive(
        self, body: bytes | dict[str, Any], status: int = 200, *, request: Request | None = None
    ) -> Response | Request:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = Response("https://api.example.com", status=status, body=raw)
        return self.middleware.process_response(request or self.request(), response)

    def fail(self, error: Exception) -> Request | None:
        return self.middleware.process_exception(self.request(), error)


async def test_a_success_is_passed_on_with_its_envelope() -> None:
    bench = Bench()
    response = bench.receive(SUCCESS)
    assert isinstance(response, ApiResponse)
    assert response.envelope.data == {"id": "1"}
    assert response.request is not None
    assert meta.TOKEN_ALIAS not in response.request.meta
    assert bench.stats.get_value("xingtu/answers/base_info/0") == bench.stats.get_value("xingtu/billed") == 1


async def test_302_uses_up_no_attempt() -> None:
    bench = Bench(max_attempts=2)
    request = bench.request(attempts=1)
    for _ in range(5):
        again = bench.receive({"code": 302}, request=request)
        assert isinstance(again, Request)
        assert again.meta[meta.ATTEMPTS] == 1
        assert again.meta[meta.NOT_BEFORE] == 0.0  # the token's pace is the pause
        request = bench.request(attempts=again.meta[meta.ATTEMPTS])
    assert bench.stats.get_value("xingtu/retries") is None


async def test_another_token_uses_up_no_attempt() -> None:
    bench = Bench(max_attempts=2)
    again = bench.receive({"code": 600}, request=bench.request(attempts=1))
    assert isinstance(again, Request)
    assert again.meta[meta.ATTEMPTS] == 1


async def test_303_concerns_the_day_on_which_the_request_was_sent() -> None:
    """The response to a request of yesterday says nothing about today's quota."""
    bench = Bench()
    now = datetime.now(UTC)
    # Two hours ago: past midnight or not, the token would have been tried again by now.
    assert isinstance(bench.receive({"code": 303}, request=bench.request(sent_s_ago=7200)), Request)
    assert bench.stats.get_value("xingtu/tokens/park_token") == 1
    assert isinstance(bench.session.pool.lease("base_info", now=0.0, today=now), Lease)
    bench.receive({"code": 303})
    assert isinstance(bench.session.pool.lease("base_info", now=0.0, today=now), Exhausted)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([TOO_LARGE], "the answer has 11 bytes, more than DOWNLOAD_MAXSIZE: it is kept and not parsed"),
        ([CUT, TOO_LARGE], "the answer is longer than 11 bytes: these are kept, the rest was not read"),
    ],
)
async def test_a_response_that_is_too_large_is_kept_and_not_paid_for_again(flags: list[str], message: str) -> None:
    bench, body = Bench(), b'{"code": 0}'
    response = Response("https://api.example.com", body=body, flags=flags)
    with pytest.raises(NoAnswerError) as caught:
        bench.middleware.process_response(bench.request(), response)
    error = caught.value
    assert (error.reason, error.terminal, error.attempts, error.body) == ("too_large", True, 1, body)
    assert error.message == message
    assert bench.stats.get_value("xingtu/answers/base_info/too_large") == 1
    assert bench.stats.get_value("xingtu/maybe_billed") == 1


async def test_the_last_attempt_ends_in_a_failure() -> None:
    bench = Bench(max_attempts=3)
    again = bench.receive({"code": 301}, request=bench.request(attempts=1))
    assert isinstance(again, Request)
    assert again.meta[meta.ATTEMPTS] == 2
    assert again.meta[meta.NOT_BEFORE] > time.monotonic()
    with pytest.raises(NoAnswerError) as caught:
        bench.receive({"code": 301}, request=bench.request(attempts=2))
    assert not caught.value.terminal


@pytest.mark.parametrize("attempts", [0, 2])
async def test_an_attempt_that_fails_while_the_crawl_closes_is_left_to_the_next_run(attempts: int) -> None:
    """The last attempt too: a failure would count, and the next run sends the request anyway."""
    bench = Bench(max_attempts=3)
    bench.session.closing.is_over = True
    with pytest.raises(CrawlClosingError):
        bench.receive({"code": 301}, request=bench.request(attempts=attempts))
    with pytest.raises(CrawlClosingError):
        bench.receive(WEB_PAGE, 502, request=bench.request(attempts=attempts))
    with pytest.raises(CrawlClosingError):
        bench.middleware.process_exception(bench.request(attempts=attempts), DownloadTimeoutError("no answer"))
    assert bench.stats.get_value("xingtu/retries") is None


@pytest.mark.parametrize("status", [200, 203, 302, 403, 404, 500, 502])
async def test_a_body_that_comes_twice_and_cannot_be_read_is_given_up(status: int) -> None:
    bench = Bench()
    again = bench.receive(b'{"code": 0, "data"', status)
    assert isinstance(again, Request)
    again.meta.update(bench.request().meta | {meta.ATTEMPTS: 1})
    with pytest.raises(NoAnswerError) as caught:
        bench.receive(b'{"code": 0, "data"', status, request=again)
    assert (caught.value.terminal, caught.value.body) == (False, b'{"code": 0, "data"')


async def test_other_bytes_that_cannot_be_read_are_fetched_again() -> None:
    bench = Bench()
    request = bench.request()
    for at in range(4):
        again = bench.receive(b"{" * (at + 1), request=request)
        assert isinstance(again, Request)
        again.meta[meta.TOKEN_ALIAS] = bench.session.alias("one")
        request = again


@pytest.mark.parametrize(("status", "body"), [(503, b"busy"), (503, b'{"code": 500}'), (200, b'{"code": 503}')])
async def test_503_with_retry_after_pauses_the_token_and_the_request(status: int, body: bytes) -> None:
    bench = Bench()
    now = asyncio.get_running_loop().time()
    busy = Response("https://api.example.com", status=status, headers={"Retry-After": "40"}, body=body)
    again = bench.middleware.process_response(bench.request(), busy)
    assert isinstance(again, Request)
    assert again.meta[meta.NOT_BEFORE] >= now + 40
    waiting = bench.session.pool.lease("base_info", now=now, today=datetime.now(UTC))
    assert isinstance(waiting, Wait)
    assert waiting.seconds >= 40


async def test_a_refusal_while_the_crawl_closes_is_recorded() -> None:
    bench = Bench()
    bench.session.closing.is_over = True
    with pytest.raises(NoAnswerError) as caught:
        bench.receive({"code": 400})
    assert caught.value.terminal


async def test_many_refused_connections_at_once_do_not_end_the_crawl() -> None:
    bench = Bench()
    for _ in range(100):
        again = bench.fail(NotSentError("refused"))
        assert again is not None
        assert again.meta[meta.ATTEMPTS] == 0
    assert bench.session.closing.reasons == []


async def test_a_minute_of_nothing_but_refused_connections_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "GONE_S", 0.0)
    bench = Bench()
    for _ in range(reachability.GONE_ATTEMPTS - 1):
        bench.fail(NotSentError("refused"))
    bench.fail(DownloadTimeoutError("the host is there"))
    for _ in range(reachability.GONE_ATTEMPTS - 1):
        bench.fail(NotSentError("refused"))
    bench.fail(DownloadFailedError("the host is there"))
    for _ in range(reachability.GONE_ATTEMPTS - 1):
        bench.fail(NotSentError("refused"))
    bench.receive({"code": 301, "data": None})
    assert bench.session.closing.reasons == []
    for _ in range(reachability.GONE_ATTEMPTS - 1):
        bench.fail(NotSentError("refused"))
    with pytest.raises(CrawlClosingError):
        bench.fail(NotSentError("refused"))
    (said,) = bench.session.closing.reasons
    assert said == (
        "No connection to the API for 0 s: The API or the network is down. Run the same command again later; nothing "
        "is lost."
    )
    assert bench.stats.get_value("xingtu/maybe_billed") == 2  # the timeout and the lost connection


async def test_what_cannot_be_sent_however_often_it_is_tried_ends_the_crawl_at_once() -> None:
    bench = Bench()
    with pytest.raises(CrawlClosingError):
        bench.fail(NotSentError("The proxy proxy:3128 needs a user name and a password (HTTP 407).", is_final=True))
    assert bench.session.closing.reasons == ["The proxy proxy:3128 needs a user name and a password (HTTP 407)."]
    assert bench.stats.get_value("xingtu/not_sent") == 1
    assert bench.stats.get_value("xingtu/maybe_billed") is None


async def test_failures_that_may_be_billed_get_fewer_attempts() -> None:
    bench = Bench(max_attempts=8)
    request = bench.request()
    for _ in range(4):
        again = bench.receive(b"<html>Bad gateway</html>", 502, request=request)
        assert isinstance(again, Request)
        request = again.replace(meta={**again.meta, **bench.request(attempts=again.meta[meta.ATTEMPTS]).meta})
    with pytest.raises(NoAnswerError):
        bench.receive(b"<html>Bad gateway</html>", 502, request=request)


async def test_the_first_failure_of_details_is_logged_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(max_attempts=1)
    bench.session.health.endpoints = ("base_info",)
    for _ in range(3):
        with pytest.raises(NoAnswerError):
            bench.receive({"code": 301, "message": "try again"})
    assert caplog.messages == [
        (
            "A request for base_info has failed after 1 attempts (collection failed, please retry: try again); further "
            "failures are only recorded in failures"
        )
    ]


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_error_pages_of_a_gateway_do_not_end_the_crawl(status: int) -> None:
    bench = Bench()
    for _ in range(10):
        assert isinstance(bench.receive(b"<html>Maintenance</html>", status), Request)
    assert bench.session.closing.reasons == []


@pytest.mark.parametrize("status", [200, 302, 403])
async def test_three_web_pages_end_it(status: int) -> None:
    bench = Bench()
    for _ in range(2):
        bench.receive(WEB_PAGE, status)
    assert bench.session.closing.reasons == []
    with pytest.raises(CrawlClosingError):
        bench.receive(WEB_PAGE, status)
    (said,) = bench.session.closing.reasons
    assert said.startswith(f"The host returns web pages instead of JSON (HTTP {status})")


@pytest.mark.parametrize("answer", [SUCCESS, {"code": 302}, {"code": 777}])
async def test_web_pages_after_an_answer_of_the_api_do_not_end_it(answer: dict[str, Any]) -> None:
    """A host that has answered once is the API: a page of its gateway is one failed attempt."""
    bench = Bench()
    bench.receive(answer)
    for _ in range(10):
        assert isinstance(bench.receive(WEB_PAGE), Request)
        assert isinstance(bench.receive(b"", 404), Request)
    assert bench.session.closing.reasons == []


async def test_a_body_to_keep_travels_with_the_failure() -> None:
    bench = Bench(max_attempts=1)
    with pytest.raises(NoAnswerError) as caught:
        bench.receive({"code": 777, "data": None})
    assert caught.value.body == b'{"code": 777, "data": null}'
    assert (caught.value.code, caught.value.reason) == (777, "unknown code")


async def test_a_token_that_gets_nothing_but_302_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tokens, "LIMITED_LONG_S", 0.0)
    bench = Bench()
    for _ in range(3):
        assert isinstance(bench.receive({"code": 302}), Request)
    alias = bench.session.alias("one")
    assert caplog.messages == [
        f"{alias} has received nothing but 302 (rate limit exceeded) for 0 s: its rate keeps falling"
    ]
