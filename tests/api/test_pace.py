"""The pace of a token, in simulations with virtual time: servers whose rate limit the controller has to find."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.pace_simulation import (
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
from xingtu_crawler.api.pace import COARSE, FIRST_CALLS, FIRST_RATE, MIN_RATE, START_RATE, PaceController, Phase

SEEDS = range(6)
NO_LIMIT = 10**9
MakeServer = Callable[[Limit], Server]


def always(rate: float) -> Limit:
    return lambda _now: rate


@pytest.mark.parametrize(("limit", "floor"), [(2, 0.9), (5, 0.9), (20, 0.97), (50, 0.98), (500, 0.97)])
def test_a_minute_at_an_unknown_limit(limit: int, floor: float) -> None:
    """The sandbox's limiter, and timers that are up to 2 ms late; the start counts too."""
    seeds = SEEDS[:2] if limit == 500 else SEEDS
    runs = [simulate(sandbox(always(limit)), 60, latency=0.1, late=0.002, seed=seed) for seed in seeds]
    assert min(run.taken(0, 60) for run in runs) >= floor * limit
    if limit >= 50:
        assert mean(run.refused(0, 60) for run in runs) <= 0.01


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("latency", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("limit", [2, 50, 200])
def test_it_settles_just_below_the_limit_of_every_kind_of_server(
    server: MakeServer, latency: float, limit: int
) -> None:
    run = simulate(server(always(limit)), 60, latency=latency)
    # At 2 calls/s one 302 of a probe weighs more, and late responses weigh more where there is no burst allowance.
    hard = limit == 2 or (server is single and latency > 0.1)
    assert (0.65 if hard else 0.8) * limit <= run.taken(15, 60) <= limit * 1.02
    assert run.refused(15, 60) <= (0.13 if hard else 0.05)


@pytest.mark.parametrize("server", [tenth, sandbox, whole, SlidingWindow])
def test_responses_out_of_order_do_not_unsettle_it(server: MakeServer) -> None:
    run = simulate(server(always(50)), 60, latency=0.1, jitter=0.3)
    assert run.taken(15, 60) >= 0.93 * 50
    assert run.refused(15, 60) <= 0.03


@pytest.mark.parametrize("server", SERVERS)
def test_a_slow_api_is_not_flooded(server: MakeServer) -> None:
    run = simulate(server(always(20)), 120, latency=5.0, in_flight=200)
    assert run.taken(30, 120) >= (0.6 if server is single else 0.8) * 20
    assert run.refused(30, 120) <= 0.15


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("latency", "most"), [(0.05, 22), (0.2, 35), (1.0, 65)])
def test_finding_a_low_limit_costs_few_calls(server: MakeServer, latency: float, most: int) -> None:
    run = simulate(server(always(2)), 10, latency=latency)
    assert run.refusals(0, 10) <= most


def lost_at_the_start(latency: float, pages_first: float) -> float:
    """Return the seconds' worth of calls that a crawl with 64 in flight loses in its first three seconds.

    The crawl begins with one call, the search page; all others can leave `pages_first` seconds later.
    """
    rate, since = 64 / latency, latency + pages_first
    run = simulate(
        SlidingWindow(always(NO_LIMIT)),
        since + 3,
        latency=latency,
        in_flight=64,
        demand=lambda now: 10**6 if now >= since - 1e-9 else 1 / since,
    )
    return 3 - sum(call.at >= since for call in run.calls) / rate


@pytest.mark.parametrize("latency", [0.02, 0.05, 0.1, 0.2, 0.4, 1.0])
def test_without_a_limit_the_start_costs_half_a_second(latency: float) -> None:
    """Against a client that has 64 calls in flight from the first moment on."""
    assert lost_at_the_start(latency, 0.25) <= 0.5


@pytest.mark.parametrize("latency", [0.2, 1.0, 5.0])
def test_before_the_first_response_few_calls_leave_fast(latency: float) -> None:
    run = simulate(SlidingWindow(always(NO_LIMIT)), latency, latency=latency)
    # One more than the two rates give: two calls leave at once at the start.
    assert len(run.calls) <= FIRST_CALLS + (latency - FIRST_CALLS / FIRST_RATE) * START_RATE + 2


def test_after_the_first_302_no_call_leaves_until_those_in_flight_are_answered() -> None:
    run = simulate(sandbox(always(2)), 3, latency=0.2)
    refused_at = min(call.at for call in run.calls if not call.taken) + 0.2
    assert not any(refused_at < call.at < refused_at + 0.2 - 1e-9 for call in run.calls)
    assert any(call.at < refused_at + 0.25 for call in run.calls if call.at >= refused_at + 0.2 - 1e-9)


def moves(server: MakeServer, moment: int) -> tuple[float, float]:
    """Return the seconds until a limit that is halved, then doubled at one of several moments, is used again."""
    halved, doubled = 20.0, 40.0 + moment
    run = simulate(
        server(lambda now: 50 if halved <= now < doubled else 100), doubled + 15, latency=0.1, late=0.002, seed=moment
    )
    return run.reached(0.95 * 50, halved), run.reached(0.95 * 100, doubled)


@pytest.mark.parametrize("server", [tenth, sandbox, whole, SlidingWindow])
def test_a_limit_that_is_halved_then_doubled_is_used_again_soon(server: MakeServer) -> None:
    """A doubled limit is found by the next probe: at worst, the longest patience (6.6 s) and a whole probe (6.5 s)."""
    halved, doubled = zip(*(moves(server, moment) for moment in range(10)), strict=True)
    assert max(halved) <= 15
    assert max(doubled) <= 13.5
    assert mean(doubled) <= 10


@pytest.mark.parametrize("server", SERVERS)
def test_it_follows_a_limit_that_falls(server: MakeServer) -> None:
    run = simulate(server(lambda now: 100 if now < 30 else 20), 90)
    assert run.refusals(30, 35) <= 100
    assert run.taken(45, 90) >= (0.75 if server is single else 0.85) * 20
    assert run.refused(45, 90) <= 0.05


@pytest.mark.parametrize("server", SERVERS)
def test_it_recovers_after_ten_seconds_in_which_every_call_was_refused(server: MakeServer) -> None:
    run = simulate(server(lambda now: 0 if 20 <= now < 30 else 50), 90)
    assert run.refusals(20, 30) <= 55
    assert run.taken(45, 90) >= (0.7 if server is single else 0.85) * 50


def test_without_a_limit_it_does_not_slow_the_crawl_down() -> None:
    run = simulate(SlidingWindow(always(NO_LIMIT)), 10, demand=always(1000))
    assert run.taken(4, 10) == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize(("latency", "seconds"), [(0.001, 0.3), (0.05, 0.7), (0.2, 1.6)])
def test_without_a_limit_it_reaches_a_thousand_calls_per_second(latency: float, seconds: float) -> None:
    run = simulate(SlidingWindow(always(NO_LIMIT)), seconds + 0.1, latency=latency, demand=always(2000))
    assert run.taken(seconds, seconds + 0.1) >= 1000


def test_a_rate_that_is_not_used_does_not_grow() -> None:
    """Otherwise the first 302 after an hour would come at a million calls per second."""
    run = simulate(SlidingWindow(always(NO_LIMIT)), 120, demand=always(100))
    assert 100 <= run.pace.rate <= 300


def test_a_pause_is_no_evidence() -> None:
    """In an hour of one call per second, a token that has found its limit neither speeds up nor forgets it."""
    run = simulate(sandbox(always(50)), 3660, demand=lambda now: 1.0 if 30 <= now < 3630 else 10**6)
    assert run.refusals(30.2, 3630) <= 1
    assert run.taken(3632, 3660) >= 0.95 * 50
    assert run.refused(3632, 3660) <= 0.02


def test_the_first_302_after_an_hour_of_few_calls_is_no_reason_to_crawl() -> None:
    """What got through in that hour says nothing about the limit."""
    run = simulate(sandbox(always(5)), 3640, demand=lambda now: 1 / 60 if now < 3600 else 10**6)
    assert run.refusals(0, 3600) == 0
    assert run.taken(3602, 3640) >= 0.8 * 5


def test_a_limit_that_appears_late_is_found_at_once() -> None:
    run = simulate(SlidingWindow(lambda now: NO_LIMIT if now < 60 else 40), 90, demand=always(400))
    assert run.refusals(60, 90) <= 400
    assert run.taken(70, 90) >= 0.85 * 40


def test_two_processes_use_their_common_limit_and_share_it() -> None:
    def both(seed: int) -> Run:
        return simulate(sandbox(always(50)), 60, latency=0.1, late=0.002, joins=[0.0, 0.3], seed=seed)

    runs = [both(seed) for seed in SEEDS]
    assert min(run.taken(0, 60) for run in runs) >= 0.97 * 50
    assert mean(min(run.share(0, 0, 60), run.share(1, 0, 60)) for run in runs) >= 0.35
    assert mean(run.refused(0, 60) for run in runs) <= 0.03


def test_a_process_that_starts_later_gets_its_share() -> None:
    runs = [simulate(sandbox(always(50)), 200, latency=0.1, joins=[0.0, 20.0], seed=seed) for seed in SEEDS]
    assert mean(run.share(1, 100, 200) for run in runs) >= 0.4


def test_five_processes_do_not_lock_each_other_out() -> None:
    run = simulate(tenth(always(100)), 120, joins=[0.0, 0.5, 1.0, 1.5, 2.0])
    assert run.taken(30, 120) >= 0.93 * 100
    assert min(run.share(client, 30, 120) for client in range(5)) >= 0.03


def test_no_call_leaves_before_the_end_of_the_pause_that_the_server_asks_for() -> None:
    run = simulate(CalendarSecond(always(50)), 30, latency=0.02, retry_after=1.0)
    refused = [call.at + 0.02 for call in run.calls if not call.taken]
    assert refused
    for answered in refused:
        assert not any(answered < call.at < answered + 1.0 - 1e-6 for call in run.calls)


def test_a_server_without_a_burst_allowance_is_used_well() -> None:
    """The refused rate is near the limit there, and what gets through falls short of it: trust has to be learned."""
    run = simulate(single(always(50)), 300, latency=0.1)
    assert run.taken(60, 300) >= 0.8 * 50
    assert run.refused(60, 300) <= 0.01


@pytest.mark.parametrize("max_rate", [0.01, 0.5, 3.0, 40.0, 200.0])
@pytest.mark.parametrize("limit", [2, NO_LIMIT])
def test_max_rate_is_never_exceeded(max_rate: float, limit: int) -> None:
    seconds = max(20.0, 5 / max_rate)
    run = simulate(SlidingWindow(always(limit)), seconds, max_rate=max_rate)
    assert run.pace.rate <= max_rate
    # One call at the start, and one that makes up for a late timer.
    assert len(run.calls) <= max_rate * seconds + 2


def test_max_rate_below_the_limit_is_used() -> None:
    run = simulate(SlidingWindow(always(50)), 20, max_rate=20.0)
    assert run.taken(5, 20) == pytest.approx(20, rel=0.02)
    assert run.refused(0, 20) == 0


def searching() -> PaceController:
    """Return a controller that has had 50 successful calls in a second, with a round trip of 0.2 s."""
    pace = PaceController()
    for step in range(50):
        pace.reserve(step / 50 - 0.2)
        pace.succeeded(step / 50, sent_at=step / 50 - 0.2)
    return pace


def holding() -> PaceController:
    """Return a controller that has found a limit and holds its rate at 10.0 s, with a round trip of 0.2 s."""
    pace = searching()
    pace.limited(1.0, sent_at=0.8)
    for step in range(360):
        pace.succeeded(1.2 + step / 40, sent_at=1.0 + step / 40 + 1e-6)
    pace.limited(10.2, sent_at=10.0)
    for step in range(40):
        pace.succeeded(10.3 + step / 40, sent_at=10.1 + step / 40)
    return pace


def test_the_phases() -> None:
    pace = searching()
    phases = [pace.phase]
    pace.limited(1.0, sent_at=0.8)
    phases.append(pace.phase)
    pace.succeeded(1.1, sent_at=0.9)
    phases.append(pace.phase)
    pace.succeeded(1.4, sent_at=1.2)
    phases.append(pace.phase)
    for step in range(20):
        pace.succeeded(1.4 + step / 50, sent_at=1.2 + step / 50)
    now = fell_at = 1.8
    pace.limited(now, sent_at=now - 0.2)
    phases.append(pace.phase)
    while phases[-1] is not Phase.PROBING or now == fell_at:
        now += 0.02
        pace.succeeded(now, sent_at=now - 0.2)
        phases.append(pace.phase)
    assert 2.0 < now - fell_at < 6.0
    pace.limited(now + 0.1, sent_at=now)
    phases.append(pace.phase)
    assert [phase for phase, _ in groupby(phases)] == [
        Phase.SEARCHING,
        Phase.DRAINING,
        Phase.PROBING,
        Phase.CLIMBING,
        Phase.HOLDING,
        Phase.PROBING,
        Phase.HOLDING,
    ]


def test_the_first_estimate_is_what_got_through_the_calls_in_flight_included() -> None:
    pace = searching()
    rate = pace.rate
    pace.limited(1.0, sent_at=0.8)
    assert pace.ceiling is not None
    before, least = pace.ceiling, pace.rate
    assert pace.rate == pytest.approx(COARSE * pace.ceiling)
    assert pace.rate < rate
    assert pace.wait(1.0) == pytest.approx(0.2)
    for step in range(8):
        pace.succeeded(1.0 + step / 50, sent_at=0.8 + step / 50)
    assert pace.ceiling > before
    assert pace.rate > least
    assert pace.ceiling == pytest.approx(50, rel=0.1)


def test_a_302_before_any_success_leaves_one_call_per_round_trip() -> None:
    pace = PaceController()
    pace.reserve(10.0)
    pace.limited(10.5, sent_at=10.0)
    assert pace.ceiling == pytest.approx(1 / 0.5)


def test_a_burst_of_302s_counts_once() -> None:
    pace = searching()
    pace.limited(1.2, sent_at=1.0)
    fallen = pace.rate
    for step in range(20):
        pace.limited(1.2 + step / 100, sent_at=1.0 + step / 100)
    assert pace.rate == fallen
    pace.limited(1.5, sent_at=1.21)
    assert pace.rate < fallen


def test_responses_to_calls_from_before_a_fall_do_not_raise_the_rate_again() -> None:
    pace = holding()
    now = 11.3
    pace.limited(now, sent_at=now - 1.0)
    fallen, units = pace.rate, pace.phase
    for step in range(90):
        pace.succeeded(now + step / 100, sent_at=now + step / 100 - 0.2)
    assert (pace.rate, pace.phase) == (fallen, units)
    for step in range(100):
        pace.succeeded(now + 1.0 + step / 100, sent_at=now + 0.8 + step / 100)
    assert pace.rate > fallen


def test_the_pause_that_the_server_asks_for_is_kept() -> None:
    pace = PaceController()
    pace.limited(10.0, sent_at=9.8, retry_after=30.0)
    assert pace.wait(10.0) == 30.0
    assert pace.wait(39.0) == 1.0
    assert pace.wait(40.0) == 0.0


def test_the_pause_is_kept_even_if_the_302_itself_is_late_and_does_not_count() -> None:
    pace = PaceController()
    pace.limited(10.0, sent_at=9.8)
    fallen = pace.rate
    pace.limited(10.1, sent_at=9.9, retry_after=5.0)
    assert pace.rate == fallen
    assert pace.wait(10.1) == 5.0


def test_a_shorter_pause_does_not_replace_a_longer_one() -> None:
    pace = PaceController()
    pace.limited(10.0, sent_at=9.8, retry_after=30.0)
    pace.limited(11.0, sent_at=9.9, retry_after=1.0)
    assert pace.wait(11.0) == 29.0


def test_a_302_without_a_pause_does_not_end_one() -> None:
    pace = PaceController()
    pace.limited(10.0, sent_at=9.8)
    pace.limited(10.2, sent_at=9.9, retry_after=30.0)
    pace.limited(10.3, sent_at=10.1)
    assert pace.wait(10.3) == pytest.approx(29.9)


def test_it_never_stops_altogether() -> None:
    run = simulate(SlidingWindow(always(0)), 600)
    assert run.pace.rate == MIN_RATE
    assert sum(call.at >= 300 for call in run.calls) >= 300 * MIN_RATE - 1


def test_a_burst_does_not_make_up_for_a_pause() -> None:
    pace = PaceController()
    pace.reserve(0.0)
    leaving = 0
    while pace.wait(1000.0) == 0:
        pace.reserve(1000.0)
        leaving += 1
    assert leaving <= FIRST_RATE * 0.02 + 1


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
            st.floats(0, 100),  # seconds since the previous event
            st.sampled_from(["reserve", "succeeded", "limited"]),
            st.floats(0, 60),  # latency
            st.none() | st.floats(0, 100),  # Retry-After
        ),
        max_size=60,
    ),
    st.none() | st.floats(0.001, 1000),
)
def test_after_any_events_the_rate_is_positive_and_bounded(
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
        assert pace.phase in Phase
