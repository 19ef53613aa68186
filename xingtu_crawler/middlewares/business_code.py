"""Turns answers into decisions: use it, ask again later, ask with another token, give up.

The body decides at any HTTP status; the HTTP status decides only where there is no readable body. A spider
sees successes only; everything else reaches its errback as one `NoAnswerError`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)
from scrapy.http import Response
from scrapy.statscollectors import StatsCollector

from xingtu_crawler.api import codes, envelope
from xingtu_crawler.api.backoff import Backoff
from xingtu_crawler.api.codes import Action
from xingtu_crawler.api.envelope import Envelope
from xingtu_crawler.api.reachability import Outage
from xingtu_crawler.api.tokens import Denial
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import CrawlClosingError, NoAnswerError
from xingtu_crawler.engine.responses import ApiResponse
from xingtu_crawler.exceptions import ApiUnreachableError, MalformedBodyError, TooDeepError
from xingtu_crawler.extensions.api_session import ApiSession

logger = logging.getLogger(__name__)

_NOT_THE_API_LIMIT = 3
"""After so many web pages or unknown paths, and never an answer, it is taken not to be the API at all."""
_LONG_PAUSE_S = 30.0
"""A pause that the API asks for is told from this length on."""
_LONGEST_PAUSE_S = 86_400.0
"""What asks for more than a day means something else."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an attempt brought no success: `reason` for stats and failures, and what the API said of it."""

    reason: str
    message: str
    code: int | None = None
    request_id: str | None = None
    body: bytes | None = None


class BusinessCodeMiddleware:
    """Applies the table of `api.codes` to every answer."""

    def __init__(self, session: ApiSession, stats: StatsCollector, *, max_attempts: int, backoff: Backoff) -> None:
        self._session = session
        self._stats = stats
        self._max_attempts = max_attempts
        self._backoff = backoff
        self._outage = Outage()
        self._strangers = 0
        self._answered = False
        self._paused_until: dict[str, float] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Read the bounds of retrying from the settings."""
        settings = crawler.settings
        return cls(
            ApiSession.of(crawler),
            crawler.stats,
            max_attempts=settings.getint("XINGTU_MAX_ATTEMPTS"),
            backoff=Backoff(settings.getfloat("XINGTU_BACKOFF_BASE"), settings.getfloat("XINGTU_BACKOFF_MAX")),
        )

    def process_response(self, request: Request, response: Response) -> Response | Request:
        """Return the answer, or the request to be sent again; raise `NoAnswerError` where it is over."""
        if meta.ENDPOINT not in request.meta:
            return response
        self._outage.over()
        try:
            answer = envelope.parse(response.body)
        except TooDeepError as error:
            self._count(request, "too_deep")
            raise self._over(request, Trouble("too_deep", str(error), body=response.body), terminal=True) from None
        except MalformedBodyError as error:
            return self._without_envelope(request, response, error)
        self._answered = True
        rule = codes.rule(answer.code, answer.inner_status)
        outcome = str(answer.code) if rule is not codes.INNER_FAILURE else "inner_failure"
        self._count(request, outcome, billed=rule.billed)
        if rule.action is Action.SLOW_DOWN:
            return self._slow_down(request, response)
        alias = request.meta.pop(meta.TOKEN_ALIAS, None)  # None: from Scrapy's HTTP cache
        if alias is not None and rule.action in {
            Action.RETIRE_TOKEN,
            Action.PARK_TOKEN,
            Action.DENY_ENDPOINT,
            Action.DRAIN_ACCOUNT,
            Action.SPEND_TOKEN,
        }:
            return self._with_another_token(request, alias, rule, answer)
        if alias is not None:
            now = asyncio.get_running_loop().time()
            self._session.pool.succeeded(alias, now=now, sent_at=request.meta[meta.SENT_AT])
        if rule.action is Action.USE:
            return ApiResponse(
                response.url,
                status=response.status,
                headers=response.headers,
                body=response.body,
                flags=response.flags,
                request=request,
                envelope=answer,
            )
        terminal = rule.action in {Action.EMPTY, Action.REFUSE}
        # What may have been paid for is kept as it came, unless it says no more than that there is nothing.
        kept = response.body if rule.billed is None and not (terminal and answer.data is None) else None
        trouble = Trouble(rule.meaning, answer.message or rule.meaning, answer.code, answer.request_id, kept)
        if terminal:
            raise self._over(request, trouble, terminal=True)
        return self._again(request, trouble)

    def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """Send a request again whose attempt ended without an answer; raise `NoAnswerError` where it is over."""
        if meta.ENDPOINT not in request.meta or isinstance(exception, IgnoreRequest):
            return None
        match exception:
            case DownloadTimeoutError():  # may have been billed all the same
                reason = "timeout"
            case ResponseDataLossError():
                reason = "cut"
            case DownloadCancelledError():  # longer than DOWNLOAD_MAXSIZE: the next one would be, and cost the same
                reason = "too_large"
            case DownloadConnectionRefusedError() | CannotResolveHostError():
                reason = "unreachable"
            case _:
                reason = "connection_lost"
        self._count(request, reason, billed=False if reason == "unreachable" else None)
        request.meta.pop(meta.TOKEN_ALIAS, None)
        trouble = Trouble(reason, str(exception))
        if reason == "too_large":
            raise self._over(request, trouble, terminal=True)
        if reason != "unreachable":
            self._outage.over()
            return self._again(request, trouble)
        if (seconds := self._outage.refused(asyncio.get_running_loop().time())) is not None:
            self._session.give_up(
                ApiUnreachableError(
                    f"The API has refused every connection for {seconds:.0f} s: it is down, or the network is. "
                    "Type the same command again later; nothing is lost."
                )
            )
        return self._when_it_is_back(request)

    def _without_envelope(self, request: Request, response: Response, error: MalformedBodyError) -> Request:
        status = response.status
        reason = "malformed" if status == 200 else f"http_{status}"
        self._count(request, reason)
        if status == 429:
            return self._slow_down(request, response)
        request.meta.pop(meta.TOKEN_ALIAS, None)
        web_page = response.body.lstrip()[:1] == b"<"
        # HTTP 5xx is a gateway's word for an API that is away for a while.
        if not self._answered and status < 500 and (web_page or status == 404):
            self._strangers += 1
            if self._strangers >= _NOT_THE_API_LIMIT:
                what = "answers web pages, not JSON" if web_page else "does not know the API's paths"
                self._session.give_up(
                    ApiUnreachableError(
                        f"The host {what} (HTTP {status}): JUSTONEAPI_BASE_URL is not the API's address, or a proxy "
                        "or login page is in the way."
                    )
                )
        return self._again(request, Trouble(reason, f"HTTP {status}, {error}", body=response.body))

    def _slow_down(self, request: Request, response: Response) -> Request:
        alias = request.meta.pop(meta.TOKEN_ALIAS, None)
        if alias is not None:
            now = asyncio.get_running_loop().time()
            pause = _retry_after(response, datetime.now(UTC))
            if (
                pause is not None
                and pause >= _LONG_PAUSE_S
                and now + pause > self._paused_until.get(alias, 0.0) + _LONG_PAUSE_S
            ):
                self._paused_until[alias] = now + pause
                logger.warning(
                    "The API asks %s to pause for %.0f s (Retry-After): nothing is asked with it", alias, pause
                )
            limited = self._session.pool.limited(alias, now=now, sent_at=request.meta[meta.SENT_AT], retry_after=pause)
            if limited is not None:
                logger.warning(
                    "%s has got nothing but 302 (rate limit exceeded) for %.0f s: it is asked ever more slowly",
                    alias,
                    limited,
                )
        return self._resend(request, request.meta.get(meta.ATTEMPTS, 0))

    def _with_another_token(self, request: Request, alias: str, rule: codes.BusinessCode, answer: Envelope) -> Request:
        endpoint, message = request.meta[meta.ENDPOINT], answer.message or "no message"
        age = timedelta(seconds=asyncio.get_running_loop().time() - request.meta[meta.SENT_AT])
        if self._session.pool.refused(
            alias,
            rule.action,
            endpoint=endpoint,
            sent_at=datetime.now(UTC) - age,
            denial=Denial(message, answer.request_id),
        ):
            logger.warning("%s: code %d, %s (%s) at %s", alias, rule.code, rule.meaning, message, endpoint)
            self._stats.inc_value(f"xingtu/tokens/{rule.action}")
        return self._resend(request, request.meta.get(meta.ATTEMPTS, 0))

    def _again(self, request: Request, trouble: Trouble) -> Request:
        attempts = request.meta.get(meta.ATTEMPTS, 0) + 1
        if attempts >= self._max_attempts and not self._session.is_over:
            raise self._over(request, trouble, terminal=False)
        return self._later(request, attempts, pause=self._backoff.delay(attempts))

    def _when_it_is_back(self, request: Request) -> Request:
        """Return the request to be sent again; a host that is away says nothing of it: no attempt is used up."""
        refusals = request.meta.get(meta.REFUSALS, 0) + 1
        again = self._later(request, request.meta.get(meta.ATTEMPTS, 0), pause=self._backoff.delay(refusals))
        again.meta[meta.REFUSALS] = refusals
        return again

    def _later(self, request: Request, attempts: int, *, pause: float) -> Request:
        if self._session.is_over:
            # Not a failure: the next run asks again.
            raise CrawlClosingError("the crawl is closing")
        self._stats.inc_value("xingtu/retries")
        return self._resend(request, attempts, pause=pause)

    @staticmethod
    def _resend(request: Request, attempts: int, pause: float = 0.0) -> Request:
        again = request.copy()
        again.meta[meta.ATTEMPTS] = attempts
        again.meta[meta.NOT_BEFORE] = time.time() + pause if pause else 0.0
        return again

    def _over(self, request: Request, trouble: Trouble, *, terminal: bool) -> NoAnswerError:
        return NoAnswerError(
            code=trouble.code,
            reason=trouble.reason,
            message=trouble.message,
            request_id=trouble.request_id,
            attempts=request.meta.get(meta.CALLS, 0),
            terminal=terminal,
            body=trouble.body,
        )

    def _count(self, request: Request, outcome: str, *, billed: bool | None = None) -> None:
        """Count an outcome; `billed` None: the call may have been billed all the same."""
        if meta.TOKEN_ALIAS not in request.meta:
            return  # from Scrapy's HTTP cache: no call
        if billed is not False:
            self._stats.inc_value("xingtu/billed" if billed else "xingtu/maybe_billed")
        self._stats.inc_value(f"xingtu/answers/{request.meta[meta.ENDPOINT]}/{outcome}")


def _retry_after(response: Response, now: datetime) -> float | None:
    """Return for how many seconds the answer asks to wait: a number of them, or a date; None where it does not say."""
    text = (response.headers.get("Retry-After") or b"").strip()
    try:
        if text.isdigit():
            seconds = float(text)
        else:
            moment = parsedate_to_datetime(text.decode("ascii"))  # without a zone it is UTC
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), _LONGEST_PAUSE_S)
