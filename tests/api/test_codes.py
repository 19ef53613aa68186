"""The table of business codes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api.codes import CODES, INNER_FAILURE, Action, rule

DOCUMENTED = {
    0: Action.USE,
    100: Action.RETIRE_TOKEN,
    101: Action.RETIRE_TOKEN,
    201: Action.EMPTY,
    202: Action.EMPTY,
    300: Action.RETRY,
    301: Action.RETRY,
    302: Action.SLOW_DOWN,
    303: Action.PARK_TOKEN,
    400: Action.REFUSE,
    404: Action.REFUSE,
    429: Action.SLOW_DOWN,
    500: Action.RETRY,
    503: Action.RETRY,
    600: Action.DENY_ENDPOINT,
    601: Action.DRAIN_ACCOUNT,
    602: Action.SPEND_TOKEN,
}
BILLED = {0, 201, 202}
NOT_BILLED = {100, 101, 301, 302, 303, 400, 500, 503, 600, 601}
GUESSED = {101, 201, 202, 300, 404, 429}


def test_every_documented_code_is_in_the_table() -> None:
    assert {code: row.action for code, row in CODES.items()} == DOCUMENTED


@pytest.mark.parametrize("code", DOCUMENTED)
def test_a_row_says_whether_it_is_billed_and_verified(code: int) -> None:
    row = rule(code)
    assert row is CODES[code]
    assert row.code == code
    assert row.billed is (True if code in BILLED else False if code in NOT_BILLED else None)
    assert row.verified is (code not in GUESSED)


def test_code_0_with_an_inner_failure_is_no_success() -> None:
    assert rule(0, 1) is INNER_FAILURE
    assert rule(0, -1).action is Action.RETRY
    assert rule(0, 0).action is Action.USE


def test_an_outer_failure_counts_whatever_the_inner_status() -> None:
    assert rule(601, 5) is CODES[601]


@given(st.integers().filter(lambda code: code not in CODES), st.integers())
def test_an_unknown_code_is_kept_and_retried(code: int, inner_status: int) -> None:
    row = rule(code, inner_status)
    assert (row.code, row.action, row.billed, row.verified) == (code, Action.RETRY, None, False)
