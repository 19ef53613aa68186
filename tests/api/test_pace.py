"""The pace of a token, in simulations: servers with a limit that nobody knows, and virtual time."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean, median

import pytest
from api.pace_simulation import (
    SERVERS,
    CalendarSecond,
    Limit,
    Run,
    Server,
    SlidingWindow,
    sandbox,
    simulate,
    single,
    tenth,
    whole,
)
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api.pace import BACK_OFF, MIN_RATE, START_RATE, PaceController

SEEDS = range(6)
MakeServer = Callable[[Limit], Server]


def always(rate: float) -> Limit:
    return lambda _now: rate


@pytest.mark.parametrize(("limit", "floor"), [(2, 0.9), (5, 0.9), (20, 0.97), (50, 0.98), (500, 0.97)])
def test_a_minute_at_a_limit_that_nobody_told_it(limit: int, floor: float) -> None:
    """The sandbox's limiter, timers that are up to 2 ms late; the first moments count too."""
    seeds = SEEDS[:2] if limit == 500 else SEEDS
    runs = [simulate(sandbox(always(limit)), 60, latency=0.1, late=0.002, seed=seed) for seed in seeds]
    assert min(run.taken(0, 60) for run in runs) >= floor * limit
    if limit >= 50:
        assert mean(run.refused(0, 60) for run in runs) <= 0.01


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("latency", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("limit", [2, 50, 200])
def test_it_settles_just_under_the_limit_of_any_kind_of_server(server: MakeServer, latency: float, limit: int) -> None:
    run = simulate(server(always(limit)), 60, latency=latency)
    # At 2 calls per second one 302 of a probe weighs more, and late answers weigh more where no allowance softens them.
    hard = limit == 2 or (server is single and latency > 0.1)
    assert (0.65 if hard else 0.8) * limit <= run.taken(15, 60) <= limit * 1.02
    assert run.refused(15, 60) <= (0.13 if hard else 0.05)


@pytest.mark.parametrize("server", [tenth, sandbox, whole, SlidingWindow])
def test_answers_that_come_out_of_order_do_not_unsettle_it(server: MakeServer) -> None:
    run = simulate(server(always(50)), 60, latency=0.1, jitter=0.3)
    assert run.taken(15, 60) >= 0.93 * 50
    assert run.refused(15, 60) <= 0.03


@pytest.mark.parametrize("server", SERVERS)
def test_a_slow_api_is_not_flooded(server: MakeServer) -> None:
    run = simulate(server(always(20)), 120, latency=5.0, in_flight=200)
    assert run.taken(30, 120) >= (0.6 if server is single else 0.8) * 20
    assert run.refused(30, 120) <= 0.15


@pytest.mark.parametrize("server", SERVERS)
def test_finding_a_low_limit_costs_few_calls(server: MakeServer) -> None:
    run = simulate(server(always(2)), 10)
    assert run.refusals(0, 10) <= 35


def moves(server: MakeServer, seed: int) -> tuple[float, float]:
    """Return the seconds until a limit that is halved, then doubled, is used again; the phases differ by seed."""
    halved, doubled = 20.0, 40.0 + seed
    run = simulate(
        server(lambda now: 50 if halved <= now < doubled else 100), doubled + 30, latency=0.1, late=0.002, seed=seed
    )
    return run.reached(0.95 * 50, halved), run.reached(0.95 * 100, doubled)


@pytest.mark.parametrize("server", [tenth, sandbox, whole, SlidingWindow])
def test_a_limit_that_is_halved_then_doubled_is_used_again_soon(server: MakeServer) -> None:
    halved, doubled = zip(*(moves(server, seed) for seed in SEEDS), strict=True)
    assert max(halved) <= 15
    assert max(doubled) <= 13
    assert median(doubled) <= 9


@pytest.mark.parametrize("server", SERVERS)
def test_it_follows_a_limit_that_falls(server: MakeServer) -> None:
    run = simulate(server(lambda now: 100 if now < 30 else 20), 90)
    assert run.refusals(30, 35) <= 100
    assert run.taken(45, 90) >= (0.75 if server is single else 0.85) * 20
    assert run.refused(45, 90) <= 0.05


@pytest.mark.parametrize("server", SERVERS)
def test_it_comes_back_from_a_time_in_which_every_call_was_refused(server: MakeServer) -> None:
    run = simulate(server(lambda now: 0 if 20 <= now < 30 else 50), 90)
    assert run.refusals(20, 30) <= 50
    assert run.taken(45, 90) >= (0.7 if server is single else 0.85) * 50


def test_without_a_limit_it_does_not_stand_in_the_way() -> None:
    run = simulate(SlidingWindow(always(10**9)), 10, demand=always(1000))
    assert run.taken(4, 10) == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize(("latency", "seconds"), [(0.001, 0.5), (0.05, 1.0), (0.2, 2.2)])
def test_without_a_limit_it_is_at_a_thousand_calls_per_second_the_sooner_the_faster_the_answers(
    latency: float, seconds: float
) -> None:
    run = simulate(SlidingWindow(always(10**9)), seconds + 0.1, latency=latency, demand=always(2000))
    assert run.taken(seconds, seconds + 0.1) >= 1000


def test_a_rate_that_is_not_made_use_of_does_not_grow() -> None:
    """Else the first 302 after an hour would find it a million calls per second above the limit."""
    run = simulate(SlidingWindow(always(10**9)), 120, demand=always(100))
    assert 100 <= run.pace.rate <= 300


def test_a_pause_is_no_evidence() -> None:
    """An hour of one call per second lets a token that has found its limit neither speed up nor forget."""
    run = simulate(sandbox(always(50)), 3660, demand=lambda now: 1.0 if 30 <= now < 3630 else 10**6)
    assert run.refusals(30.2, 3630) <= 1
    assert run.taken(3632, 3660) >= 0.95 * 50
    assert run.refused(3632, 3660) <= 0.02


def test_a_limit_met_late_is_found_at_once() -> None:
    run = simulate(SlidingWindow(lambda now: 10**9 if now < 60 else 40), 90, demand=always(400))
    assert run.refusals(60, 90) <= 400
    assert run.taken(70, 90) >= 0.85 * 40


def test_two_processes_use_up_their_common_limit_and_share_it() -> None:
    def both(seed: int) -> Run:
        return simulate(sandbox(always(50)), 60, latency=0.1, late=0.002, joins=[0.0, 0.3], seed=seed)

    runs = [both(seed) for seed in SEEDS]
    assert min(run.taken(0, 60) for run in runs) >= 0.97 * 50
    assert mean(min(run.share(0, 0, 60), run.share(1, 0, 60)) for run in runs) >= 0.35
    assert mean(run.refused(0, 60) for run in runs) <= 0.03


def test_a_process_that_comes_later_gets_its_share() -> None:
    runs = [simulate(sandbox(always(50)), 200, latency=0.1, joins=[0.0, 20.0], seed=seed) for seed in SEEDS]
    assert mean(run.share(1, 100, 200) for run in runs) >= 0.4


def test_five_processes_do_not_lock_each_other_out() -> None:
    run = simulate(tenth(always(100)), 120, joins=[0.0, 0.5, 1.0, 1.5, 2.0])
    assert run.taken(30, 120) >= 0.93 * 100
    assert min(run.share(client, 30, 120) for client in range(5)) >= 0.03


def test_a_server_that_says_when_to_come_back_is_not_asked_before() -> None:
    run = simulate(CalendarSecond(always(50)), 30, latency=0.02, retry_after=1.0)
    refused = [call.at + 0.02 for call in run.calls if not call.taken]
    assert refused
    for answered in refused:
        assert not any(answered < call.at < answered + 1.0 - 1e-6 for call in run.calls)


def test_a_server_that_bears_no_two_calls_at_once_is_no_reason_to_crawl() -> None:
    """The refused rate is near the limit there, and what got through falls short of it: trust has to be learned."""
    run = simulate(single(always(50)), 300, latency=0.1)
    assert run.taken(60, 300) >= 0.8 * 50
    assert run.refused(60, 300) <= 0.01


@pytest.mark.parametrize("max_rate", [0.01, 0.5, 3.0, 40.0, 200.0])
@pytest.mark.parametrize("limit", [2, 10**9])
def test_max_rate_is_never_exceeded(max_rate: float, limit: int) -> None:
    seconds = max(20.0, 5 / max_rate)
    run = simulate(SlidingWindow(always(limit)), seconds, max_rate=max_rate)
    assert run.pace.rate <= max_rate
    # One call at the start, and one that makes up for a late timer.
    assert len(run.calls) <= max_rate * seconds + 2


def test_max_rate_below_the_limit_is_made_use_of() -> None:
    run = simulate(SlidingWindow(always(50)), 20, max_rate=20.0)
    assert run.taken(5, 20) == pytest.approx(20, rel=0.02)
    assert run.refused(0, 20) == 0


def test_a_burst_of_refusals_counts_once() -> None:
    pace = PaceController()
    for step in range(50):
        pace.succeeded(step / 50, sent_at=step / 50 - 0.2)
    rate = pace.rate
    pace.limited(1.2, sent_at=1.0)
    fallen = pace.rate
    assert rate * BACK_OFF * 0.5 <= fallen <= rate * BACK_OFF
    for step in range(20):
        pace.limited(1.2 + step / 100, sent_at=1.0 + step / 100)
    assert pace.rate == fallen
    pace.limited(1.5, sent_at=1.21)
    assert pace.rate < fallen


def test_answers_to_calls_from_before_the_fall_do_not_speed_it_up_again() -> None:
    pace = PaceController()
    for step in range(50):
        pace.succeeded(step / 50, sent_at=step / 50 - 0.2)
    pace.limited(3.0, sent_at=1.0)
    fallen = pace.rate
    for step in range(190):
        pace.succeeded(3.0 + step / 100, sent_at=3.0 + step / 100 - 0.2)
    assert pace.rate == fallen
    for step in range(20):
        pace.succeeded(5.0 + step / 100, sent_at=5.0 + step / 100 - 0.2)
    assert pace.rate > fallen


def test_the_wish_of_the_server_is_obeyed() -> None:
    pace = PaceController()
    pace.limited(10.0, sent_at=9.8, retry_after=30.0)
    assert pace.wait(10.0) == 30.0
    assert pace.wait(39.0) == 1.0
    assert pace.wait(40.0) == 0.0


def test_the_wish_of_a_straggler_is_obeyed_though_the_rate_has_fallen_already() -> None:
    pace = PaceController()
    pace.limited(10.0, sent_at=9.8)
    fallen = pace.rate
    pace.limited(10.1, sent_at=9.9, retry_after=5.0)
    assert pace.rate == fallen
    assert pace.wait(10.1) == 5.0


def test_a_shorter_wish_does_not_undo_a_longer_one() -> None:
    pace = PaceController()
    pace.limited(10.0, sent_at=9.8, retry_after=30.0)
    pace.limited(11.0, sent_at=9.9, retry_after=1.0)
    assert pace.wait(11.0) == 29.0


def test_a_refusal_without_a_wish_does_not_undo_one() -> None:
    pace = PaceController()
    pace.limited(10.0, sent_at=9.8)
    pace.limited(10.2, sent_at=9.9, retry_after=30.0)
    pace.limited(10.3, sent_at=10.1)
    assert pace.wait(10.3) == pytest.approx(29.9)


def test_it_never_stops_altogether() -> None:
    run = simulate(SlidingWindow(always(0)), 600)
    assert run.pace.rate == MIN_RATE
    assert sum(call.at >= 300 for call in run.calls) >= 300 * MIN_RATE - 1


def test_a_pause_is_not_made_up_for_by_a_burst() -> None:
    pace = PaceController()
    pace.reserve(0.0)
    leaving = 0
    while pace.wait(1000.0) == 0:
        pace.reserve(1000.0)
        leaving += 1
    assert leaving <= START_RATE * 0.02 + 1


def test_late_timers_cost_no_throughput() -> None:
    pace = PaceController(max_rate=50.0)
    now, calls = 0.0, 0
    while now < 10:
        pace.reserve(now)
        calls += 1
        now += pace.wait(now) + 0.004  # the loop is always a little late
    assert calls == pytest.approx(500, rel=0.02)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100),  # passes
            st.sampled_from(["reserve", "succeeded", "limited"]),
            st.floats(0, 60),  # latency
            st.none() | st.floats(0, 100),  # Retry-After
        ),
        max_size=60,
    ),
    st.none() | st.floats(0.001, 1000),
)
def test_whatever_happens_the_rate_stays_a_rate(
    events: list[tuple[float, str, float, float | None]], max_rate: float | None
) -> None:
    pace = PaceController(max_rate=max_rate)
    now = 0.0
    for passed, event, latency, retry_after in events:
        now += passed
        if event == "reserve":
            pace.reserve(now)
        elif event == "succeeded":
            pace.succeeded(now, sent_at=now - latency)
        else:
            pace.limited(now, sent_at=now - latency, retry_after=retry_after)
        assert 0 < pace.rate < 1e6
        assert pace.rate >= min(MIN_RATE, max_rate or MIN_RATE) * 0.999
        assert max_rate is None or pace.rate <= max_rate
        assert pace.ceiling is None or 0 < pace.ceiling < 1e6
        assert pace.wait(now) >= 0
