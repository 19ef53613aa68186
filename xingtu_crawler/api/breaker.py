"""The circuit breaker: an endpoint that keeps failing stops costing money after a few dozen calls.

Theory of operation. A healthy API fails at random, so a run of failures without one success in between is short: at a
failure rate of 30 %, one of `FAILURES_IN_A_ROW` occurs once in 200 million calls. A longer run means that the endpoint
itself fails. Then the breaker opens: the requests are held back, and after a pause one of them is sent as a probe. The
first success closes it, whichever call brings it. Where the probes fail too, the breaker trips: the requests are left
to the next crawl, and one probe every `TRIPPED_PAUSE_S` finds out whether the endpoint works again.

| state   | a request is | `FAILURES_IN_A_ROW` or `REFUSALS_IN_A_ROW` | a probe fails          | a success |
|---------|--------------|---------------------------------------------|------------------------|-----------|
| closed  | sent         | open                                        | -                      | closed    |
| open    | held back    | -                                           | open, at last: tripped | closed    |
| tripped | left         | -                                           | tripped                | closed    |

- A failed attempt counts, not a failed request: 64 requests in flight would make hundreds of attempts before the first
  of them has used up its own.
- A refusal (400, 404, 201, 202) is the answer about one author, and a few deleted authors may stand in a row: more of
  them are needed.
- A probe that fails and may be billed counts twice.
- The probes alternate between requests that have failed before and new ones. Some APIs fail at the first attempt and
  have the answer at the second; others have no answer for some authors and one for the rest.
- Neither 302 nor a refused token or connection says anything about an endpoint (`undecided`).

The caller passes the time: `now` and `sent_at` are seconds of a monotonic clock.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from xingtu_crawler.api.action import Decision, Step
from xingtu_crawler.api.backoff import Backoff

FAILURES_IN_A_ROW = 16
"""Number of failed attempts without a success in between that opens the breaker."""
REFUSALS_IN_A_ROW = 24
"""Number of failed and refused attempts without a success in between that opens it."""
PROBES = 8
"""Number of failed probes that trips an open breaker; one that may be billed counts twice."""
TRIPPED_PAUSE_S = 300.0
"""Seconds between two probes of a tripped breaker."""
POLL_S = 1.0
"""Longest time in seconds for which a request is held back before it is looked at again."""
_SPREAD_S = 0.05
"""The requests that a probe does not prefer come this much later; within it, the order is random."""


class BreakerState(StrEnum):
    """The state of an endpoint; the module's docstring has the table of transitions."""

    CLOSED = "closed"
    OPEN = "open"
    TRIPPED = "tripped"


class Result(StrEnum):
    """What one attempt says about the endpoint."""

    SUCCESS = "success"
    FAILURE = "failure"
    REFUSAL = "refusal"
    UNDECIDED = "undecided"


_RESULTS: dict[Step, Result] = {
    Step.USE: Result.SUCCESS,
    Step.RETRY: Result.FAILURE,
    Step.SLOW_DOWN: Result.UNDECIDED,
    Step.CHANGE_TOKEN: Result.UNDECIDED,
}


def result_of(decision: Decision) -> Result:
    """Return what an attempt says about the endpoint."""
    if decision.step is Step.GIVE_UP:  # without a code: a body that is too large, or nested too deeply
        return Result.FAILURE if decision.code is None else Result.REFUSAL
    return _RESULTS[decision.step]


@dataclass(frozen=True, slots=True)
class Hold:
    """The request is held back for `seconds`; then look at it again."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Leave:
    """The request is left to the next crawl."""


class Breaker:
    """The breaker of one endpoint."""

    def __init__(self, backoff: Backoff) -> None:
        self.state = BreakerState.CLOSED
        self.failures = 0
        """Number of failed and refused attempts since the last success."""
        self._backoff = backoff
        self._refusals = 0
        self._changed_at = 0.0
        self._probes = 0
        self._weight = 0
        self._probe_at = 0.0
        self._is_probing = False

    def check(self, now: float, *, has_failed: bool) -> Hold | Leave | None:
        """Return what happens to the next request, None if it may be sent; then call `started`.

        `has_failed`: whether the request has failed before.
        """
        if self.state is BreakerState.CLOSED:
            return None
        waits = self._is_probing or now < self._probe_at
        if self.state is BreakerState.TRIPPED:
            return Leave() if waits else None
        if not waits:
            return None
        if self._is_probing or (seconds := self._probe_at - now) > POLL_S:
            return Hold(min(POLL_S, max(_SPREAD_S, self._backoff.cap)))
        # The order in which the requests come back decides which of them is the probe.
        is_preferred = has_failed == (self._probes % 2 == 0)
        return Hold(seconds + random.uniform(0.0, _SPREAD_S) + (0.0 if is_preferred else _SPREAD_S))

    def started(self) -> None:
        """Register that a request is sent."""
        self._is_probing = self.state is not BreakerState.CLOSED

    def ended(
        self, result: Result, *, now: float, sent_at: float, may_be_billed: bool = False
    ) -> tuple[BreakerState, BreakerState]:
        """Register the result of an attempt that was sent at `sent_at`; return the states before and after."""
        before = self.state
        if result is Result.SUCCESS:
            self._close()
        elif self.state is BreakerState.CLOSED:
            self._count(result, now)
        elif sent_at >= self._changed_at:  # else it was in flight when the breaker opened
            self._probed(result, now, may_be_billed=may_be_billed)
        return before, self.state

    def _close(self) -> None:
        self.state = BreakerState.CLOSED
        self.failures = self._refusals = self._probes = self._weight = 0
        self._is_probing = False

    def _count(self, result: Result, now: float) -> None:
        if result is Result.UNDECIDED:
            return
        self.failures += 1
        self._refusals += result is Result.REFUSAL
        if self.failures - self._refusals >= FAILURES_IN_A_ROW or self.failures >= REFUSALS_IN_A_ROW:
            self.state, self._changed_at = BreakerState.OPEN, now
            self._probe_at = now + self._backoff.delay(1)

    def _probed(self, result: Result, now: float, *, may_be_billed: bool) -> None:
        self._is_probing = False
        if result is Result.UNDECIDED:  # the next one may go at once: the pace of the token is a pause of its own
            return
        self.failures += 1
        self._probes += 1
        self._weight += 2 if may_be_billed else 1
        if self.state is BreakerState.OPEN and self._weight >= PROBES:
            self.state = BreakerState.TRIPPED
        is_tripped = self.state is BreakerState.TRIPPED
        self._probe_at = now + (TRIPPED_PAUSE_S if is_tripped else self._backoff.delay(self._probes + 1))
