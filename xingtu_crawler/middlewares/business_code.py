"""Acts on the decision about each attempt: pass it on, send the request again, change the token, give up.

`api.action` decides. A spider sees successes only; everything else reaches its errback as one `NoAnswerError`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from datetime import UTC, datetime, timedelta
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import (
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)
from scrapy.http import Response
from scrapy.statscollectors import StatsCollector

from xingtu_crawler.api.action import Decision, Step, decide, decide_without_response, retry_after
from xingtu_crawler.api.backoff import Backoff
from xingtu_crawler.api.tokens import Denial
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError, NoAnswerError, NotSentError
from xingtu_crawler.engine.resend import resend
from xingtu_crawler.engine.responses import CUT, TOO_LARGE, ApiResponse
from xingtu_crawler.exceptions import ApiUnreachableError
from xingtu_crawler.extensions.api_session import ApiSession
from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.options import Options

logger = logging.getLogger(__name__)

_NOT_THE_API_LIMIT = 3
"""Give up (`api_unavailable`) after this many HTML pages or 404s if no valid answer has ever arrived."""
_LONG_PAUSE_S = 30.0
"""Log `Retry-After` pauses of at least this length."""

_OUTCOMES: dict[type[Exception], str] = {
    DownloadTimeoutError: "timeout",
    ResponseDataLossError: "cut",
}
"""Scrapy's download errors by outcome; every other exception is `connection_lost`."""


class BusinessCodeMiddleware:
    """Acts on the decisions of `api.action`."""

    def __init__(self, session: ApiSession, stats: StatsCollector, *, max_attempts: int, backoff: Backoff) -> None:
        self._session = session
        self._stats = stats
        self._max_attempts = max_attempts
        self._max_billed = max_attempts // 2 + 1
        self._backoff = backoff
        self._not_the_api = 0
        self._has_answered = False
        self._paused_until: dict[str, float] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Read the bounds of retrying from the settings."""
        options = Options.read(crawler.settings)
        return cls(
            Crawl.of(crawler).session,
            crawler.stats,
            max_attempts=options.max_attempts,
            backoff=options.backoff,
        )

    def process_response(self, request: Request, response: Response) -> Response | Request:
        """Return the response, or the request to send again; raise `NoAnswerError` to give the request up."""
        if meta.ENDPOINT not in request.meta:
            return response
        self._session.outage.over()
        decision = decide(response.status, response.body, unread=_why_unread(response))
        self._count(request, decision)
        if decision.envelope is not None:
            self._has_answered = True
        if decision.step is Step.SLOW_DOWN:
            return self._slow_down(request, response)
        alias = request.meta.pop(meta.TOKEN_ALIAS, None)  # None: from Scrapy's HTTP cache
        if decision.step is Step.CHANGE_TOKEN and alias is not None:
            return self._change_token(request, alias, decision)
        if decision.envelope is not None and alias is not None:
            now = asyncio.get_running_loop().time()
            self._session.pool.succeeded(alias, now=now, sent_at=request.meta[meta.SENT_AT])
        if decision.step is Step.USE:
            return _api_response(request, response, decision)
        if decision.not_the_api is not None and not self._has_answered:
            self._suspect_the_host(decision.not_the_api)
        is_down = response.status == 503 or decision.code == 503
        pause = retry_after(response.headers.get("Retry-After"), datetime.now(UTC)) if is_down else None
        if pause is not None and alias is not None:
            self._session.pool.pause(alias, asyncio.get_running_loop().time() + pause)
        return self._retry_or_give_up(request, decision, pause=pause or 0.0)

    def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """Return the request to send again; raise `NoAnswerError` to give it up."""
        if meta.ENDPOINT not in request.meta or isinstance(exception, IgnoreRequest):
            return None
        if isinstance(exception, NotSentError):
            return self._not_sent(request, exception)
        self._session.outage.over()
        outcome = next((name for kind, name in _OUTCOMES.items() if isinstance(exception, kind)), "connection_lost")
        decision = decide_without_response(outcome, str(exception))
        self._count(request, decision)
        request.meta.pop(meta.TOKEN_ALIAS, None)
        return self._retry_or_give_up(request, decision)

    def _not_sent(self, request: Request, error: NotSentError) -> Request:
        """Return the request to send again when the host is back; it is no call and no attempt."""
        self._stats.inc_value("xingtu/not_sent")
        request.meta.pop(meta.TOKEN_ALIAS, None)
        now, sent_at = asyncio.get_running_loop().time(), request.meta[meta.SENT_AT]
        seconds = self._session.outage.refused(now, sent_at=sent_at)
        self._session.health.undecided(request.meta[meta.ENDPOINT], now=now, sent_at=sent_at)
        if error.is_final:
            self._session.closing.give_up(ApiUnreachableError(str(error)))
        elif seconds is not None:
            reason = str(error) if self._session.proxy else "The API or the network is down."
            self._session.closing.give_up(
                ApiUnreachableError(
                    f"No connection to the API for {seconds:.0f} s: {reason} Run the same command again later; nothing "
                    "is lost."
                )
            )
        if self._session.closing.is_over:
            raise CrawlClosingError("the crawl is closing")
        return resend(request)

    def _suspect_the_host(self, what: str) -> None:
        self._not_the_api += 1
        if self._not_the_api >= _NOT_THE_API_LIMIT:
            self._session.closing.give_up(
                ApiUnreachableError(
                    f"The host {what}: JUSTONEAPI_BASE_URL is not the address of the API, or a proxy or login page "
                    "is in the way."
                )
            )

    def _slow_down(self, request: Request, response: Response) -> Request:
        alias = request.meta.pop(meta.TOKEN_ALIAS, None)
        if alias is not None:
            now = asyncio.get_running_loop().time()
            pause = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
            if (
                pause is not None
                and pause >= _LONG_PAUSE_S
                and now + pause > self._paused_until.get(alias, 0.0) + _LONG_PAUSE_S
            ):
                self._paused_until[alias] = now + pause
                logger.warning("%s is not used for %.0f s: the API requests that pause (Retry-After)", alias, pause)
            limited = self._session.pool.limited(alias, now=now, sent_at=request.meta[meta.SENT_AT], retry_after=pause)
            if limited is not None:
                logger.warning(
                    "%s has received nothing but 302 (rate limit exceeded) for %.0f s: its rate keeps falling",
                    alias,
                    limited,
                )
        return resend(request)

    def _change_token(self, request: Request, alias: str, decision: Decision) -> Request:
        assert decision.token_action is not None
        endpoint = request.meta[meta.ENDPOINT]
        age = timedelta(seconds=asyncio.get_running_loop().time() - request.meta[meta.SENT_AT])
        if self._session.pool.refused(
            alias,
            decision.token_action,
            endpoint=endpoint,
            sent_at=datetime.now(UTC) - age,  # code 303 speaks of the quota of that day
            denial=Denial(decision.message, decision.request_id),
        ):
            logger.warning(
                "%s: code %d, %s (%s) at %s", alias, decision.code, decision.reason, decision.message, endpoint
            )
            self._stats.inc_value(f"xingtu/tokens/{decision.token_action}")
        return resend(request)

    def _retry_or_give_up(self, request: Request, decision: Decision, *, pause: float = 0.0) -> Request:
        """Return the request to send again after a pause, with one attempt more; raise where it was the last."""
        if decision.step is Step.GIVE_UP:
            raise _no_answer(request, decision, terminal=True)
        attempts = request.meta.get(meta.ATTEMPTS, 0) + 1
        if decision.settles_if_repeated and decision.body:
            digest = hashlib.sha256(decision.body).digest()
            if request.meta.get(meta.UNREADABLE) == digest:
                raise _no_answer(request, decision, terminal=False)
            request.meta[meta.UNREADABLE] = digest
        billed = request.meta.get(meta.BILLED, 0) + (decision.billed is not False)
        request.meta[meta.BILLED] = billed
        is_last = attempts >= self._max_attempts or billed >= self._max_billed
        if is_last and not self._session.closing.is_over:
            self._session.health.request_failed(request.meta[meta.ENDPOINT], decision, request.meta.get(meta.CALLS, 0))
            raise _no_answer(request, decision, terminal=False)
        return self._retry(request, attempts, pause=max(pause, self._backoff.delay(attempts)))

    def _retry(self, request: Request, attempts: int, *, pause: float) -> Request:
        if self._session.closing.is_over:  # not a failure: the next run sends it
            raise CrawlClosingError("the crawl is closing")
        self._stats.inc_value("xingtu/retries")
        again = resend(request, pause=pause)
        again.meta[meta.ATTEMPTS] = attempts
        return again

    def _count(self, request: Request, decision: Decision) -> None:
        """Count the result of a call."""
        if meta.TOKEN_ALIAS not in request.meta:
            return  # from Scrapy's HTTP cache: no call
        if decision.billed is not False:
            self._stats.inc_value("xingtu/billed" if decision.billed else "xingtu/maybe_billed")
        endpoint = request.meta[meta.ENDPOINT]
        self._stats.inc_value(f"xingtu/answers/{endpoint}/{decision.outcome}")
        now = asyncio.get_running_loop().time()
        self._session.health.ended(endpoint, decision, now=now, sent_at=request.meta[meta.SENT_AT])


def _why_unread(response: Response) -> str | None:
    """Return why the body of a response is not parsed, None if it is."""
    size = f"{len(response.body):,}"
    if CUT in response.flags:
        return f"the answer is longer than {size} bytes: these are kept, the rest was not read"
    if TOO_LARGE in response.flags:
        return f"the answer has {size} bytes, more than DOWNLOAD_MAXSIZE: it is kept and not parsed"
    return None


def _api_response(request: Request, response: Response, decision: Decision) -> ApiResponse:
    if not isinstance(response, ApiResponse):  # from Scrapy's HTTP cache
        response = ApiResponse(
            response.url,
            status=response.status,
            headers=response.headers,
            body=response.body,
            flags=response.flags,
            request=request,
        )
    response.parsed_body = decision.envelope
    return response


def _no_answer(request: Request, decision: Decision, *, terminal: bool) -> NoAnswerError:
    return NoAnswerError(
        code=decision.code,
        reason=decision.reason,
        message=decision.message,
        request_id=decision.request_id,
        attempts=request.meta.get(meta.CALLS, 0),
        terminal=terminal,
        body=decision.body,
    )
