"""The breaker of an endpoint: when it opens, what it lets through, and that a healthy API never trips it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api.action import decide, decide_without_response
from xingtu_crawler.api.backoff import Backoff
from xingtu_crawler.api.breaker import (
    FAILURES_IN_A_ROW,
    PROBES,
    REFUSALS_IN_A_ROW,
    TRIPPED_PAUSE_S,
    Breaker,
    BreakerState,
    Hold,
    Leave,
    Result,
    result_of,
)

CLOSED, OPEN, TRIPPED = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.TRIPPED


def breaker() -> Breaker:
    return Breaker(Backoff(1.0, 60.0))


def fail(of: Breaker, times: int, result: Result = Result.FAILURE) -> None:
    """Let calls fail at time 0."""
    for _ in range(times):
        of.ended(result, now=0.0, sent_at=0.0)


def probe(of: Breaker, now: float, result: Result, *, may_be_billed: bool = False) -> float:
    """Send the next request that is let through, and register its result; return when that was."""
    while of.check(now, has_failed=False) is not None:
        now += 0.1
    of.started()
    of.ended(result, now=now, sent_at=now, may_be_billed=may_be_billed)
    return now


@pytest.mark.parametrize(
    ("result", "limit"), [(Result.FAILURE, FAILURES_IN_A_ROW), (Result.REFUSAL, REFUSALS_IN_A_ROW)]
)
def test_it_opens_after_a_run_of_failures(result: Result, limit: int) -> None:
    of = breaker()
    fail(of, limit - 1, result)
    assert (of.state, of.check(0.0, has_failed=False)) == (CLOSED, None)
    assert of.ended(result, now=0.0, sent_at=0.0) == (CLOSED, OPEN)
    assert isinstance(of.check(0.0, has_failed=False), Hold)


def test_one_success_in_between_starts_the_count_anew() -> None:
    of = breaker()
    for _ in range(10):
        fail(of, FAILURES_IN_A_ROW - 1)
        of.ended(Result.SUCCESS, now=0.0, sent_at=0.0)
    assert of.state is CLOSED


def test_refused_tokens_and_rate_limits_say_nothing() -> None:
    of = breaker()
    fail(of, 1_000, Result.UNDECIDED)
    assert of.state is CLOSED
    fail(of, FAILURES_IN_A_ROW - 1)
    fail(of, 1_000, Result.UNDECIDED)
    assert of.state is CLOSED
    fail(of, 1)
    assert of.state is OPEN


def test_an_open_breaker_lets_one_request_through_at_a_time_after_growing_pauses() -> None:
    of = breaker()
    fail(of, FAILURES_IN_A_ROW)
    assert isinstance(of.check(0.0, has_failed=False), Hold)
    now, times = 0.0, []
    for _ in range(PROBES - 1):
        while of.check(now, has_failed=False) is not None:
            now += 0.1
        of.started()
        assert isinstance(of.check(now, has_failed=False), Hold)  # until the result of the probe is there
        of.ended(Result.FAILURE, now=now, sent_at=now)
        times.append(now)
    assert of.state is OPEN
    assert 60.0 < times[-1] < 130.0
    probe(of, now, Result.FAILURE)
    assert of.state is TRIPPED


@pytest.mark.parametrize("state", [OPEN, TRIPPED])
def test_a_success_closes_it(state: BreakerState) -> None:
    of = breaker()
    fail(of, FAILURES_IN_A_ROW)
    now = 0.0
    while of.state is not state:
        now = probe(of, now, Result.FAILURE)
    probe(of, now, Result.SUCCESS)
    assert (of.state, of.check(now, has_failed=False)) == (CLOSED, None)
    fail(of, FAILURES_IN_A_ROW - 1)
    assert of.state is CLOSED


def test_a_late_success_closes_it_and_a_late_failure_is_no_probe() -> None:
    of = breaker()
    fail(of, FAILURES_IN_A_ROW - 1)
    of.ended(Result.FAILURE, now=5.0, sent_at=0.0)
    for _ in range(64):  # in flight when it opened
        of.ended(Result.FAILURE, now=6.0, sent_at=4.9)
    assert of.state is OPEN
    of.ended(Result.SUCCESS, now=6.0, sent_at=4.9)
    assert of.state is CLOSED


def test_a_tripped_breaker_leaves_requests_and_probes_now_and_then() -> None:
    of = breaker()
    fail(of, FAILURES_IN_A_ROW)
    now = 0.0
    while of.state is not TRIPPED:
        now = probe(of, now, Result.FAILURE)
    assert of.check(now, has_failed=False) == Leave()
    assert of.check(now + TRIPPED_PAUSE_S, has_failed=False) is None
    of.started()
    assert of.check(now + TRIPPED_PAUSE_S, has_failed=False) == Leave()
    of.ended(Result.FAILURE, now=now + TRIPPED_PAUSE_S + 1, sent_at=now + TRIPPED_PAUSE_S)
    assert of.check(now + TRIPPED_PAUSE_S + 2, has_failed=False) == Leave()


def test_probes_that_may_be_billed_count_twice() -> None:
    of = breaker()
    fail(of, FAILURES_IN_A_ROW)
    now, probes = 0.0, 0
    while of.state is OPEN:
        now, probes = probe(of, now, Result.FAILURE, may_be_billed=True), probes + 1
    assert probes == PROBES // 2


def test_an_undecided_probe_is_followed_by_the_next_one() -> None:
    of = breaker()
    fail(of, FAILURES_IN_A_ROW)
    now = probe(of, 0.0, Result.UNDECIDED)
    assert (of.state, of.check(now, has_failed=False)) == (OPEN, None)


def test_probes_alternate_between_requests_that_have_failed_and_new_ones() -> None:
    """The order in which held requests come back decides which of them is the probe."""
    of = breaker()
    fail(of, FAILURES_IN_A_ROW)
    now = 0.0
    for number in range(4):
        while isinstance(held := of.check(now, has_failed=True), Hold) and held.seconds >= 0.9:
            now += 0.2
        waits = {}
        for has_failed in (True, False):
            held = of.check(now, has_failed=has_failed)
            assert isinstance(held, Hold)
            waits[has_failed] = held.seconds
        assert (waits[True] < waits[False]) is (number % 2 == 0)
        now = probe(of, now, Result.FAILURE)


@given(st.integers(0, 2**32), st.sampled_from([0.05, 0.1, 0.3]), st.integers(1, 64))
def test_a_healthy_api_never_opens_it(seed: int, rate: float, in_flight: int) -> None:
    draw = random.Random(seed)
    of = breaker()
    for number in range(2_000):
        failed = draw.random() < rate
        of.ended(Result.FAILURE if failed else Result.SUCCESS, now=number, sent_at=number - in_flight)
        assert of.state is CLOSED


def fast(now: float) -> float:
    return now


def slow(now: float) -> float:
    return now + 60.0


@pytest.mark.parametrize("answered_at", [fast, slow])
@pytest.mark.parametrize("result", [Result.FAILURE, Result.REFUSAL])
def test_a_failing_endpoint_costs_less_than_100_calls(result: Result, answered_at: Callable[[float], float]) -> None:
    """64 calls in flight, and as many requests as there are: every call fails, at once or after a minute."""
    of = breaker()
    now, calls = 0.0, 0
    flying: list[tuple[float, float]] = []  # (answered at, sent at)
    while of.state is not TRIPPED:
        while len(flying) < 64 and of.check(now, has_failed=False) is None:
            of.started()
            calls += 1
            flying.append((answered_at(now), now))
            if answered_at is slow and calls > 64:
                break  # staggered: one at a time
        if flying:
            now = max(now, min(flying)[0])
            _, sent_at = flying.pop(flying.index(min(flying)))
            of.ended(result, now=now, sent_at=sent_at)
        else:
            now += 0.25
    assert calls < 100


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, b'{"code": 0, "data": {}}', Result.SUCCESS),
        (200, b'{"code": 0, "data": {"base_resp": {"status_code": 5}}}', Result.FAILURE),
        (200, b'{"code": 301, "data": null}', Result.FAILURE),
        (403, b"<html>Firewall</html>", Result.FAILURE),
        (302, b"", Result.FAILURE),
        (200, b'{"code": 302, "data": null}', Result.UNDECIDED),
        (429, b"", Result.UNDECIDED),
        (200, b'{"code": 600, "data": null}', Result.UNDECIDED),
        (200, b'{"code": 400, "data": null}', Result.REFUSAL),
        (200, b'{"code": 201, "data": null}', Result.REFUSAL),
    ],
)
def test_what_a_response_says_about_the_endpoint(status: int, body: bytes, result: Result) -> None:
    assert result_of(decide(status, body)) is result


@pytest.mark.parametrize("outcome", ["timeout", "cut", "connection_lost"])
def test_a_missing_response_is_a_failure(outcome: str) -> None:
    assert result_of(decide_without_response(outcome, "")) is Result.FAILURE
