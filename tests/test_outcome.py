"""The outcome of a crawl: figures, advice and exit code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest

from xingtu_crawler.outcome import CLOSE_REASONS, MAX_REASONS, SCRAPYS_REASONS, CallsByDay, Outcome
from xingtu_crawler.verdict import Findings, Verdict

STATS: dict[str, Any] = {
    "downloader/request_count": 99,
    "log_count/INFO": 12,
    "xingtu/calls": 50,
    "xingtu/billed": 21,
    "xingtu/maybe_billed": 3,
    "xingtu/retries": 4,
    "xingtu/fresh": 7,
    "xingtu/fresh/base_info": 4,
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
        fresh_by_endpoint={"base_info": 4},
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


VERDICTS = {
    "finished": "complete",
    "max_calls": "limited",
    "max_authors": "limited",
    "daily_calls": "limited",
    "planned": "limited",
    "declined": "limited",
    "no_valid_token": "incomplete",
    "quota_exhausted": "incomplete",
    "insufficient_balance": "incomplete",
    "storage_unavailable": "incomplete",
    "api_unavailable": "incomplete",
    "shutdown": "incomplete",
    "start_error": "incomplete",
    "closespider_timeout": "incomplete",
    "closespider_itemcount": "incomplete",
    "closespider_pagecount": "incomplete",
    "closespider_errorcount": "incomplete",
    "closespider_timeout_no_item": "incomplete",
    "closespider_pagecount_no_item": "incomplete",
    "memusage_exceeded": "incomplete",
    "cancelled": "incomplete",
    "a reason that nothing knows": "incomplete",
}
"""The verdict on a crawl that has stored something and has no findings, by its close reason."""


@pytest.mark.parametrize("reason", [*VERDICTS, *(CLOSE_REASONS.keys() - VERDICTS.keys())])
def test_every_close_reason_has_its_verdict(reason: str) -> None:
    of = outcome(reason, stored={"authors": 1})
    assert of.verdict == VERDICTS.get(reason, "incomplete")
    assert of.exit_code() == (0 if of.verdict in {"complete", "limited", "capped"} else 1)


def test_every_limit_of_scrapy_has_a_row() -> None:
    assert VERDICTS.keys() > SCRAPYS_REASONS.keys()


@pytest.mark.parametrize("figure", ["open_failures", "quarantined", "errors", "spilled", "closing_errors"])
@pytest.mark.parametrize("reason", ["finished", "max_calls"])
def test_a_crawl_that_misses_something_is_incomplete(reason: str, figure: str) -> None:
    of = outcome(reason, stored={"authors": 1}, **{figure: 1})
    assert (of.verdict, of.exit_code()) == (Verdict.INCOMPLETE, 1)
    assert of.verdict_line().startswith("Verdict: incomplete: ")


@pytest.mark.parametrize("reason", ["no_valid_token", "shutdown", "finished"])
def test_an_incomplete_crawl_that_has_nothing_is_failed(reason: str) -> None:
    assert outcome(reason, errors=1).verdict == "failed"
    assert outcome(reason, errors=1, fresh=1).verdict == "incomplete"
    assert outcome(reason, errors=1, stored={"authors": 1}).verdict == "incomplete"


def test_where_the_api_refuses_too_often_no_author_counts_as_unavailable() -> None:
    found = Findings()
    found.add("details_unavailable", "{count} authors", key="base_info 404 not found")
    found.add("details_unavailable", "{count} authors", key="rec_videos 404 not found")
    found.add("refused_often", "{count} requests", key="base_info")
    of = outcome("finished", stored={"authors": 1}, answers={"rec_videos": {"0": 99}}, collected=tuple(found))
    assert [(each.kind, each.endpoint) for each in of.findings] == [
        ("refused_often", "base_info"),
        ("details_unavailable", "rec_videos"),
    ]
    nothing = outcome("finished", collected=tuple(each for each in found if each.endpoint == "base_info"))
    assert nothing.verdict == "failed"


def test_that_the_only_author_is_unavailable_is_a_result() -> None:
    found = Findings()
    found.add("details_unavailable", "{count} authors", key="base_info 404 not found")
    assert outcome("finished", collected=tuple(found)).verdict == "incomplete"


def test_a_crawl_that_has_nothing_to_do_is_complete() -> None:
    nothing = Outcome("finished", 1.0, 0, fresh=80)
    assert (nothing.verdict, nothing.exit_code(), nothing.next_step()) == ("complete", 0, None)
    assert outcome("finished").verdict == "complete"  # the search finds nothing


def test_a_crawl_that_is_refused_exits_with_2_only_without_a_call() -> None:
    assert Outcome("api_unavailable", 1.0, 0, refusal="No host.").exit_code() == 2
    assert Outcome("api_unavailable", 1.0, 1, refusal="No host.").exit_code() == 1
    assert Outcome("api_unavailable", 1.0, 0, refusal="No host.").verdict == "failed"
    assert Outcome("shutdown", 1.0, 0).exit_code() == 1


def unavailable(count: int, received: int, *, failed: int = 0, fresh: int = 0) -> Outcome:
    found = Findings()
    for number in range(count):
        label = "404 not found" if number % 2 else "201 no content"
        found.add("details_unavailable", "{count} authors", example=str(number), key=f"base_info {label}")
    for number in range(failed):
        found.add("details_failed", "{count} requests", example=str(number), key="base_info timeout")
    return outcome(
        stored={"authors": 1},
        answers={"base_info": {"0": received}, "search": {"0": 1000}},
        fresh_by_endpoint={"base_info": fresh, "rec_videos": 1000},
        collected=tuple(found),
    )


@pytest.mark.parametrize(
    ("unavailable_of_100", "verdict"), [(0, "complete"), (9, "complete"), (10, "incomplete"), (100, "incomplete")]
)
def test_a_few_unavailable_authors_leave_a_run_complete(unavailable_of_100: int, verdict: str) -> None:
    of = unavailable(unavailable_of_100, 100 - unavailable_of_100)
    assert of.verdict == verdict
    assert sum(each.count for each in of.findings) == unavailable_of_100


def test_the_share_of_unavailable_authors_is_that_of_all_that_the_crawl_wanted() -> None:
    assert unavailable(1, 0, fresh=99).verdict == "complete"
    assert unavailable(10, 0, fresh=89).verdict == "incomplete"
    assert unavailable(1, 1, failed=9).verdict == "incomplete"


def test_every_close_reason_but_finished_has_advice() -> None:
    assert {name for name, reason in CLOSE_REASONS.items() if reason.advice is None} == {"finished"}
    assert outcome("finished").next_step() is None
    assert "same command" in str(outcome("closespider_timeout").next_step())
    assert "same command" in str(outcome("finished", open_failures=1).next_step())
    assert "quarantine" in str(outcome("finished", quarantined=1).next_step())


def test_the_last_lines_have_figures_failures_advice_and_the_verdict() -> None:
    found = Findings()
    found.add("details_failed", "{count} requests failed", count=2, example="7", advice="Do this.", key="base_info x")
    found.add("unknown_fields", "{count} answers", count=9, key="search")
    lines = list(Outcome.of(STATS, "finished", seconds=12.3, collected=found).lines())
    failed = "base_info/301 collection failed, please retry: 2, rec_videos/400 invalid parameters: 1"
    assert lines == [
        "Closed (finished) after 12.3 s: 20 authors, 61 writes, 7 details already up to date",
        "Cost: 50 calls, 21 of them billed and 3 possibly billed, 4 retries",
        f"Failed: {failed}; quarantined: 1",
        "Note: 9 answers",
        lines[4],
        "Verdict: incomplete: 1 answers are no documents: they are in quarantine; 2 requests failed (for example 7)",
    ]
    assert lines[4].startswith("Next: ")


def test_a_crawl_without_failures_has_three_last_lines() -> None:
    assert list(outcome().lines())[2:] == ["Verdict: complete"]


def test_the_line_with_the_verdict_is_bounded() -> None:
    found = Findings()
    for number in range(MAX_REASONS + 3):
        found.add("unparsed_values", f"reason {number}", key=str(number), severity=Verdict.SUSPICIOUS)
    line = outcome(stored={"authors": 1}, collected=tuple(found)).verdict_line()
    assert line.startswith("Verdict: suspicious: reason 0; reason 1")
    assert line.endswith("; and 3 more in runs.findings")


def test_a_refused_crawl_repeats_no_advice() -> None:
    assert not [line for line in outcome("no_valid_token", refusal="Set it.").lines() if line.startswith("Next: ")]
    assert [line for line in outcome("no_valid_token").lines() if line.startswith("Next: ")]


def test_a_limited_run_says_which_limit() -> None:
    assert "Verdict: limited: max_calls: The crawl has made max_calls calls, retries included" in list(
        outcome("max_calls").lines()
    )


def test_a_limited_run_says_what_it_has_covered() -> None:
    found = Findings()
    found.add("coverage", "400 calls: 96 of 393 authors complete")
    lines = list(outcome("max_calls", stored={"authors": 1}, collected=tuple(found)).lines())
    assert lines[-1].endswith("; 400 calls: 96 of 393 authors complete")
    assert not [line for line in lines if line.startswith("Note: ")]


def test_a_running_crawl_has_no_verdict_yet() -> None:
    assert outcome("").figures()["verdict"] is None
    assert outcome("").figures()["findings"] == []
    assert outcome("finished", spilled=2, stored={"x": 1}).figures()["verdict"] == "incomplete"
    (found,) = outcome("finished", spilled=2).figures()["findings"]
    assert (found["kind"], found["severity"], found["count"]) == ("spilled", "incomplete", 2)


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
