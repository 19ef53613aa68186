from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from xingtu_crawler.items.fields import decode, to_bool, to_float, to_id, to_int, to_text, to_time

MISFIT = PydanticCustomError


@pytest.mark.parametrize(
    ("raw", "typed"),
    [
        ("63747138", 63747138),
        ("-21105", -21105),
        ("0", 0),
        ("", None),
        (None, None),
        (7, 7),
        (7.0, 7),
        ("7.0", 7),
        (2**63 - 1, 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        (str(2**63 - 1), 2**63 - 1),
    ],
)
def test_int_fits(raw: object, typed: int | None) -> None:
    value = to_int(raw)

    assert value == typed
    assert type(value) is type(typed)


@pytest.mark.parametrize(
    "raw",
    [
        True,
        False,
        1.5,
        "1.5",
        "1_000",
        " 1",
        "+1",
        "-",
        "١٢",
        "²",
        ">100w",
        "1000-3000",
        "nan",
        float("nan"),
        float("inf"),
        2**63,
        -(2**63) - 1,
        str(2**63),
        "9" * 5000,
        2.0**53 + 2,
        [],
        {},
        [1],
    ],
)
def test_int_does_not_fit(raw: object) -> None:
    with pytest.raises(MISFIT):
        to_int(raw)


@pytest.mark.parametrize(
    ("raw", "typed"),
    [
        ("0.033", 0.033),
        ("-0.00033109494533874244", -0.00033109494533874244),
        ("8352287.33", 8352287.33),
        ("202592.5", 202592.5),
        ("89", 89.0),
        ("1e3", 1000.0),
        ("", None),
        (None, None),
        (0, 0.0),
        (2**53, 2.0**53),
        (str(2**60), 2.0**60),
        (0.3333, 0.3333),
    ],
)
def test_float_fits(raw: object, typed: float | None) -> None:
    value = to_float(raw)

    assert value == typed
    assert type(value) is type(typed)


@pytest.mark.parametrize(
    "raw",
    [
        True,
        "nan",
        "inf",
        "-Infinity",
        "1_0.5",
        " 1.5",
        "1.2.3",
        "1-2",
        ">100w",
        "1e999",
        float("nan"),
        float("-inf"),
        10**400,
        2**53 + 1,
        str(2**53 + 1),
        "0" * 5000 + "1",
        "9" * 5000,
        [],
        {},
    ],
)
def test_float_does_not_fit(raw: object) -> None:
    with pytest.raises(MISFIT):
        to_float(raw)


@pytest.mark.parametrize(
    ("raw", "typed"),
    [
        ("0", False),
        ("1", True),
        ("true", True),
        ("false", False),
        ("True", True),
        ("False", False),
        ("TRUE", True),
        (0, False),
        (1, True),
        (True, True),
        (False, False),
        ("", None),
        (None, None),
    ],
)
def test_bool_fits(raw: object, typed: bool | None) -> None:
    assert to_bool(raw) is typed


@pytest.mark.parametrize("raw", ["yes", "2", 2, -1, 0.0, 1.0, [], {}, "01"])
def test_bool_does_not_fit(raw: object) -> None:
    with pytest.raises(MISFIT):
        to_bool(raw)


@pytest.mark.parametrize(
    ("raw", "typed"),
    [
        (1758829144, datetime(2025, 9, 25, 19, 39, 4, tzinfo=UTC)),
        ("1543602509", datetime(2018, 11, 30, 18, 28, 29, tzinfo=UTC)),
        ("2145916800", datetime(2038, 1, 1, tzinfo=UTC)),
        (0, None),
        ("0", None),
        ("", None),
        (None, None),
    ],
)
def test_time_fits(raw: object, typed: datetime | None) -> None:
    assert to_time(raw) == typed


@pytest.mark.parametrize("raw", [-1, "2026-01-01", 1758829144000, True, 1.5, [], 253402300800, 10**30])
def test_time_does_not_fit(raw: object) -> None:
    with pytest.raises(MISFIT):
        to_time(raw)


@pytest.mark.parametrize(
    ("raw", "typed"),
    [
        ("6629722295873044494", "6629722295873044494"),
        (6629722295873044494, "6629722295873044494"),
        (2**80, str(2**80)),
        ("0", "0"),
        ("", ""),
        (None, None),
        ("MS4w_x-y", "MS4w_x-y"),
    ],
)
def test_id_fits(raw: object, typed: str | None) -> None:
    assert to_id(raw) == typed


@pytest.mark.parametrize("raw", [6.6e18, True, [], {}, "\ud800", pytest.param(10**5000, id="huge")])
def test_id_does_not_fit(raw: object) -> None:
    with pytest.raises(MISFIT):
        to_id(raw)


@pytest.mark.parametrize("raw", [1, True, [], "\udfff"])
def test_text_does_not_fit(raw: object) -> None:
    with pytest.raises(MISFIT):
        to_text(raw)


def test_text_stays_as_it_is() -> None:
    assert [to_text(text) for text in ("", "0", "张大仙", "😀")] == ["", "0", "张大仙", "😀"]


def test_decode_reads_json_text_and_takes_what_is_decoded() -> None:
    assert decode('["\\u6e38\\u620f", "\\ud83d\\ude00"]') == ["游戏", "😀"]
    assert decode('{"a": 1.0}') == {"a": 1.0}
    assert decode("") is None
    assert decode(None) is None
    assert decode(["a"]) == ["a"]


@pytest.mark.parametrize("text", ['["a...', "{", "x", " ", '["\\ud800"]', '["\ud800"]', "[" * 5000, "9" * 5000])
def test_decode_refuses_what_is_no_json(text: str) -> None:
    with pytest.raises(MISFIT):
        decode(text)


@pytest.mark.parametrize("convert", [to_int, to_float, to_bool, to_time, to_text, to_id, decode])
@given(raw=st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.just([1])))
def test_a_converter_raises_nothing_but_its_misfit(convert: Callable[[object], Any], raw: object) -> None:
    with contextlib.suppress(PydanticCustomError):
        convert(raw)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_64_bit_integer_survives_as_text_and_as_number(number: int) -> None:
    assert to_int(number) == number
    assert to_int(str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_double_survives_as_text_and_as_number(number: float) -> None:
    assert to_float(number) == number
    assert to_float(repr(number)) == number


@pytest.mark.parametrize("value", [-0.0, "-0", "-0.0", 0, "0"])
def test_zero_has_no_sign(value: object) -> None:
    assert str(to_float(value)) == "0.0"
