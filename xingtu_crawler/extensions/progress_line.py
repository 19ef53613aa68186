"""The progress line: how much of how much is done, how long the rest takes, and what the crawl waits for.

Plain Python: `extensions.progress` reads the figures and shows the line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xingtu_crawler.extensions.context import Done

_RATE_OVER_S = 30.0
"""Seconds over which the rate of calls is measured."""
_LONG_WAIT_S = 1.0
"""Seconds from which on a pause is shown."""
_SILENCE_S = 5.0
"""Seconds without a new call from which on open calls are shown as what the crawl waits for."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a crawl is doing, for `waits_for`; times are in seconds."""

    storage_is_away: bool = False
    pace: float = 0.0
    """Time until a token may make the next call."""
    held: int = 0
    """Number of requests that are held back, to be sent again."""
    held_for: float = 0.0
    """Time until the first of them is sent."""
    open_calls: int = 0
    """Number of calls on the wire, or waiting for a token."""
    in_work: int = 0
    """Number of responses that are being stored."""
    silence: float = 0.0
    """Time since the last call."""


def waits_for(now: Situation) -> str | None:
    """Return what a crawl waits for, None if it is at work."""
    if now.storage_is_away:
        return "waiting for MongoDB"
    if now.open_calls and now.pace >= _LONG_WAIT_S:
        return f"waiting {time(now.pace)} before the next call (rate limit or Retry-After)"
    if now.open_calls:
        return f"waiting for {_count(now.open_calls, 'response')}" if now.silence >= _SILENCE_S else None
    if now.held and not now.in_work and now.held_for >= _LONG_WAIT_S:
        return f"waiting {time(now.held_for)} to retry {_count(now.held, 'request')}"
    return None


class Rate:
    """The rate of calls over the last half minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._last_call_at = 0.0

    def add(self, seconds: float, calls: int) -> None:
        """Record the number of calls, all in all, at a time in seconds since the start."""
        if not self._seen or self._seen[-1][1] != calls:
            self._last_call_at = seconds
        self._seen.append((seconds, calls))
        while len(self._seen) > 2 and self._seen[1][0] <= seconds - _RATE_OVER_S:
            self._seen.popleft()

    @property
    def silence(self) -> float:
        """Seconds since the last call."""
        return self._seen[-1][0] - self._last_call_at if self._seen else 0.0

    @property
    def per_second(self) -> float:
        """Calls per second."""
        if len(self._seen) < 2:
            return 0.0
        (began, before), (now, calls) = self._seen[0], self._seen[-1]
        return (calls - before) / (now - began) if now > began else 0.0


def line(
    seconds: float, parts: Mapping[str, Done], *, calls: Done, rate: float, left: int | None, notes: Sequence[str]
) -> str:
    """Return the progress line.

    Args:
        seconds: the time since the start.
        parts: how far the crawl is, by what is counted: authors, details.
        calls: the calls, of `max_calls` if there is that limit.
        rate: calls per second.
        left: the number of calls that are left to be made; None where that is unknown.
        notes: what else there is to say, such as the number of retries.
    """
    done = [part.of(what) for what, part in parts.items()]
    eta = [f"about {time(left / rate)} left"] if left and rate > 0 and left >= rate else []
    made = f"{calls.of('calls')} ({rate:.0f}/s)"
    return f"{time(seconds)}: {', '.join([*done, made, *eta, *notes])}"


def time(seconds: float) -> str:
    """Return a time in words: `12 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02} min"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
