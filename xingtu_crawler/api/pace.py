"""The pace of one token: finds an unknown, moving rate limit and stays just below it.

The provider publishes no limit. The only signal is business code 302 ("rate limit exceeded"): it is free, but the
call has to be sent again. The controller therefore looks for the highest rate that gets few 302s.

- **Searching.** As long as there has been no 302, the rate doubles every two round trips (at least every quarter of a
  second), but only while at least half of it is used. A 302 is known only one round trip after the call was sent,
  so a faster search would send more calls in vain.
- **The first 302** shows that the limit is below the current rate, but not how far. No further call leaves until the
  calls in flight are answered. What got through, divided by the time, is the first estimate of the limit: the
  ceiling. Most limiters allow a burst, which makes this estimate too high, so the token continues at 0.7 of it.
- **The ceiling.** At a 302 the limiter's burst allowance is used up. The number of calls that got through between two
  302s, divided by the time between them, is therefore the limit. (If the allowance is so small that it was full again
  in between, the estimate is too low, and the rate at which the 302 came is closer to the limit. `_trust` learns
  which of the two is better.)
- **Holding.** The token holds its rate slightly below the ceiling, which refills the burst allowance.
- **Probing.** After a few seconds the rate rises, slowly at first and then faster and faster, until the next 302. This
  uses the refilled allowance and finds a limit that has been raised. Each probe costs one or two 302s.
- **A 302 soon after a fall** lowers the rate by 0.7 and pauses for one call. If nothing has got through since the fall,
  the ceiling stays as it was: the API refuses everything at the moment, which says nothing about the limit.
- **Other processes.** Two 302s in a row that the token's own probe does not explain mean that another process uses the
  token, or that the limit is falling: the token gives up a fifth of its rate. Slower tokens probe in larger steps than
  faster ones, so that processes with one token approach equal shares without knowing of each other.

The phases, and what ends them (`Phase`, `PaceController.phase`):

| phase     | rate                              | a 302 leads to           | otherwise ends             |
|-----------|-----------------------------------|--------------------------|----------------------------|
| searching | doubles                           | draining                 | never                      |
| draining  | no call leaves                    | (counts only once)       | after a round trip: probing |
| climbing  | rises by the ceiling per second   | climbing or holding      | at the target: holding     |
| holding   | stays                             | climbing or holding      | after the patience: probing |
| probing   | rises faster and faster           | climbing or holding      | never                      |

302s of calls that left before the last fall are late news of the same overload and are ignored in every phase.

This module has no clock and knows no HTTP and no token: the caller passes the time in seconds of a monotonic clock.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from random import Random

START_RATE = 50.0
"""Calls per second at the start of a crawl, until the first response arrives."""
FIRST_CALLS = 20
"""Number of calls that leave faster than that, at `FIRST_RATE`, before anything is known."""
FIRST_RATE = 100.0
"""Calls per second of the first `FIRST_CALLS` calls."""
ROUND_TRIPS_PER_DOUBLING = 2.0
"""Round trips in which the rate doubles while no limit is known, clamped to `DOUBLING_S`."""
DOUBLING_S = (0.05, 0.25)
"""Shortest and longest time in seconds in which the rate doubles while no limit is known."""
IN_USE = 0.5
"""Share of its rate that a token must use for the rate to grow."""
HOLD = 0.985
"""Share of the ceiling at which a token holds; the rest refills the burst allowance for the next probe."""
COARSE = 0.7
"""Share of the ceiling at which a token continues if it ran far past the limit, because the burst allowance makes
that estimate too high."""
FAR = 1.3
"""A 302 at more than this multiple of the ceiling means that the limit has changed: no burst allowance explains it."""
BACK_OFF = 0.7
"""Share of its rate that a token keeps at a 302 soon after a fall."""
RECENT_S = 1.0
"""Time in seconds for which a fall is recent, and in which a climbing token gains as much as the ceiling."""
PATIENCE = (2.0, 6.0)
"""Number of units for which a token holds before it probes: at first, and at most."""
PATIENCE_GROWTH = 2.0
"""Factor by which the patience grows at each 302 that confirms the ceiling."""
STILL = 0.06
"""Largest relative change of the ceiling that counts as a confirmation."""
PROBE_STEP = 0.02
"""Number of doublings of the rate in the first unit of a probe; it doubles in each following unit."""
EVEN_RATE = 25.0
"""Rate at which a probe uses exactly `PROBE_STEP`; slower tokens use up to twice as much, faster ones down to half."""
STEPS_AHEAD = 2.0
"""Number of units that a probe skips after a fall from far past the limit."""
UNIT_S = (1.0, 4.0)
"""Shortest and longest unit in seconds; a unit is the time in which a token can measure its rate."""
CALLS_PER_UNIT = 6.0
"""Smallest number of calls in a unit."""
ROUND_TRIPS_PER_UNIT = 2.0
"""Smallest number of round trips in a unit."""
TRUST = (0.2, 0.2)
"""Growth of the trust in the refused rate at each 302 that ends a probe (added), and its drop at each 302 that
shows that the trust was misplaced (factor)."""
GIVE_WAY = 0.2
"""Share of the ceiling that a token gives up at two 302s in a row that its own probe does not explain."""
MIN_RATE = 1 / 30
"""Slowest pace in calls per second: one call every 30 s."""
MEMORY_S = 0.5
"""Time in seconds over which the current throughput is measured once a limit is known; before that, two doublings."""
FEWEST = 10
"""Smallest number of responses over which the current throughput is measured."""
SHORTEST_S = 0.1
"""Shortest time in seconds over which the current throughput is measured."""
CATCH_UP_S = 0.02
"""Longest lateness of a timer in seconds that later calls make up for; at slow rates, one call."""
NO_CATCH_UP_S = 0.1
"""Interval between calls in seconds from which on lateness is not made up for: a call too early would be a 302."""


class Phase(StrEnum):
    """What the controller is doing; the module's docstring has the table of transitions."""

    SEARCHING = "searching"
    DRAINING = "draining"
    CLIMBING = "climbing"
    HOLDING = "holding"
    PROBING = "probing"


class PaceController:
    """The pace of one token.

    Call `wait` and `reserve` before each API call, and `succeeded` or `limited` after it. All rates are calls per
    second. `max_rate` is the user's own limit. `random` spreads the probes of processes that share a token.
    """

    def __init__(self, *, max_rate: float | None = None, random: Random | None = None) -> None:
        self.max_rate = max_rate
        self.rate = self._capped(FIRST_RATE)
        self.ceiling: float | None = None
        self._random = random or Random()
        self._next_at = self._retry_at = 0.0
        self._fell_at = self._deaf_until = float("-inf")
        self._round_trip: float | None = None
        self._updated_at: float | None = None
        self._sent = 0
        self._responses: deque[float] = deque()
        self._counted_from: float | None = None
        self._counted = 0
        self._draining = False
        self._target = 0.0
        self._units = 0.0
        self._patience = self._probe_after = PATIENCE[0]
        self._trust = 0.0
        self._fell_from_probe = False
        self._unexplained = 0

    @property
    def phase(self) -> Phase:
        """What the controller is doing at the moment."""
        if self.ceiling is None:
            return Phase.SEARCHING
        if self._draining:
            return Phase.DRAINING
        if self.rate < self._target:
            return Phase.CLIMBING
        return Phase.PROBING if self._units > self._probe_after else Phase.HOLDING

    def wait(self, now: float) -> float:
        """Return the seconds until the next call may leave; 0 means that it may leave now."""
        return max(0.0, self._next_at - now)

    def reserve(self, now: float) -> None:
        """Register a call that leaves now."""
        self._sent += 1
        if self._sent == FIRST_CALLS:
            self._end_start()
        # Timers are always a little late. Later calls make up for that, but never as a burst.
        interval = 1 / self.rate
        late = max(interval, CATCH_UP_S) if interval < NO_CATCH_UP_S else 0.0
        self._next_at = max(self._next_at, now - late) + interval

    def succeeded(self, now: float, *, sent_at: float) -> None:
        """Register a response other than 302 to a call that left at `sent_at`."""
        self._note_round_trip(now - sent_at)
        self._responses.append(now)
        while len(self._responses) > FEWEST and self._responses[0] < now - self._memory:
            self._responses.popleft()
        self._counted += 1
        since, self._updated_at = self._updated_at, now
        in_use = self._throughput(now) >= self.rate * IN_USE
        if not in_use:
            self._counted_from = None  # what gets through from here on says nothing about the limit
        if self._draining:
            self._draining = sent_at <= self._fell_at
            if self._draining:
                self._estimate()
        if since is None or now < self._deaf_until:
            return
        # A pause is no evidence: count at most the time that a token in steady use needs for two calls.
        elapsed = min(now - since, 2 / self.rate)
        match self.phase:
            case Phase.CLIMBING if self.ceiling is not None:
                self.rate = self._capped(min(self._target, self.rate + self.ceiling * elapsed / RECENT_S))
            case Phase.SEARCHING if in_use:
                self.rate = self._capped(self.rate * 2 ** min(elapsed / self._doubling, 1.0))
            case Phase.HOLDING | Phase.PROBING if in_use:
                self.rate = self._capped(self.rate * 2 ** self._probe(elapsed))

    def limited(self, now: float, *, sent_at: float, retry_after: float | None = None) -> None:
        """Register a 302 for a call that left at `sent_at`; the API asks for a pause of `retry_after` seconds.

        A call that left before the last fall belongs to the overload that caused it and does not count again.
        """
        if retry_after is not None:
            self.pause(now + retry_after)
        if sent_at <= self._fell_at:
            return
        again = sent_at - self._fell_at < max(RECENT_S, 2 / self.rate)
        round_trip = now - sent_at
        # Until a call that leaves now can be answered, responses belong to the time before the fall.
        self._fell_at, self._deaf_until = now, now + round_trip
        self._draining = self.ceiling is None
        if self.ceiling is None:
            while self._responses and self._responses[0] < now - self._memory:
                self._responses.popleft()
            self._estimate()
            self._probe_after, self._units = 0.0, STEPS_AHEAD
            pause = round_trip
        else:
            self._fall(now, self.ceiling, again=again)
            # One 302 of a slow token need not cost a second call; a series of them needs a pause.
            pause = (1.0 if again else 0.1) / self.rate
        self._next_at = max(self._retry_at, now + pause)
        self._note_round_trip(round_trip)
        self._updated_at = self._counted_from = now
        self._counted = 0

    def pause(self, until: float) -> None:
        """Make no call before `until`; the rate stays."""
        self._retry_at = max(self._retry_at, until)
        self._next_at = max(self._next_at, self._retry_at)

    def _estimate(self) -> None:
        """Set the ceiling after the first 302 to what has got through, the calls in flight included."""
        since = self._responses[0] if self._responses else self._fell_at
        self.ceiling = max((len(self._responses) + 1) / max(self._deaf_until - since, SHORTEST_S), MIN_RATE)
        self._target = self.ceiling * COARSE
        self.rate = self._capped(max(self._target, MIN_RATE))

    def _fall(self, now: float, before: float, *, again: bool) -> None:
        """Set ceiling, target and rate after a 302; `before` is the ceiling until now."""
        far = self.rate > before * FAR
        probed = not far and self._units > self._probe_after
        ceiling = before
        if self._counted or not again:
            met = self._throughput(now) if far else self._met(now, probed=probed, again=again)
            ceiling = max(min(met, self.rate), self.rate / 2, MIN_RATE)
        still = abs(ceiling / before - 1) <= STILL
        self._patience = min(self._patience * PATIENCE_GROWTH, PATIENCE[1]) if still else PATIENCE[0]
        if far:
            self._target = ceiling * (COARSE + (HOLD - COARSE) * self._trust)
            self._probe_after, self._units = 0.0, STEPS_AHEAD
        else:
            self._target = ceiling * HOLD
            self._probe_after, self._units = self._patience * self._random.uniform(0.9, 1.1), 0.0
        self.ceiling = ceiling
        self.rate = self._capped(max(MIN_RATE, min(self._target, self.rate * BACK_OFF) if again else self._target))
        self._fell_from_probe = probed

    def _met(self, now: float, *, probed: bool, again: bool) -> float:
        """Return the limit that this 302 has met, from what got through since the previous 302."""
        self._unexplained = 0 if probed else self._unexplained + (not again)
        if not probed and self._fell_from_probe:
            self._trust *= TRUST[1]
        if self._counted_from is None:
            return self._throughput(now)
        span = now - self._counted_from
        met = (self._counted + 1) / max(span, 1e-3)
        if span < RECENT_S:
            met = max(met, self._throughput(now))
        if probed:
            self._trust = min(1.0, self._trust + TRUST[0])
            met += self._trust * max(0.0, self.rate - met)
        # The first unexplained 302 may be an error of measurement.
        return met * (1 - GIVE_WAY) if self._unexplained >= 2 else met

    def _probe(self, elapsed: float) -> float:
        """Return the number of doublings of the rate in `elapsed` seconds of holding or probing."""
        unit = max(UNIT_S[0], CALLS_PER_UNIT / self.rate, ROUND_TRIPS_PER_UNIT * (self._round_trip or 0.0))
        units = elapsed / min(unit, UNIT_S[1])
        self._units += units
        probing = self._units - self._probe_after
        if probing <= 0:
            return 0.0
        step = PROBE_STEP * min(2.0, max(0.5, EVEN_RATE / self.rate))
        return min(step * 2 ** min(probing, 6.0) * units, 1.0)

    @property
    def _doubling(self) -> float:
        """The seconds in which the rate doubles while no limit is known."""
        quick, slow = DOUBLING_S
        return slow if self._round_trip is None else min(slow, max(quick, ROUND_TRIPS_PER_DOUBLING * self._round_trip))

    @property
    def _memory(self) -> float:
        """The seconds over which the current throughput is measured."""
        return 2 * self._doubling if self.ceiling is None else MEMORY_S

    def _note_round_trip(self, seconds: float) -> None:
        """Update the mean round trip by an eighth of the difference, as TCP does."""
        if self._round_trip is None:
            self._round_trip = seconds
            self._end_start()
        self._round_trip += (seconds - self._round_trip) / 8

    def _end_start(self) -> None:
        """Slow down after the first `FIRST_CALLS` calls to as many per round trip, within the two starting rates."""
        if self.ceiling is None and self._sent >= FIRST_CALLS and self.rate <= FIRST_RATE:
            round_trip = FIRST_CALLS / START_RATE if self._round_trip is None else max(self._round_trip, 1e-3)
            self.rate = self._capped(min(FIRST_RATE, max(START_RATE, FIRST_CALLS / round_trip)))

    def _throughput(self, now: float) -> float:
        """Return the current rate of responses other than 302."""
        return len(self._responses) / max(now - self._responses[0], SHORTEST_S) if self._responses else 0.0

    def _capped(self, rate: float) -> float:
        return rate if self.max_rate is None else min(rate, self.max_rate)
