"""The business codes: one table with the meaning of each code, whether it is billed, and what to do.

Source: the section on response handling of each endpoint's documentation page. The codes 101, 202, 404, 503 and 602
are in the OpenAPI description only. Rows that have not been verified are marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What the crawler does with a response."""

    USE = "use"
    """A success: pass it to the spider."""
    EMPTY = "empty"
    """There is no data: do not retry. This is not an error."""
    RETRY = "retry"
    """Retry after a pause, a limited number of times."""
    SLOW_DOWN = "slow_down"
    """The token makes too many calls per second: slow it down and retry; the attempt does not count."""
    RETIRE_TOKEN = "retire_token"
    """The token is invalid: do not use it again in this run, retry with another token."""
    PARK_TOKEN = "park_token"
    """The token's daily quota is used up: do not use it until the next day, retry with another token."""
    DENY_ENDPOINT = "deny_endpoint"
    """The token may not use this endpoint: retry with another token; it may work for other endpoints."""
    DRAIN_ACCOUNT = "drain_account"
    """The account's balance is used up: use none of its tokens, retry with one of another account."""
    SPEND_TOKEN = "spend_token"
    """The token's own spend limit is reached: retry with another token."""
    REFUSE = "refuse"
    """The request itself is wrong: do not retry."""


@dataclass(frozen=True, slots=True)
class BusinessCode:
    """One row of the table; `billed` is None if that is unknown, `verified` False if the row is a guess."""

    code: int
    meaning: str
    billed: bool | None
    action: Action
    verified: bool = True


CODES: dict[int, BusinessCode] = {
    row.code: row
    for row in (
        BusinessCode(0, "success", True, Action.USE),
        BusinessCode(100, "invalid or inactive token", False, Action.RETIRE_TOKEN),
        BusinessCode(101, "invalid or inactive token", False, Action.RETIRE_TOKEN, verified=False),
        BusinessCode(201, "no content", True, Action.EMPTY, verified=False),
        BusinessCode(202, "no content", True, Action.EMPTY, verified=False),
        BusinessCode(300, "undocumented failure", None, Action.RETRY, verified=False),
        BusinessCode(301, "collection failed, please retry", False, Action.RETRY),
        BusinessCode(302, "rate limit exceeded", False, Action.SLOW_DOWN),
        BusinessCode(303, "daily quota exceeded", False, Action.PARK_TOKEN),
        BusinessCode(400, "invalid parameters", False, Action.REFUSE),
        BusinessCode(404, "not found", None, Action.REFUSE, verified=False),
        BusinessCode(429, "too many requests", None, Action.SLOW_DOWN, verified=False),
        BusinessCode(500, "internal server error", False, Action.RETRY),
        BusinessCode(503, "service unavailable", False, Action.RETRY),
        BusinessCode(600, "permission denied", False, Action.DENY_ENDPOINT),
        BusinessCode(601, "insufficient balance of the account", False, Action.DRAIN_ACCOUNT),
        BusinessCode(602, "spend limit of the token reached", None, Action.SPEND_TOKEN),
    )
}

REFUSED = frozenset(row.code for row in CODES.values() if row.action in {Action.EMPTY, Action.REFUSE})
"""The codes with which the API refuses a request for good: it is wrong, or there is no data."""

INNER_FAILURE = BusinessCode(301, "success outside, failure inside (base_resp)", None, Action.RETRY)
"""`code` 0 with a `data.base_resp.status_code` other than 0: treated like 301."""


def rule(code: int, inner_status: int = 0) -> BusinessCode:
    """Return the row of a code and an inner status; an unknown code is retried a limited number of times."""
    if code == 0 and inner_status == 429:
        return CODES[429]
    if code == 0 and inner_status != 0:
        return INNER_FAILURE
    return CODES.get(code) or BusinessCode(code, "unknown code", None, Action.RETRY, verified=False)
