"""How fast one token may ask: full speed at a limit that nobody told it (docs/pace.md).

Knows no clock, no HTTP and no token: the caller says what time it is, in seconds of any monotonic clock.
"""

from __future__ import annotations

from collections import deque
from random import Random

START_RATE = 50.0
"""Calls per second before anything is known."""
DOUBLING_S = (0.05, 0.25)
"""While no limit has been met: the time in which the rate doubles, if it is made use of. Between these two it is"""
ROUND_TRIPS_PER_DOUBLING = 2.5
"""so many times as long as an answer takes: what has left before a refusal is known is refused too."""
HOLD = 0.985
"""The share of the ceiling at which a token settles: what it leaves free refills the burst allowance for a probe."""
COARSE = 0.7
"""The share kept after running far past a limit: the allowance flattered what got through, so come from below."""
BACK_OFF = 0.7
"""The share of its rate that a token keeps at a refusal hard upon a fall."""
RECENT_S = 1.0
"""How long a fall is recent; also the time in which a token climbs back by as much as the ceiling."""
PATIENCE = (2.0, 6.0)
"""For how many units a token settles before it probes: at first, and where the ceiling keeps standing still."""
PATIENCE_GROWTH = 2.0
"""By how much the patience grows each time that the ceiling has stood still."""
STILL = 0.06
"""By which share the ceiling may differ from the one before and yet stand still."""
PROBE_STEP = 0.02
"""The share by which a probe doubles the rate in its first unit; twice that in the next, and so on."""
EVEN_RATE = 25.0
"""The rate to which `PROBE_STEP` belongs. A slower token takes larger steps, a faster one smaller ones (a half to
twice): whoever has the smaller share of a common limit gains on the other."""
STEPS_AHEAD = 2.0
"""By how many units the probe is ahead that follows a fall from far past the limit."""
UNIT_S = (1.0, 4.0)
"""A unit is a second; more, up to the second number, where a second is too short to tell anything:"""
CALLS_PER_UNIT = 6.0
"""it has so many calls"""
ROUND_TRIPS_PER_UNIT = 2.0
"""and lasts so many times as long as an answer takes."""
FAR = 1.3
"""A probe past so many times the ceiling says that the limit is another: no common burst allowance explains it."""
TRUST = (0.2, 0.2)
"""How the trust in the refused rate grows with each refused probe (added), and falls when it misled (factor)."""
GIVE_WAY = 0.2
"""The share given up at the second refusal in a row that the token's own probe cannot have brought about."""
MIN_RATE = 1 / 30
"""The slowest pace: one call in half a minute."""
IN_USE = 0.5
"""The share of its rate that a token must make use of for "nothing objects" to mean anything."""
MEMORY_S = 0.5
"""Over how long the present rate of successful answers is taken: over two doublings while there is no limit, and over
more where that is fewer than `FEWEST`."""
FEWEST = 10
CATCH_UP_S = 0.02
"""How late a timer may be for the calls that it missed to be made up for."""
NO_CATCH_UP_S = 0.1
"""From this time between calls on nothing is made up for: lateness costs little there, and a call too early a 302."""


class PaceController:
    """The pace of one token.

    `reserve` is asked before a call, `succeeded` and `limited` tell how it went. Rates are calls per second;
    `random` keeps processes that share a token out of step.
    """

    def __init__(self, *, max_rate: float | None = None, random: Random | None = None) -> None:
        self.max_rate = max_rate
        self.rate = self._capped(START_RATE)
        self.ceiling: float | None = None
        self._random = random or Random()
        self._next_at = self._wished = 0.0
        self._fell_at = self._deaf_until = float("-inf")
        self._round_trip: float | None = None
        self._updated_at: float | None = None
        self._answers: deque[float] = deque()
        self._counted_from: float | None = None
        self._counted = 0
        self._target = 0.0
        self._settled = 0.0
        self._outages = self._probe_after = PATIENCE[0]
        self._trust = 0.0
        self._fell_from_probe = False
        self._not_mine = 0

    def wait(self, now: float) -> float:
        """Return the seconds until the next call may leave; 0 where it may leave now."""
        return max(0.0, self._next_at - now)

    def reserve(self, now: float) -> None:
        """Take the turn of one call that leaves now."""
        # A timer is always a little late; what it missed may be made up for, but never as a burst.
        interval = 1 / self.rate
        late = max(interval, CATCH_UP_S) if interval < NO_CATCH_UP_S else 0.0
        self._next_at = max(self._next_at, now - late) + interval

    def succeeded(self, now: float, *, sent_at: float) -> None:
        """Tell of an answer that was not refused for its pace, to a call that left at `sent_at`."""
        self._note_round_trip(now - sent_at)
        memory = MEMORY_S if self.ceiling is not None else 2 * self._doubling
        self._answers.append(now)
        while len(self._answers) > FEWEST and self._answers[0] < now - memory:
            self._answers.popleft()
        self._counted += 1
        since, self._updated_at = self._updated_at, now
        in_use = self._goodput(now) >= self.rate * IN_USE
        if not in_use:
            self._counted_from = None  # what gets through now says nothing of the limit
        if since is None or now < self._deaf_until:
            return
        # A pause is not evidence: the time that counts is that of a token in steady use.
        elapsed = min(now - since, 2 / self.rate)
        if self.ceiling is not None and self.rate < self._target:
            self.rate = self._capped(min(self._target, self.rate + self.ceiling * elapsed / RECENT_S))
        elif in_use:
            self.rate = self._capped(self.rate * 2 ** self._growth(elapsed))

    def _growth(self, elapsed: float) -> float:
        """Return by how many doublings the rate grows in `elapsed` seconds of steady use."""
        if self.ceiling is None:
            return min(elapsed / self._doubling, 1.0)
        unit = max(UNIT_S[0], CALLS_PER_UNIT / self.rate, ROUND_TRIPS_PER_UNIT * (self._round_trip or 0.0))
        units = elapsed / min(unit, UNIT_S[1])
        self._settled += units
        probing = self._settled - self._probe_after
        if probing <= 0:
            return 0.0
        step = PROBE_STEP * min(2.0, max(0.5, EVEN_RATE / self.rate))
        return min(step * 2 ** min(probing, 6.0) * units, 1.0)

    @property
    def _doubling(self) -> float:
        quick, slow = DOUBLING_S
        return slow if self._round_trip is None else min(slow, max(quick, ROUND_TRIPS_PER_DOUBLING * self._round_trip))

    def _note_round_trip(self, seconds: float) -> None:
        """Take the time that an answer took into account: an eighth of the difference, as TCP does."""
        self._round_trip = seconds if self._round_trip is None else self._round_trip + (seconds - self._round_trip) / 8

    def limited(self, now: float, *, sent_at: float, retry_after: float | None = None) -> None:
        """Tell of a 302 for a call that left at `sent_at`; `retry_after` is the server's wish in seconds.

        Calls that left before the last fall belong to the overload that caused it and do not count again.
        """
        if retry_after is not None:
            self._wished = max(self._wished, now + retry_after)
            self._next_at = max(self._next_at, self._wished)
        if sent_at <= self._fell_at:
            return
        before = self.ceiling
        again = sent_at - self._fell_at < max(RECENT_S, 2 / self.rate)
        far = before is None or self.rate > before * FAR
        probed = not far and self._settled > self._probe_after
        if before is not None and again and not self._counted:
            self.ceiling = before  # a window is shut, or the API is: how many calls it lets through, this does not say
        else:
            met = self._goodput(now) if far else self._met(now, probed=probed, again=again)
            self.ceiling = max(min(met, self.rate), self.rate / 2, MIN_RATE)
        still = before is not None and abs(self.ceiling / before - 1) <= STILL
        self._outages = min(self._outages * PATIENCE_GROWTH, PATIENCE[1]) if still else PATIENCE[0]
        if far:
            self._target = self.ceiling * (COARSE + (HOLD - COARSE) * self._trust)
            self._probe_after, self._settled = 0.0, STEPS_AHEAD
        else:
            self._target = self.ceiling * HOLD
            self._probe_after, self._settled = self._outages * self._random.uniform(0.9, 1.1), 0.0
        self.rate = self._capped(max(MIN_RATE, min(self._target, self.rate * BACK_OFF) if again else self._target))
        # A single refused call of a slow token need not cost a second one; a series of them asks for a pause.
        pause = (1.0 if again or before is None else 0.1) / self.rate
        self._next_at = max(self._wished, now + pause)
        self._note_round_trip(now - sent_at)
        self._fell_at = self._updated_at = self._counted_from = now
        self._counted = 0
        self._fell_from_probe = probed
        # Until a call that leaves now can be answered, what succeeds belongs to the time before the fall.
        self._deaf_until = now + (now - sent_at)

    def _met(self, now: float, *, probed: bool, again: bool) -> float:
        """Return the limit that this refusal has met, by what got through since the one before.

        At both the allowance was used up, so what got through between them is the limit, if the allowance was
        never full meanwhile. Where it was (small allowances), the refused rate is nearer to the limit: how far
        to trust which is learned from how long the result bears.
        """
        self._not_mine = 0 if probed else self._not_mine + (not again)
        if not probed and self._fell_from_probe:
            self._trust *= TRUST[1]
        if self._counted_from is None:
            return self._goodput(now)
        span = now - self._counted_from
        met = (self._counted + 1) / max(span, 1e-3)
        if span < RECENT_S:
            met = max(met, self._goodput(now))
        if probed:
            self._trust = min(1.0, self._trust + TRUST[0])
            met += self._trust * max(0.0, self.rate - met)
        # Once may be an error of measurement. Twice: somebody else is asking, or the limit is falling.
        return met * (1 - GIVE_WAY) if self._not_mine >= 2 else met

    def _goodput(self, now: float) -> float:
        """Return the present rate of successful answers."""
        return len(self._answers) / max(now - self._answers[0], 0.1) if self._answers else 0.0

    def _capped(self, rate: float) -> float:
        return rate if self.max_rate is None else min(rate, self.max_rate)
