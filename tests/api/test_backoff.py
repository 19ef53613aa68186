"""The pause before a retry: exponential, with jitter, capped."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api.backoff import Backoff


@given(st.integers(1, 10**6), st.integers())
def test_a_pause_is_in_the_upper_half_of_the_nominal_one(attempts: int, seed: int) -> None:
    backoff = Backoff(1.0, 60.0, random.Random(seed))
    longest = min(60.0, 2.0 ** min(attempts - 1, 60))
    assert longest / 2 <= backoff.delay(attempts) <= longest


@pytest.mark.parametrize(("attempts", "due"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (5000, 60)])
def test_pauses_double_up_to_the_cap(attempts: int, due: float) -> None:
    backoff = Backoff(1.0, 60.0, random.Random(1))
    drawn = [backoff.delay(attempts) for _ in range(2000)]
    assert due * 0.5 <= min(drawn) < due * 0.51
    assert due * 0.99 < max(drawn) <= due


def test_requests_that_fail_together_do_not_come_back_together() -> None:
    backoff = Backoff(1.0, 60.0)
    assert len({backoff.delay(3) for _ in range(100)}) > 90


def test_a_base_above_the_cap_is_capped() -> None:
    assert Backoff(100.0, 0.2).delay(1) <= 0.2


def test_no_base_means_no_pause() -> None:
    assert Backoff(0.0, 60.0).delay(5) == 0.0
