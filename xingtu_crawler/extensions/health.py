"""The health of the endpoints during a crawl: which are paused, and which requests are left to the next crawl.

It acts on the breakers (`api.breaker`): logs, findings, and the end of the crawl when nothing can be fetched any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from xingtu_crawler.api.action import Decision
from xingtu_crawler.api.backoff import Backoff
from xingtu_crawler.api.breaker import Breaker, BreakerState, Hold, Leave, Result, result_of
from xingtu_crawler.extensions.closing import Closing
from xingtu_crawler.verdict import Findings

logger = logging.getLogger(__name__)

FAILING = "api_failing"
"""The close reason of a crawl that leaves requests open because their endpoint fails."""
_REASONS = ("quota_exhausted", "insufficient_balance", FAILING)
"""The close reasons of a crawl that leaves requests open; the first that applies counts."""


class Health:
    """The breakers of one crawl, and the endpoints whose requests it leaves open.

    Args:
        backoff: the pauses between the probes of an endpoint.
        closing: closes the crawl.
        findings: the findings of the crawl.
        count: takes the name of a figure and a number to add to it.
    """

    def __init__(
        self, backoff: Backoff, closing: Closing, findings: Findings, count: Callable[[str, int], None]
    ) -> None:
        self.endpoints: Sequence[str] = ()
        """The endpoints of the details that the crawl fetches."""
        self._backoff = backoff
        self._closing = closing
        self._findings = findings
        self._count = count
        self._breakers: dict[str, Breaker] = {}
        self._last: dict[str, str] = {}
        """By endpoint: how its last attempt failed."""
        self._out: dict[str, str] = {}
        """By endpoint: why it is of no use at the moment, as a close reason."""
        self._left: set[str] = set()
        """The close reasons for which requests were left open."""
        self._logged: set[str] = set()

    @property
    def close_reason(self) -> str | None:
        """Why the crawl ends when nothing else is left to be done; None if it has left no request open."""
        return next((reason for reason in _REASONS if reason in self._left), None)

    def check(self, endpoint: str, now: float, *, has_failed: bool) -> Hold | Leave | None:
        """Return what happens to the next request, None if it may be sent; see `Breaker.check`."""
        breaker = self._breakers.get(endpoint)
        return None if breaker is None else breaker.check(now, has_failed=has_failed)

    def started(self, endpoint: str) -> None:
        """Register that a request is sent."""
        breaker = self._breakers.get(endpoint)
        if breaker is not None and breaker.state is not BreakerState.CLOSED:
            breaker.started()
        elif self._out:
            self._out.pop(endpoint, None)

    def ended(self, endpoint: str, decision: Decision, *, now: float, sent_at: float) -> None:
        """Register the result of an attempt that was sent at `sent_at`; both are times of the event loop."""
        if (breaker := self._breakers.get(endpoint)) is None:
            breaker = self._breakers[endpoint] = Breaker(self._backoff)
        result = result_of(decision)
        before, after = breaker.ended(result, now=now, sent_at=sent_at, may_be_billed=decision.billed is not False)
        if before is after:
            return
        what = f"{decision.code or ''} {decision.reason}".strip()
        if after is BreakerState.CLOSED:
            self._out.pop(endpoint, None)
            logger.info("%s works again", endpoint)
        elif after is BreakerState.OPEN:
            self._opened(endpoint, breaker.failures, what, decision)
        else:
            self._tripped(endpoint, breaker.failures, what)

    def undecided(self, endpoint: str, *, now: float, sent_at: float) -> None:
        """Register an attempt that says nothing about the endpoint: the request was not sent."""
        if (breaker := self._breakers.get(endpoint)) is not None:
            breaker.ended(Result.UNDECIDED, now=now, sent_at=sent_at)

    def request_failed(self, endpoint: str, decision: Decision, attempts: int) -> None:
        """Log the first request for details of the crawl that has failed; the others are in `failures`."""
        if self._logged or endpoint not in self.endpoints:
            return
        self._logged.add(endpoint)
        logger.warning(
            "A request for %s has failed after %d attempts (%s: %s); further failures are only recorded in failures",
            endpoint,
            attempts,
            decision.reason,
            decision.message,
        )

    def leave_open(self, endpoint: str, reason: str) -> None:
        """Register that a request is left to the next crawl, for a close reason."""
        self._left.add(reason)
        self._out[endpoint] = reason
        self._count(f"left_open/{endpoint}", 1)
        if reason == FAILING:
            self._add_finding(endpoint, 1)
        self._close_if_all_are_out()

    def _opened(self, endpoint: str, failures: int, what: str, decision: Decision) -> None:
        self._count(f"breaker/{endpoint}/opened", 1)
        if endpoint in self._logged:
            return
        self._logged.add(endpoint)
        logger.warning(
            "%s: %d attempts in a row have failed, the last one with %s (%s). It is paused, and one request at a time "
            "shows whether it works again",
            endpoint,
            failures,
            what,
            decision.message,
        )

    def _tripped(self, endpoint: str, failures: int, what: str) -> None:
        self._count(f"breaker/{endpoint}/tripped", 1)
        self._last[endpoint] = f"{failures} attempts in a row have failed, the last one with {what}"
        logger.warning("%s keeps failing: its requests are left to the next crawl", endpoint)
        self._left.add(FAILING)
        self._out[endpoint] = FAILING
        self._add_finding(endpoint, 0)
        self._close_if_all_are_out()

    def _add_finding(self, endpoint: str, left: int) -> None:
        # Without a number: the crawl may end before each request that waits has been looked at.
        message = f"{endpoint}: {self._last[endpoint]}; its other requests are left to the next crawl"
        self._findings.add("endpoint_failing", message, count=left, key=endpoint)

    def _close_if_all_are_out(self) -> None:
        if self.endpoints and all(endpoint in self._out for endpoint in self.endpoints):
            reasons = {self._out[endpoint] for endpoint in self.endpoints}
            self._closing.close(next(reason for reason in _REASONS if reason in reasons))
