"""What to do after one attempt: a pure function from what came back to a `Decision`.

The body decides at any HTTP status; the HTTP status decides only where the body is no envelope (`api.envelope`), and
at 429 unless the body holds data or speaks of the token. The codes are in `api.codes`. This module knows no request,
no clock and no Scrapy; `middlewares.business_code` acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

from xingtu_crawler.api import codes, envelope
from xingtu_crawler.api.codes import Action
from xingtu_crawler.api.envelope import Envelope
from xingtu_crawler.exceptions import MalformedBodyError, TooDeepError, TooLargeError

LONGEST_PAUSE_S = 3_600.0
"""Cap `Retry-After` at one hour; then a call shows whether the API still asks for a pause."""
_LONGEST_ERROR_PAGE = 100_000
"""Maximum number of bytes of a gateway's error page."""
_EPOCH_S = 1e9
"""From this number on, `Retry-After` is a time since 1970 and not a pause: some APIs send `X-RateLimit-Reset` in it."""
_EPOCH_MS = 1e12
"""From this number on, it is in milliseconds."""


class Step(StrEnum):
    """What happens to the request next."""

    USE = "use"
    """The response is a success: pass it to the spider."""
    RETRY = "retry"
    """Send the request again after a pause; the attempt counts."""
    SLOW_DOWN = "slow_down"
    """Slow the token down and send the request again; the attempt does not count."""
    CHANGE_TOKEN = "change_token"  # noqa: S105 - a step, not a token
    """Send the request again with another token; the attempt does not count."""
    GIVE_UP = "give_up"
    """Never send the request again: the result would be the same."""


_STEPS: dict[Action, Step] = {
    Action.USE: Step.USE,
    Action.EMPTY: Step.GIVE_UP,
    Action.REFUSE: Step.GIVE_UP,
    Action.RETRY: Step.RETRY,
    Action.SLOW_DOWN: Step.SLOW_DOWN,
    Action.RETIRE_TOKEN: Step.CHANGE_TOKEN,
    Action.PARK_TOKEN: Step.CHANGE_TOKEN,
    Action.DENY_ENDPOINT: Step.CHANGE_TOKEN,
    Action.DRAIN_ACCOUNT: Step.CHANGE_TOKEN,
    Action.SPEND_TOKEN: Step.CHANGE_TOKEN,
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do after one attempt, and what to record about it."""

    step: Step
    outcome: str
    """The label in the stats: a business code, `inner_failure`, `http_502`, `timeout`, …"""
    reason: str
    """The meaning of the code, or the outcome where there is no code: what `failures` and the log show."""
    message: str
    """What the API or the network said."""
    billed: bool | None = None
    """Whether the call was billed; None where that is unknown."""
    code: int | None = None
    request_id: str | None = None
    envelope: Envelope | None = None
    """The parsed body; None where it is no envelope, or nothing came."""
    token_action: Action | None = None
    """With `CHANGE_TOKEN`: what happens to the token."""
    body: bytes | None = None
    """The raw body to keep in quarantine: the call may have been billed, and the body may hold data."""
    not_the_api: str | None = None
    """How the response differs from one of the API, as the end of a sentence; None where it does not."""

    settles_if_repeated: bool = False
    """Whether the same body a second time ends the request: more attempts would bring, and cost, the same."""


def decide(status: int, body: bytes, *, unread: str | None = None) -> Decision:
    """Return what to do with a response.

    Args:
        status: the HTTP status.
        body: the decompressed body.
        unread: why the body is not parsed, if it is too large.
    """
    if unread is not None:
        return _too_large(status, body, unread)
    try:
        answer = envelope.parse(body)
    except TooLargeError as error:
        return _too_large(status, body, str(error))
    except TooDeepError as error:
        return Decision(Step.GIVE_UP, "too_deep", "too_deep", str(error), body=body)
    except MalformedBodyError as error:
        return _without_envelope(status, body, str(error))
    rule = codes.rule(answer.code, answer.inner_status)
    step = _STEPS[rule.action]
    if status == 429 and not (step is Step.CHANGE_TOKEN or (step is Step.USE and answer.data)):
        step = Step.SLOW_DOWN
    # Keep what may have been billed, except a body that only says that there is no data.
    keep = rule.billed is None and not (step is Step.GIVE_UP and answer.data is None)
    return Decision(
        step,
        "inner_failure" if rule is codes.INNER_FAILURE else str(answer.code),
        rule.meaning,
        answer.message or rule.meaning,
        billed=rule.billed,
        code=answer.code,
        request_id=answer.request_id,
        envelope=answer,
        token_action=rule.action if step is Step.CHANGE_TOKEN else None,
        body=body if keep else None,
    )


def _too_large(status: int, body: bytes, message: str) -> Decision:
    """Return what to do with a body that is not parsed: it was paid for, and the next one would be as large."""
    if status != 200:
        return _without_envelope(status, body, message)
    return Decision(Step.GIVE_UP, "too_large", "too_large", message, body=body)


def _without_envelope(status: int, body: bytes, error: str) -> Decision:
    """Return what to do with a response whose body is not the API's JSON."""
    outcome = "malformed" if status == 200 else f"http_{status}"
    message = f"HTTP {status}, {error}"
    if status == 429:
        return Decision(Step.SLOW_DOWN, outcome, outcome, message)
    return Decision(
        Step.RETRY,
        outcome,
        outcome,
        message,
        body=body,
        not_the_api=_not_the_api(status, body),
        settles_if_repeated=bool(body) and not _is_of_a_gateway(status, body),
    )


def _is_of_a_gateway(status: int, body: bytes) -> bool:
    """Return whether a body is a gateway's error page or line: the same at each attempt while the API is down."""
    if status < 500 or len(body) > _LONGEST_ERROR_PAGE:
        return False
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    return text.lstrip()[:1] not in {"{", "["}


def _not_the_api(status: int, body: bytes) -> str | None:
    if status >= 500:  # a gateway in front of an API that is down for a while
        return None
    if body.lstrip()[:1] == b"<":
        return f"returns web pages instead of JSON (HTTP {status})"
    return f"does not know the paths of the API (HTTP {status})" if status == 404 else None


WITHOUT_RESPONSE: dict[str, Step] = {
    "timeout": Step.RETRY,
    "cut": Step.RETRY,
    "connection_lost": Step.RETRY,
}
"""What to do by outcome where no response came."""


def decide_without_response(outcome: str, message: str) -> Decision:
    """Return what to do where no response came.

    Args:
        outcome: `timeout`, `cut` (the body is incomplete) or `connection_lost`.
        message: the message of the error.
    """
    return Decision(WITHOUT_RESPONSE[outcome], outcome, outcome, envelope.one_line(message))


def retry_after(header: bytes | None, now: datetime) -> float | None:
    """Return the pause in seconds that a `Retry-After` header requests: a number, a date or a time since 1970.

    None if it cannot be read. `now` is timezone-aware. Source: RFC 9110, section 10.2.3.
    """
    text = (header or b"").strip()
    try:
        if text.isdigit():
            seconds = float(text)
            if seconds >= _EPOCH_S:
                seconds = seconds / (1_000 if seconds >= _EPOCH_MS else 1) - now.timestamp()
        else:
            moment = parsedate_to_datetime(text.decode("ascii"))  # naive where the header names no zone: UTC
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST_PAUSE_S)
