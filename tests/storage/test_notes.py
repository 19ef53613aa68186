"""What failures and quarantined answers add to the findings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.storage.notes import note_failure, note_quarantined
from xingtu_crawler.verdict import Finding, Findings


def failed(star_id: str | None = "7", **known: Any) -> FailedRequest:
    usual = {"code": 404, "reason": "not found", "message": "", "request_id": None, "terminal": True}
    at = datetime(2026, 3, 8, tzinfo=UTC)
    return FailedRequest(
        endpoint="base_info", attempts=1, failed_at=at, star_id=star_id, platform="SHORT_VIDEO", **{**usual, **known}
    )


def noted(*requests: FailedRequest) -> list[Finding]:
    findings = Findings()
    for each in requests:
        note_failure(findings, each, f"{each.code} {each.reason}", run_id="run")
    return list(findings)


def test_unavailable_and_failed_details_are_two_kinds_with_the_ids() -> None:
    unavailable, open_one = noted(failed("7"), failed("8"), failed("9", code=301, terminal=False))
    assert (unavailable.kind, unavailable.severity, unavailable.examples) == (
        "details_unavailable",
        "complete",
        ["7", "8"],
    )
    assert unavailable.text == "2 authors have no base_info (404 not found)"
    assert (open_one.kind, open_one.severity, open_one.examples) == ("details_failed", "incomplete", ["9"])
    assert open_one.endpoint == "base_info"


def test_the_advice_lists_them() -> None:
    for found, terminal in zip(noted(failed(), failed(terminal=False)), (True, False), strict=True):
        condition = str(found.advice).split("'")[1]
        assert json.loads(condition) == {"run_id": "run", "endpoint": "base_info", "terminal": terminal}


def test_what_is_noted_elsewhere_is_not_noted_twice() -> None:
    assert noted(failed(None, terminal=False)) == []  # a page
    assert noted(failed(reason="quarantined", code=0)) == []
    assert noted(failed(body=b"{", code=None, reason="too_deep")) == []


def test_an_answer_that_was_not_received_is_no_unavailable_author() -> None:
    (found,) = noted(failed(code=None, reason="too_large"))
    assert (found.kind, found.severity) == ("answers_given_up", "incomplete")


def test_quarantined_answers_name_one_example() -> None:
    findings = Findings()
    note_quarantined(findings, {"endpoint": "search", "sweep": "s", "page": 3}, "no list")
    note_quarantined(findings, {"endpoint": "base_info", "star_id": "7", "platform": "SHORT_VIDEO"}, "id is '8'")
    (found,) = findings
    assert found.text == "2 answers are no documents: they are in quarantine"
    assert found.examples == ["search of page 3: no list", "base_info of 7: id is '8'"]
