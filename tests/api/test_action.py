"""One response, or none, to a decision: as a table, without Scrapy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api.action import (
    LONGEST_PAUSE_S,
    Decision,
    Step,
    decide,
    decide_without_response,
    retry_after,
)
from xingtu_crawler.api.codes import CODES, Action
from xingtu_crawler.api.envelope import MAX_DEPTH, MAX_TEXT, MAX_VALUES

DATA = {"id": "1"}
PAGE = b" \n<html>Please log in</html>"


def envelope(code: object, data: Any = None, message: str | None = "said", **more: Any) -> bytes:
    return json.dumps({"code": code, "message": message, "data": data, "requestId": "r-1", **more}).encode()


@pytest.mark.parametrize(
    ("code", "step", "token_action", "billed"),
    [
        (0, Step.USE, None, True),
        (100, Step.CHANGE_TOKEN, Action.RETIRE_TOKEN, False),
        (101, Step.CHANGE_TOKEN, Action.RETIRE_TOKEN, False),
        (201, Step.GIVE_UP, None, True),
        (202, Step.GIVE_UP, None, True),
        (300, Step.RETRY, None, None),
        (301, Step.RETRY, None, False),
        (302, Step.SLOW_DOWN, None, False),
        (303, Step.CHANGE_TOKEN, Action.PARK_TOKEN, False),
        (400, Step.GIVE_UP, None, False),
        (404, Step.GIVE_UP, None, None),
        (500, Step.RETRY, None, False),
        (503, Step.RETRY, None, False),
        (600, Step.CHANGE_TOKEN, Action.DENY_ENDPOINT, False),
        (601, Step.CHANGE_TOKEN, Action.DRAIN_ACCOUNT, False),
        (602, Step.CHANGE_TOKEN, Action.SPEND_TOKEN, None),
        (777, Step.RETRY, None, None),
    ],
)
@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_the_business_code_decides_at_any_http_status(
    code: int, step: Step, token_action: Action | None, billed: bool | None, status: int
) -> None:
    decision = decide(status, envelope(code, DATA))
    assert (decision.step, decision.token_action, decision.billed) == (step, token_action, billed)
    assert (decision.outcome, decision.code) == (str(code), code)
    assert decision.reason == (CODES[code].meaning if code in CODES else "unknown code")
    assert (decision.message, decision.request_id, decision.not_the_api) == ("said", "r-1", None)
    assert decision.envelope is not None
    assert decision.envelope.data == DATA


@pytest.mark.parametrize("code", [0, 201, 301, 302, 400, 404, 429, 500, 777])
def test_http_429_slows_down_whatever_else_the_body_says(code: int) -> None:
    decision = decide(429, envelope(code))
    assert (decision.step, decision.code, decision.token_action) == (Step.SLOW_DOWN, code, None)


@pytest.mark.parametrize("code", [100, 303, 600, 601])
def test_http_429_leaves_what_the_body_says_about_the_token(code: int) -> None:
    assert decide(429, envelope(code)).step is Step.CHANGE_TOKEN


def test_data_that_came_with_http_429_is_used() -> None:
    assert decide(429, envelope(0, DATA)).step is Step.USE


@pytest.mark.parametrize(
    "body", [envelope(429), envelope("429", DATA), envelope(0, {"base_resp": {"status_code": 429}})]
)
def test_429_in_the_body_slows_down(body: bytes) -> None:
    assert decide(200, body).step is Step.SLOW_DOWN


@pytest.mark.parametrize("name", ["msg", "reason"])
def test_the_message_can_have_another_name(name: str) -> None:
    assert decide(200, json.dumps({"code": 301, name: "too busy"}).encode()).message == "too busy"
    assert decide(200, json.dumps({"code": 301, "message": "", name: "too busy"}).encode()).message == "too busy"
    assert decide(200, json.dumps({"code": 301, "message": "said", name: "too busy"}).encode()).message == "said"


def test_a_failure_inside_a_success_is_retried() -> None:
    decision = decide(200, body := envelope(0, {"base_resp": {"status_code": 3, "status_message": "inside"}}))
    assert (decision.step, decision.outcome, decision.code) == (Step.RETRY, "inner_failure", 0)
    assert (decision.message, decision.billed, decision.body) == ("inside", None, body)


def test_the_meaning_of_the_code_stands_for_a_missing_message() -> None:
    assert decide(200, envelope(600, message=None)).message == "permission denied"


@pytest.mark.parametrize(
    ("code", "data", "kept"),
    [
        (0, {"base_resp": {"status_code": 3}, "id": "1"}, True),
        (777, None, True),
        (300, None, True),
        (404, DATA, True),
        (404, None, False),
        (301, DATA, False),
        (202, DATA, False),
        (400, DATA, False),
        (0, DATA, False),
    ],
)
def test_the_body_of_a_call_that_may_have_been_billed_is_kept(code: int, data: Any, kept: bool) -> None:
    assert decide(200, body := envelope(code, data)).body == (body if kept else None)


@pytest.mark.parametrize(
    ("status", "body", "step", "outcome", "not_the_api"),
    [
        (200, b"{", Step.RETRY, "malformed", None),
        (200, b"", Step.RETRY, "malformed", None),
        (200, PAGE, Step.RETRY, "malformed", "returns web pages instead of JSON (HTTP 200)"),
        (302, PAGE, Step.RETRY, "http_302", "returns web pages instead of JSON (HTTP 302)"),
        (403, PAGE, Step.RETRY, "http_403", "returns web pages instead of JSON (HTTP 403)"),
        (404, b"{}", Step.RETRY, "http_404", "does not know the paths of the API (HTTP 404)"),
        (404, PAGE, Step.RETRY, "http_404", "returns web pages instead of JSON (HTTP 404)"),
        (403, b"{}", Step.RETRY, "http_403", None),
        (500, PAGE, Step.RETRY, "http_500", None),
        (502, PAGE, Step.RETRY, "http_502", None),
        (503, b"busy", Step.RETRY, "http_503", None),
        (429, PAGE, Step.SLOW_DOWN, "http_429", None),
        (429, b"", Step.SLOW_DOWN, "http_429", None),
    ],
)
def test_the_http_status_decides_where_the_body_is_no_envelope(
    status: int, body: bytes, step: Step, outcome: str, not_the_api: str | None
) -> None:
    decision = decide(status, body)
    assert (decision.step, decision.outcome, decision.reason) == (step, outcome, outcome)
    assert (decision.not_the_api, decision.billed, decision.envelope) == (not_the_api, None, None)
    assert decision.message.startswith(f"HTTP {status}, ")
    assert decision.body == (body if step is Step.RETRY else None)


def test_json_that_is_nested_too_deeply_is_kept_and_not_sent_for_again() -> None:
    body = b'{"code":0,"data":' + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + b"}"
    decision = decide(200, body)
    assert (decision.step, decision.outcome, decision.billed) == (Step.GIVE_UP, "too_deep", None)
    assert (decision.body, decision.envelope) == (body, None)


def test_a_body_that_is_too_large_is_kept_and_not_parsed() -> None:
    body = envelope(0, DATA)
    decision = decide(200, body, unread="too long")
    assert (decision.step, decision.outcome, decision.body, decision.billed) == (Step.GIVE_UP, "too_large", body, None)
    assert (decision.envelope, decision.message) == (None, "too long")
    assert decide(429, body, unread="too long").step is Step.SLOW_DOWN
    assert (decide(502, body, unread="x").step, decide(502, body, unread="x").outcome) == (Step.RETRY, "http_502")


@pytest.mark.parametrize("element", ["0", "[]", "{}", "[0]", '{"a":0}', '"x"'])
def test_a_body_with_too_many_values_is_kept_and_not_parsed(element: str) -> None:
    body = f'{{"code":0,"data":[{",".join([element] * (MAX_VALUES + 1))}]}}'.encode()
    decision = decide(200, body)
    assert (decision.step, decision.outcome, decision.body) == (Step.GIVE_UP, "too_large", body)
    few = f'{{"code":0,"data":[{",".join([element] * (MAX_VALUES // 4))}]}}'.encode()
    assert decide(200, few).step is Step.USE


@pytest.mark.parametrize(
    ("status", "body", "settles"),
    [
        (200, b"{", True),
        (200, PAGE, True),
        (200, b"", False),
        (403, PAGE, True),
        (404, b"{}", True),
        (302, b"moved", True),
        (500, b'{"code":0,"data":', True),
        (500, b"\xff\xfe\x00", True),
        (500, PAGE, False),
        (502, b"no healthy upstream", False),
        (503, b"", False),
    ],
)
def test_which_bodies_end_a_request_when_they_come_twice(status: int, body: bytes, settles: bool) -> None:
    """The page of a gateway is the same at each attempt, and says nothing about the next one."""
    assert decide(status, body).settles_if_repeated is settles


@pytest.mark.parametrize("header", [b"86400", b"9999999999", b"Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_pause_of_more_than_an_hour_is_probed(header: bytes) -> None:
    assert retry_after(header, datetime(2026, 3, 8, tzinfo=UTC)) == LONGEST_PAUSE_S


@pytest.mark.parametrize(
    ("outcome", "step", "billed"),
    [
        ("timeout", Step.RETRY, None),
        ("cut", Step.RETRY, None),
        ("connection_lost", Step.RETRY, None),
    ],
)
def test_a_missing_response(outcome: str, step: Step, billed: bool | None) -> None:
    assert decide_without_response(outcome, "why") == Decision(step, outcome, outcome, "why", billed=billed)


@given(status=st.integers(100, 599), body=st.binary(max_size=200))
def test_any_response_leads_to_a_decision(status: int, body: bytes) -> None:
    decision = decide(status, body)
    assert (decision.envelope is None) == (decision.code is None)
    assert (decision.token_action is not None) == (decision.step is Step.CHANGE_TOKEN)


@given(code=st.sampled_from(sorted(CODES)), data=st.none() | st.dictionaries(st.text(), st.integers()))
def test_only_a_success_is_used_and_every_success_is(code: int, data: Any) -> None:
    assert (decide(200, envelope(code, data)).step is Step.USE) == (code == 0)


def test_what_the_api_says_is_one_line_without_control_characters() -> None:
    said = decide(200, envelope(301, message="\x1b[31mred\x07\nnext\u202e line\x00")).message
    assert said == "\ufffd[31mred\ufffd next\ufffd line\ufffd"
    assert decide_without_response("connection_lost", "bad\x1b[2J status\r\nline").message == "bad\ufffd[2J status line"


def test_what_the_api_says_is_shortened() -> None:
    assert len(decide(200, envelope(301, message="x" * 100_000)).message) == MAX_TEXT
    assert len(decide_without_response("connection_lost", "x" * 100_000).message) == MAX_TEXT
