"""The benchmark that shows what a crawl says of an API that misbehaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import truth
from benchmarks.truth import Result
from benchmarks.truth_cases import Case, cases

BY_NAME = {case.name: case for case in cases()}
EMPTY_PAGE = BY_NAME["page 3 of 5 is empty"]
RIGHT = Result(
    stored=80,
    calls=90,
    verdict="incomplete",
    close_reason="finished",
    exit_code=1,
    findings=frozenset(EMPTY_PAGE.findings),
)
AGAIN = Result(stored=100, calls=21, verdict="complete", close_reason="finished", exit_code=0)


def wrong(case: Case, crawl: Result, again: Result) -> str:
    return "; ".join(truth.wrong(case, crawl, again))


def test_the_right_outcome_is_right() -> None:
    assert wrong(EMPTY_PAGE, RIGHT, AGAIN) == ""


@pytest.mark.parametrize(
    ("crawl", "again", "said"),
    [
        (replace(RIGHT, verdict="complete", exit_code=0), AGAIN, "COMPLETE WITH SOMETHING MISSING"),
        (replace(RIGHT, exit_code=0), AGAIN, "should be incomplete, exit code 1"),
        (replace(RIGHT, stored=40), AGAIN, "40 stored, should be 80"),
        (replace(RIGHT, calls=101), AGAIN, "101 calls, at most 100"),
        (replace(RIGHT, close_reason="shutdown"), AGAIN, "should close with finished"),
        (replace(RIGHT, findings=frozenset()), AGAIN, f"no finding {EMPTY_PAGE.findings[0]}"),
        (RIGHT, replace(AGAIN, exit_code=2), "THE NEXT CRAWL IS IMPOSSIBLE"),
        (RIGHT, replace(AGAIN, stored=99), "again: 99 stored of 100"),
        (RIGHT, replace(AGAIN, calls=31), "again: 31 calls, at most 30"),
        (RIGHT, replace(AGAIN, verdict="incomplete"), "again: incomplete, should be complete"),
    ],
)
def test_what_is_wrong_is_said(crawl: Result, again: Result, said: str) -> None:
    assert said in wrong(EMPTY_PAGE, crawl, again)


def test_cases_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(cases())


def test_some_cases_are_played_from_beginning_to_end() -> None:
    names = [
        "page 3 of 5 is empty",
        "3 of 100 authors are unavailable (404)",
        "an unknown field in 20 % of the answers",
    ]
    lines: list[str] = []
    played = truth.run([BY_NAME[name] for name in names], lines.append)
    assert [each.wrong for each in played] == [[], [], []], "\n".join(lines)
