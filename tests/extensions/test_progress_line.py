"""The words of the progress line."""

from __future__ import annotations

import pytest

from xingtu_crawler.extensions.context import Done
from xingtu_crawler.extensions.progress_line import Rate, Situation, line, time, waits_for


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (Done(96, 393, is_estimate=True), "96 of ~393 authors"),
        (Done(1_096, 1_393), "1,096 of 1,393 authors"),
        (Done(96), "96 authors"),
        (Done(400, 393, is_estimate=True), "400 authors"),  # the estimate was too low
    ],
)
def test_how_much_of_how_much(done: Done, words: str) -> None:
    assert done.of("authors") == words


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (Situation(), None),
        (Situation(open_calls=5, held=3, held_for=60), None),
        (Situation(held=1, held_for=12.2), "waiting 12 s to retry 1 request"),
        (Situation(held=3, held_for=200), "waiting 3 min 20 s to retry 3 requests"),
        (Situation(held=3, held_for=0.2), None),
        (Situation(held=3, held_for=9, in_work=1), None),
        (Situation(open_calls=2, pace=45), "waiting 45 s before the next call (rate limit or Retry-After)"),
        (Situation(open_calls=0, pace=45), None),
        (Situation(open_calls=2, pace=0.1, silence=6), "waiting for 2 responses"),
        (Situation(open_calls=1, silence=6), "waiting for 1 response"),
        (Situation(open_calls=1, silence=2), None),
        (Situation(storage_is_away=True, open_calls=1, pace=45, held=1, held_for=9), "waiting for MongoDB"),
    ],
)
def test_what_a_crawl_waits_for(now: Situation, words: str | None) -> None:
    assert waits_for(now) == words


def test_the_whole_line() -> None:
    parts = {"authors": Done(96, 393, is_estimate=True), "details": Done(380, 1_572, is_estimate=True)}
    assert line(12.3, parts, calls=Done(400), rate=33.4, left=1_192, notes=["2 retries", "1 failed"]) == (
        "12 s: 96 of ~393 authors, 380 of ~1,572 details, 400 calls (33/s), about 36 s left, 2 retries, 1 failed"
    )
    assert line(1, {}, calls=Done(0, 50), rate=0.0, left=10, notes=[]) == "1 s: 0 of 50 calls (0/s)"


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    rate = Rate()
    assert (rate.per_second, rate.silence) == (0.0, 0.0)
    for second in range(101):
        rate.add(float(second), min(second, 50) * 10)
    assert rate.per_second == 0.0
    assert rate.silence == 50.0
    rate.add(101.0, 530)
    assert rate.per_second == pytest.approx(1.0)
    assert rate.silence == 0.0


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (61, "1 min 01 s"), (7_500, "2 h 05 min")])
def test_times(seconds: float, words: str) -> None:
    assert time(seconds) == words
