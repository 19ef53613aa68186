"""The business codes: one table, code -> what it means, whether it is billed, what to do.

Source: the response handling section of every endpoint's documentation page; 101, 202, 404, 503 and 602 stand
in the OpenAPI only; what nobody has verified is marked so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What an answer asks of the crawler."""

    USE = "use"
    """A success: hand it to the spider."""
    EMPTY = "empty"
    """There is nothing to be had: terminal, and not an error."""
    RETRY = "retry"
    """Ask again after a pause, a bounded number of times."""
    SLOW_DOWN = "slow_down"
    """The token is asked too fast: slow it down and ask again; no attempt is used up."""
    RETIRE_TOKEN = "retire_token"
    """The token does not work: never use it again in this run, ask with another."""
    PARK_TOKEN = "park_token"
    """The token's daily quota is used up: leave it until the next day, ask with another."""
    DENY_ENDPOINT = "deny_endpoint"
    """The token may not use this endpoint: ask with another; elsewhere it may work."""
    DRAIN_ACCOUNT = "drain_account"
    """The account has no money left: all its tokens are out, ask with another account's."""
    SPEND_TOKEN = "spend_token"
    """The token's own spend limit is reached: ask with another."""
    REFUSE = "refuse"
    """The question itself is wrong: never ask it again."""


@dataclass(frozen=True, slots=True)
class BusinessCode:
    """One row of the table; `billed` is None and `verified` False where nobody knows."""

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
        BusinessCode(500, "internal server error", False, Action.RETRY),
        BusinessCode(503, "service unavailable", False, Action.RETRY),
        BusinessCode(600, "permission denied", False, Action.DENY_ENDPOINT),
        BusinessCode(601, "insufficient balance of the account", False, Action.DRAIN_ACCOUNT),
        BusinessCode(602, "spend limit of the token reached", None, Action.SPEND_TOKEN),
    )
}

INNER_FAILURE = BusinessCode(301, "success outside, failure inside (base_resp)", None, Action.RETRY)
"""`code` 0 around a `data.base_resp.status_code` that is not 0: treated like 301."""


def rule(code: int, inner_status: int = 0) -> BusinessCode:
    """Return what to do with an answer; a code that nobody knows is tried again, a bounded number of times."""
    if code == 0 and inner_status != 0:
        return INNER_FAILURE
    return CODES.get(code) or BusinessCode(code, "unknown code", None, Action.RETRY, verified=False)
