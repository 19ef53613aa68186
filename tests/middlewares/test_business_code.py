"""What single answers, and the lack of them, lead to; whole crawls are in tests/crawl."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from middlewares.sessions import Session
from scrapy import Request
from scrapy.exceptions import (
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
)
from scrapy.http import Response
from scrapy.statscollectors import MemoryStatsCollector
from scrapy.utils.test import get_crawler

from xingtu_crawler.api import reachability, tokens
from xingtu_crawler.api.backoff import Backoff
from xingtu_crawler.api.tokens import TokenPool
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import NoAnswerError
from xingtu_crawler.middlewares.business_code import BusinessCodeMiddleware


class Bench:
    """The middleware with a session and stats of its own."""

    def __init__(self, *, max_attempts: int = 8) -> None:
        self.session = Session(TokenPool.from_text("one"))
        self.stats = MemoryStatsCollector(get_crawler())
        stand_in: Any = self.session
        self.middleware = BusinessCodeMiddleware(
            stand_in, self.stats, max_attempts=max_attempts, backoff=Backoff(1.0, 60.0)
        )

    def question(self) -> Request:
        """Return a question as it is when it has been asked once."""
        now = asyncio.get_running_loop().time()
        known = {
            meta.ENDPOINT: "base_info",
            meta.TOKEN_ALIAS: self.session.alias("one"),
            meta.SENT_AT: now,
            meta.CALLS: 1,
        }
        return Request("https://api.example.com", meta=known)

    def answer(self, body: bytes | dict[str, Any], status: int = 200) -> Response | Request:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.middleware.process_response(
            self.question(), Response("https://api.example.com", status=status, body=raw)
        )

    def failure(self, error: Exception) -> Request | None:
        return self.middleware.process_exception(self.question(), error)


async def test_an_answer_that_is_too_large_is_not_bought_again() -> None:
    bench = Bench()
    with pytest.raises(NoAnswerError) as caught:
        bench.failure(DownloadCancelledError("the answer is longer than 15000000 bytes"))
    error = caught.value
    assert (error.reason, error.terminal, error.attempts) == ("too_large", True, 1)
    assert error.message == "the answer is longer than 15000000 bytes"
    assert bench.stats.get_value("xingtu/answers/base_info/too_large") == 1
    assert bench.stats.get_value("xingtu/maybe_billed") == 1


async def test_many_refused_connections_at_once_do_not_end_the_crawl() -> None:
    bench = Bench()
    for _ in range(100):
        again = bench.failure(DownloadConnectionRefusedError("refused"))
        assert again is not None
        assert again.meta[meta.ATTEMPTS] == 0
        assert again.meta[meta.NOT_BEFORE] > time.time()
    assert bench.session.closed == []


async def test_a_minute_of_nothing_but_refused_connections_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "GONE_S", 0.0)
    bench = Bench()
    for _ in range(reachability.GONE_ATTEMPTS - 1):
        bench.failure(DownloadConnectionRefusedError("refused"))
    bench.failure(DownloadTimeoutError("somebody is there"))
    for _ in range(reachability.GONE_ATTEMPTS - 1):
        bench.failure(DownloadConnectionRefusedError("refused"))
    bench.failure(DownloadFailedError("somebody is there"))
    for _ in range(reachability.GONE_ATTEMPTS - 1):
        bench.failure(DownloadConnectionRefusedError("refused"))
    bench.answer({"code": 301, "data": None})
    assert bench.session.closed == []
    for _ in range(reachability.GONE_ATTEMPTS):
        bench.failure(DownloadConnectionRefusedError("refused"))
    (said,) = bench.session.closed
    assert said.startswith("The API has refused every connection for 0 s: it is down, or the network is.")


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_error_pages_of_a_gateway_do_not_speak_for_another_host(status: int) -> None:
    bench = Bench()
    for _ in range(10):
        assert isinstance(bench.answer(b"<html>Maintenance</html>", status), Request)
    assert bench.session.closed == []


@pytest.mark.parametrize("status", [200, 302, 403])
async def test_web_pages_do(status: int) -> None:
    bench = Bench()
    for _ in range(3):
        bench.answer(b"<html>Please log in</html>", status)
    (said,) = bench.session.closed
    assert said.startswith(f"The host answers web pages, not JSON (HTTP {status})")


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ({"code": 0, "data": {"base_resp": {"status_code": 3}, "id": "1"}}, True),
        ({"code": 777, "data": None, "news": 1}, True),
        ({"code": 300, "data": None}, True),
        ({"code": 404, "data": {"id": "1"}}, True),
        ({"code": 404, "data": None}, False),
        ({"code": 301, "data": None}, False),
        ({"code": 202, "data": None}, False),
        ({"code": 400, "data": None}, False),
    ],
)
async def test_the_body_of_what_may_have_been_paid_for_is_kept(answer: dict[str, Any], kept: bool) -> None:
    bench = Bench(max_attempts=1)
    with pytest.raises(NoAnswerError) as caught:
        bench.answer(answer)
    assert caught.value.body == (json.dumps(answer).encode() if kept else None)


async def test_a_token_that_gets_nothing_but_302_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tokens, "LIMITED_LONG_S", 0.0)
    bench = Bench()
    for _ in range(3):
        assert isinstance(bench.answer({"code": 302}), Request)
    alias = bench.session.alias("one")
    assert caplog.messages == [
        f"{alias} has got nothing but 302 (rate limit exceeded) for 0 s: it is asked ever more slowly"
    ]
