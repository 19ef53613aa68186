"""Hollow answers: requested once more, stored when the API repeats itself, and always reported."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api import envelope
from xingtu_crawler.items.answers import DetailAnswer
from xingtu_crawler.spiders.hollow import FEWEST_FILLED, MOST_REPEATS, HollowAnswers
from xingtu_crawler.verdict import Findings, Verdict, judge

NAMES = ("id", "follower", "nick_name", "city", "province", "gender", "sec_uid", "short_id", "mcn_name", "status")


def answer(filled: int, *, endpoint: str = "base_info", star_id: str = "1") -> DetailAnswer:
    """Return an answer with this many filled fields; the others are 0 or empty."""
    data: dict[str, Any] = {
        name: 7 if number < filled else (0, "", None)[number % 3] for number, name in enumerate(NAMES)
    }
    body = json.dumps({"code": 0, "data": data}).encode()
    return DetailAnswer(endpoint, star_id, "SHORT_VIDEO", envelope.parse(body), body, datetime.now(UTC))


def kinds(findings: Findings) -> dict[str, tuple[int, Verdict]]:
    return {found.kind: (found.count, found.severity) for found in findings}


def test_a_hollow_answer_is_requested_once_more() -> None:
    findings = Findings()
    hollow = HollowAnswers(findings)
    assert hollow.is_to_be_repeated(answer(1), before=10, again=False)
    assert kinds(findings) == {}


def test_a_second_answer_that_is_whole_leaves_a_note() -> None:
    findings = Findings()
    hollow = HollowAnswers(findings)
    assert hollow.is_to_be_repeated(answer(1), before=10, again=False)
    assert not hollow.is_to_be_repeated(answer(9), before=10, again=True)
    assert kinds(findings) == {"hollow_once": (1, Verdict.COMPLETE)}
    assert judge(Verdict.COMPLETE, findings) is Verdict.COMPLETE


def test_a_second_hollow_answer_is_suspicious() -> None:
    findings = Findings()
    hollow = HollowAnswers(findings)
    assert hollow.is_to_be_repeated(answer(1), before=10, again=False)
    assert not hollow.is_to_be_repeated(answer(1), before=10, again=True)
    assert kinds(findings) == {"hollow_answers": (1, Verdict.SUSPICIOUS)}
    assert [found.examples for found in findings] == [["1 (SHORT_VIDEO)"]]


def test_a_broken_endpoint_costs_ten_calls() -> None:
    findings = Findings()
    hollow = HollowAnswers(findings)
    repeated = 0
    for number in range(100):
        for endpoint in ("base_info", "marketing_info"):
            if hollow.is_to_be_repeated(answer(0, endpoint=endpoint, star_id=str(number)), before=10, again=False):
                repeated += 1
                hollow.is_to_be_repeated(answer(0, endpoint=endpoint, star_id=str(number)), before=10, again=True)
    assert repeated == 2 * MOST_REPEATS
    assert [(found.kind, found.count) for found in findings] == [("hollow_answers", 100)] * 2


@given(filled=st.integers(0, 10), before=st.integers(0, 200), again=st.booleans())
def test_an_answer_is_hollow_if_it_has_less_than_half(filled: int, before: int, again: bool) -> None:
    findings = Findings()
    is_repeated = HollowAnswers(findings).is_to_be_repeated(answer(filled), before=before, again=again)
    is_hollow = before >= FEWEST_FILLED and 2 * filled < before
    assert is_repeated is (is_hollow and not again)
    assert ("hollow_answers" in kinds(findings)) is (is_hollow and again)
