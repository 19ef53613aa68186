"""The outcome of a crawl: figures, advice and exit code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest

from xingtu_crawler.outcome import AFTER_FAILURES, CLOSE_REASONS, CallsByDay, Outcome

STATS: dict[str, Any] = {
    "downloader/request_count": 99,
    "log_count/INFO": 12,
    "xingtu/calls": 50,
    "xingtu/billed": 21,
    "xingtu/maybe_billed": 3,
    "xingtu/retries": 4,
    "xingtu/fresh": 7,
    "xingtu/authors": 20,
    "xingtu/answers/search/0": 2,
    "xingtu/answers/base_info/0": 18,
    "xingtu/answers/base_info/301": 3,
    "xingtu/answers/base_info/http_502": 1,
    "xingtu/stored/authors": 20,
    "xingtu/stored/videos": 41,
    "xingtu/failures/open": 2,
    "xingtu/failures/terminal": 1,
    "xingtu/failures/base_info/301 collection failed, please retry": 2,
    "xingtu/failures/rec_videos/400 invalid parameters": 1,
    "xingtu/quarantined": 1,
    "xingtu/unparsed/base_info": 5,
    "xingtu/unparsed/search": 2,
    "xingtu/unknown_fields/search": 9,
}


def outcome(close_reason: str = "finished", **changes: Any) -> Outcome:
    return Outcome(close_reason, 1.0, 10, **changes)


def test_figures_are_read_from_the_stats() -> None:
    assert Outcome.of(STATS, "finished", seconds=12.34567) == Outcome(
        close_reason="finished",
        seconds=12.346,
        calls=50,
        answers={"base_info": {"0": 18, "301": 3, "http_502": 1}, "search": {"0": 2}},
        stored={"authors": 20, "videos": 41},
        retries=4,
        billed=21,
        maybe_billed=3,
        fresh=7,
        failures={"base_info/301 collection failed, please retry": 2, "rec_videos/400 invalid parameters": 1},
        open_failures=2,
        terminal_failures=1,
        quarantined=1,
        unparsed=7,
        unknown_fields=9,
        authors=20,
        errors=0,
    )


def test_a_crawl_without_a_call_has_zeros() -> None:
    assert Outcome.of({}, "shutdown", seconds=0) == Outcome("shutdown", 0.0, 0)


def test_errors_in_the_log_and_in_callbacks_count() -> None:
    values = {"log_count/ERROR": 2, "spider_exceptions/count": 1}
    assert Outcome.of(values, "finished", seconds=1).errors == 3


def test_figures_can_be_stored_and_hold_every_count() -> None:
    figures = Outcome.of(STATS, "finished", seconds=1).figures()
    assert bson.decode(bson.encode(figures)) == figures
    assert figures["calls"] == {
        "total": 50,
        "billed": 21,
        "maybe_billed": 3,
        "retries": 4,
        "by_endpoint": {"base_info": {"0": 18, "301": 3, "http_502": 1}, "search": {"0": 2}},
    }
    assert figures["failures"] == {
        "open": 2,
        "terminal": 1,
        "by_reason": [
            {"what": "base_info/301 collection failed, please retry", "count": 2},
            {"what": "rec_videos/400 invalid parameters", "count": 1},
        ],
    }


SUCCESSES = {"finished", "max_calls", "max_authors", "daily_calls", "planned"}


@pytest.mark.parametrize("reason", sorted(SUCCESSES))
def test_a_crawl_that_ends_as_asked_exits_with_0(reason: str) -> None:
    assert outcome(reason).exit_code(refused=False) == 0
    # What the API does not have is no failure of the crawl.
    assert outcome(reason, terminal_failures=3).exit_code(refused=False) == 0


@pytest.mark.parametrize("trouble", [{"open_failures": 1}, {"quarantined": 1}, {"errors": 1}])
@pytest.mark.parametrize("reason", sorted(SUCCESSES))
def test_a_crawl_that_misses_something_exits_with_1(reason: str, trouble: dict[str, Any]) -> None:
    assert outcome(reason, **trouble).exit_code(refused=False) == 1


@pytest.mark.parametrize("reason", sorted((CLOSE_REASONS.keys() - SUCCESSES) | {"cancelled", ""}))
def test_a_crawl_that_is_ended_exits_with_1(reason: str) -> None:
    assert outcome(reason).exit_code(refused=False) == 1


def test_a_crawl_that_is_refused_exits_with_2_only_without_a_call() -> None:
    assert Outcome("api_unavailable", 1.0, 0).exit_code(refused=True) == 2
    assert Outcome("api_unavailable", 1.0, 1).exit_code(refused=True) == 1
    assert Outcome("shutdown", 1.0, 0).exit_code(refused=False) == 1


def test_every_close_reason_but_finished_has_advice() -> None:
    assert {name for name, reason in CLOSE_REASONS.items() if reason.advice is None} == {"finished"}
    assert outcome("finished").next_step() is None
    assert outcome("closespider_timeout").next_step() is None
    assert outcome("finished", open_failures=1).next_step() is not None
    assert "quarantine" in str(outcome("finished", quarantined=1).next_step())


def test_the_last_lines_have_figures_failures_and_advice() -> None:
    lines = list(Outcome.of(STATS, "finished", seconds=12.3).lines(refusal=None))
    failed = "base_info/301 collection failed, please retry: 2, rec_videos/400 invalid parameters: 1"
    assert lines == [
        "Closed (finished) after 12.3 s: 20 authors, 61 writes, 7 details already up to date",
        "Cost: 50 calls, 21 of them billed and 3 possibly billed, 4 retries",
        f"Failed: {failed}; quarantined: 1",
        f"Next: {AFTER_FAILURES}",
    ]


def test_a_crawl_without_failures_has_two_last_lines() -> None:
    assert len(list(outcome().lines(refusal=None))) == 2


def test_quarantine_alone_is_reported_too() -> None:
    lines = list(outcome(quarantined=2).lines(refusal=None))
    assert lines[2] == "Failed: none; quarantined: 2"


def test_a_refused_crawl_repeats_no_advice() -> None:
    assert len(list(outcome("no_valid_token").lines(refusal="No token: set it."))) == 2
    assert len(list(outcome("no_valid_token").lines(refusal=None))) == 3


def test_calls_are_counted_on_the_day_on_which_they_were_made() -> None:
    days = CallsByDay()
    evening, midnight = datetime(2026, 3, 6, 15, 59, tzinfo=UTC), datetime(2026, 3, 6, 16, tzinfo=UTC)
    assert days.until(evening, Outcome("", 0, 0)) == {}
    assert days.until(evening, Outcome("", 0, 10, billed=8)) == {"2026-03-06": {"calls": 10, "billed": 8}}
    assert days.until(midnight, Outcome("", 0, 10, billed=8)) == {"2026-03-06": {"calls": 10, "billed": 8}}
    assert days.until(midnight, Outcome("", 0, 12, billed=11)) == {
        "2026-03-06": {"calls": 10, "billed": 8},
        "2026-03-07": {"calls": 2, "billed": 3},
    }
