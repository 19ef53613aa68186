"""The envelope: every body is parsed, or refused with one of two exceptions."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xingtu_crawler.api.envelope import MAX_DEPTH, MAX_TEXT, Envelope, parse
from xingtu_crawler.exceptions import MalformedBodyError, TooDeepError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return b'{"code":0,"data":' + opening * depth + b"1" + closing * depth + b"}"


def test_a_complete_envelope_is_parsed() -> None:
    raw = body(code=0, message="success", data={"a": "中"}, recordTime="2026-03-08T09:30:00Z", requestId="r-1")
    assert parse(raw) == Envelope(
        code=0,
        message="success",
        data={"a": "中"},
        record_time="2026-03-08T09:30:00Z",
        request_id="r-1",
        inner_status=0,
    )


def test_only_the_code_is_needed() -> None:
    assert parse(b'{"code":301}') == Envelope(301, None, None, None, None, 0)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"302", 302),
        (b'"302"', 302),
        (b'" 302\\n"', 302),
        (b'"+302"', 302),
        (b"-1", -1),
        (b"0.0", 0),  # as a writer gives it that knows doubles only
        (b"3.02e2", 302),
        (b"-0", 0),
        (str(2**63 - 1).encode(), 2**63 - 1),
    ],
)
def test_a_code_is_an_integer_in_every_notation(raw: bytes, code: int) -> None:
    read = parse(b'{"code":' + raw + b"}").code
    assert read == code
    assert type(read) is int


@pytest.mark.parametrize(
    "raw",
    [
        b"null",
        b"true",
        b"false",
        b"0.5",
        b"NaN",
        b"Infinity",
        b"1e400",
        b'""',
        b'"ok"',
        b'"0.0"',
        b'"3_02"',
        '"３０２"'.encode(),
        b"[0]",
        b"{}",
        str(2**63).encode(),  # no database can hold it
        b"9" * 30,
        b"9" * 5000,
        b'"' + b"9" * 5000 + b'"',
    ],
)
def test_a_code_that_is_no_integer_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        parse(b'{"code":' + raw + b"}")


def test_an_object_without_a_code_is_malformed() -> None:
    with pytest.raises(MalformedBodyError, match="without a numeric `code`"):
        parse(body(status=500, error="Internal Server Error"))


@pytest.mark.parametrize(
    ("raw", "name"), [(b"[]", "list"), (b"null", "NoneType"), (b'"0"', "str"), (b"0", "int"), (b"NaN", "float")]
)
def test_a_body_that_is_no_object_is_malformed_and_its_type_named(raw: bytes, name: str) -> None:
    with pytest.raises(MalformedBodyError, match=name):
        parse(raw)


@pytest.mark.parametrize("status", [0, "0", None, "", [], {}])
def test_an_inner_status_of_zero_or_none_is_a_success(status: object) -> None:
    assert parse(body(code=0, data={"base_resp": {"status_code": status}})).inner_status == 0


@pytest.mark.parametrize("status", [1, "1", 1.0])
def test_an_inner_failure_has_its_own_message(status: object) -> None:
    inner = {"base_resp": {"status_code": status, "status_message": "collect failed"}}
    read = parse(body(code=0, message="success", data=inner))
    assert (read.inner_status, read.message) == (1, "collect failed")


def test_an_inner_failure_does_not_hide_the_message_of_an_outer_one() -> None:
    read = parse(body(code=301, message="outer", data={"base_resp": {"status_code": 5, "status_message": "inner"}}))
    assert (read.code, read.inner_status, read.message) == (301, 5, "outer")


@pytest.mark.parametrize("base_resp", [None, [], "x", 1])
def test_an_inner_layer_of_another_type_is_ignored(base_resp: object) -> None:
    assert parse(body(code=0, data={"base_resp": base_resp})).inner_status == 0


def test_texts_of_another_type_are_written_as_json() -> None:
    read = parse(body(code=0, message={"zh": "成功"}, recordTime=1700000000, requestId=12))
    assert (read.message, read.record_time, read.request_id) == ('{"zh": "成功"}', "1700000000", "12")


@pytest.mark.parametrize("field", ["message", "requestId", "recordTime"])
def test_half_a_surrogate_pair_in_a_text_can_be_stored_and_logged(field: str) -> None:
    read = parse(b'{"code":0,"' + field.encode() + b'":"a\\ud83d"}')
    text = {"message": read.message, "requestId": read.request_id, "recordTime": read.record_time}[field]
    assert text == "a\\ud83d"


def test_half_a_surrogate_pair_in_the_data_loses_nothing_else() -> None:
    assert parse(b'{"code":0,"data":{"a":"\\ud83d","b":"x"}}').data == {"a": "\ud83d", "b": "x"}


def test_nan_and_infinity_are_read() -> None:
    data = parse(b'{"code":0,"data":[NaN,Infinity,-Infinity,1e999]}').data
    assert math.isnan(data[0])
    assert data[1:] == [math.inf, -math.inf, math.inf]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_unicode_encoding_is_read(encoding: str) -> None:
    assert parse('{"code":0,"data":"美食"}'.encode(encoding)).data == "美食"


def test_another_encoding_is_malformed() -> None:
    with pytest.raises(MalformedBodyError, match="not JSON"):
        parse('{"code":0,"data":"美食"}'.encode("gbk"))


def test_a_body_that_is_cut_anywhere_is_malformed() -> None:
    whole = body(code=0, message="成功", data={"list": [1, 2.5, "x", None, True]}, requestId="r")
    for length in range(len(whole)):
        with pytest.raises(MalformedBodyError) as caught:
            parse(whole[:length])
        assert not isinstance(caught.value, TooDeepError)


def test_a_number_that_is_too_long_is_malformed() -> None:
    with pytest.raises(MalformedBodyError):
        parse(b'{"code":0,"data":' + b"9" * 5000 + b"}")


@pytest.mark.parametrize("depth", [250, 400, MAX_DEPTH - 2])
def test_nesting_that_the_fast_parser_refuses_is_parsed(depth: int) -> None:
    data = parse(nested(depth)).data
    for _ in range(depth):
        (data,) = data
    assert data == 1


@pytest.mark.parametrize("depth", [MAX_DEPTH, 1_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deeper_nesting_is_refused(depth: int, opening: bytes, closing: bytes) -> None:
    with pytest.raises(TooDeepError):
        parse(nested(depth, opening, closing))


def test_nesting_that_never_ends_is_refused() -> None:
    with pytest.raises(MalformedBodyError):
        parse(b'{"code":0,"data":' + b"[" * 100_000)


@pytest.mark.parametrize("field", ["message", "requestId", "recordTime"])
def test_a_deeply_nested_text_is_written_as_json(field: str) -> None:
    raw = b'{"code":0,"' + field.encode() + b'":' + b"[" * (MAX_DEPTH - 2) + b"]" * (MAX_DEPTH - 2) + b"}"
    assert parse(raw).code == 0


@pytest.mark.parametrize("field", ["message", "requestId", "recordTime"])
def test_texts_are_one_line_of_bounded_length(field: str) -> None:
    read = parse(body(code=0, **{field: " a\nb\r\n\tc\u2028d "}))
    texts = {"message": read.message, "requestId": read.request_id, "recordTime": read.record_time}
    assert texts == {"message": None, "requestId": None, "recordTime": None} | {field: "a b c d"}
    for value in ("x" * 5_000_000, ["x" * 5_000_000], "\ud83d" * 3_000):
        read = parse(body(code=0, **{field: value}))
        text = {"message": read.message, "requestId": read.request_id, "recordTime": read.record_time}[field]
        assert text is not None
        assert text.endswith("…")
        assert len(text) <= MAX_TEXT * len("\\ud83d")


@given(st.binary())
def test_any_bytes_are_parsed_or_malformed(raw: bytes) -> None:
    with contextlib.suppress(MalformedBodyError):
        assert isinstance(parse(raw), Envelope)


@given(JSON, JSON, JSON)
@example(0, "", None)
@example(0, "\ud83d", None)
@example("", None, None)
@example(2**63, None, None)
@example(-(2**63), None, None)
def test_any_json_is_parsed_or_malformed(code: object, message: object, data: object) -> None:
    try:
        read = parse(json.dumps({"code": code, "message": message, "data": data}).encode())
    except MalformedBodyError:
        assert isinstance(code, bool) or not isinstance(code, int) or abs(code) >= 2**63
    else:
        assert isinstance(read.code, int)
        assert (read.message is None) == (message is None or message == "")
        if read.message is not None:
            read.message.encode()  # raises an error for half a surrogate pair


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from([int, str]))
def test_every_code_is_kept(code: int, kind: type) -> None:
    assert parse(json.dumps({"code": kind(code)}).encode()).code == code
