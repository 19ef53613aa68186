"""When the benchmark of the pace considers a limit used."""

from __future__ import annotations

from itertools import chain

import pytest

from benchmarks.pace import MOST_REFUSED, Calls


def _calls(*phases: tuple[float, float, float], outcome: str = "0") -> list[dict[str, object]]:
    """Evenly spaced calls: (from, to, per second)."""
    times = chain.from_iterable(
        (since + number / rate for number in range(round((until - since) * rate))) for since, until, rate in phases
    )
    return [{"at": 1000 + at, "outcome": outcome} for at in times]


def _reached(calls: Calls, limit: float, **options: float) -> float:
    return calls.reached(limit, 1000, 1020, **options)


def test_a_limit_is_used_from_where_it_is_used_for_five_seconds() -> None:
    calls = Calls.of(_calls((0, 4, 50), (4, 20, 100)), 20)
    # Five seconds with the first 0.5 at half the rate: 0.95 of the limit.
    assert _reached(calls, 100) == pytest.approx(3.5, abs=0.03)


def test_a_burst_is_no_rate() -> None:
    calls = Calls.of(_calls((0, 1, 100), (1, 20, 80)), 20)
    assert _reached(calls, 100) == float("inf")


def test_a_rate_that_is_reached_in_the_last_moment_is_not_sustained() -> None:
    calls = Calls.of(_calls((0, 17, 50), (17, 20, 100)), 20)
    assert _reached(calls, 100) == float("inf")


def test_a_phase_shorter_than_five_seconds_is_taken_as_a_whole() -> None:
    calls = Calls.of(_calls((0, 3, 100)), 3)
    assert calls.reached(100, 1000, 1003) == 0


def test_a_halved_limit_is_not_used_well_while_every_second_call_is_refused() -> None:
    ledger = _calls((0, 20, 50)) + _calls((0, 6, 50), outcome="302")
    calls = Calls.of(ledger, 20)
    assert _reached(calls, 50) == 0
    # 2 % of the calls of five seconds are five calls: a tenth of a second.
    assert _reached(calls, 50, most_refused=MOST_REFUSED) == pytest.approx(5.9, abs=0.05)
    assert calls.share_refused == pytest.approx(300 / 1300)
