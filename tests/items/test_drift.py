"""Drift: what differs between the answers of two runs, and what chance explains."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.items.drift import Drift, EndpointCounts, FieldCounts, drifts

WHOLE = {"id": "1", "follower": 5_000, "nick_name": "示例", "city": "上海"}


def counted(
    answers: int, *, odd: int = 0, like: dict[str, Any] | None = None, endpoint: str = "base_info"
) -> FieldCounts:
    """Return the counts of some answers, of which `odd` are `like` that."""
    counts = FieldCounts()
    for number in range(answers):
        counts.add(endpoint, like if like is not None and number < odd else WHOLE, str(number))
    return counts


def found(now: FieldCounts, before: FieldCounts, *, alike: bool = True, endpoint: str = "base_info") -> list[Drift]:
    return list(drifts(now.endpoints[endpoint], before.endpoints[endpoint], alike=alike))


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in WHOLE.items() if key != name}


@pytest.mark.parametrize("gone", [without("follower"), {**WHOLE, "follower": None}])
def test_a_field_that_vanished_is_found(gone: dict[str, Any]) -> None:
    (drift,) = found(counted(60, odd=60, like=gone), counted(60))
    assert drift == ("vanished", "follower", "missing", 60, 60, (0, 60), True)


@pytest.mark.parametrize(
    ("answers", "odd", "is_sure"), [(100, 15, True), (100, 10, True), (60, 6, True), (60, 3, False), (100, 4, True)]
)
def test_a_field_that_some_answers_lack_is_found(answers: int, odd: int, is_sure: bool) -> None:
    (drift,) = found(counted(answers, odd=odd, like=without("follower")), counted(answers))
    assert (drift.path, drift.affected, drift.is_sure) == ("follower", odd, is_sure)


@pytest.mark.parametrize(
    ("now", "odd", "before"), [(9, 9, 100), (100, 100, 9), (60, 1, 60), (20, 1, 20), (100, 0, 100)]
)
def test_a_small_sample_or_a_small_difference_is_none(now: int, odd: int, before: int) -> None:
    assert found(counted(now, odd=odd, like=without("follower")), counted(before)) == []


@pytest.mark.parametrize(("value", "what"), [("5000", "text"), ({"count": 5}, "object"), ([5], "list"), (True, "flag")])
def test_a_field_of_another_type_is_found(value: object, what: str) -> None:
    (drift,) = found(counted(60, odd=60, like={**WHOLE, "follower": value}), counted(60))
    assert drift == ("retyped", "follower", what, 60, 60, (0, 60), True)


@pytest.mark.parametrize("value", [5_000.5, 7])
def test_whole_and_broken_numbers_are_one_type(value: float) -> None:
    assert found(counted(60, odd=60, like={**WHOLE, "follower": value}), counted(60)) == []


def test_a_field_that_became_empty_everywhere_is_found() -> None:
    (drift,) = found(counted(60, odd=60, like={**WHOLE, "nick_name": ""}), counted(60))
    assert (drift.kind, drift.path, drift.affected) == ("emptied", "nick_name", 60)


def test_a_field_that_became_empty_in_some_answers_is_no_drift() -> None:
    """An author may have no city."""
    assert found(counted(60, odd=59, like={**WHOLE, "city": ""}), counted(60)) == []


def test_other_authors_may_lack_other_fields() -> None:
    """So with other queries only what is gone from every answer is sure."""
    some, all_ = counted(60, odd=30, like=without("city")), counted(60, odd=60, like=without("city"))
    assert [drift.is_sure for drift in found(some, counted(60), alike=False)] == [False]
    assert [drift.is_sure for drift in found(all_, counted(60), alike=False)] == [True]


def test_a_field_that_only_some_authors_have_must_be_gone_from_all() -> None:
    before = counted(60, odd=20, like=without("city"))
    assert found(counted(60, odd=50, like=without("city")), before) == []
    assert [drift.path for drift in found(counted(60, odd=60, like=without("city")), before)] == ["city"]


def test_what_is_inside_a_field_that_vanished_is_left_out() -> None:
    prices: dict[str, Any] = {"price_info": [{"price": 5, "desc": "视频"}], "industry_tags": ["食品"]}
    before, now = FieldCounts(), FieldCounts()
    for number in range(60):
        before.add("marketing_info", prices, str(number))
        now.add("marketing_info", {"industry_tags": ["食品"]}, str(number))
    assert [drift.path for drift in found(now, before, endpoint="marketing_info")] == ["price_info"]


def test_authors_without_prices_say_nothing_of_the_fields_of_a_price() -> None:
    before, now = FieldCounts(), FieldCounts()
    for number in range(60):
        before.add("marketing_info", {"price_info": [{"price": 5}]}, str(number))
        now.add("marketing_info", {"price_info": [{"price": 5}] if number < 20 else []}, str(number))
    assert found(now, before, endpoint="marketing_info") == []


def test_the_example_is_the_first_author() -> None:
    counts = counted(20, odd=3, like={**without("follower"), "city": 7})
    assert counts.example("base_info", "follower", "missing") == "0"
    assert counts.example("base_info", "city", "number") == "0"
    assert counts.example("base_info", "follower", "number") == "3"
    assert counts.example("base_info", "follower", "text") is None


def test_long_runs_are_counted_in_part() -> None:
    assert counted(10_000).endpoints["base_info"].answers == 200 + 490


def test_a_document_of_counts_is_bounded_and_can_be_read_back() -> None:
    counts = counted(1_000, odd=100, like=without("city"))
    document = counts.as_document()["base_info"]
    assert EndpointCounts.of_document(document) == counts.endpoints["base_info"]
    assert len(str(document)) < 10_000


_ANSWERS = st.lists(
    st.fixed_dictionaries(
        {}, optional={name: st.sampled_from([value, None, "", 3, ["x"]]) for name, value in WHOLE.items()}
    ),
    min_size=1,
    max_size=60,
)


@given(answers=_ANSWERS)
def test_the_same_answers_do_not_drift(answers: list[dict[str, Any]]) -> None:
    now, before = FieldCounts(), FieldCounts()
    for counts in (now, before):
        for number, answer in enumerate(answers):
            counts.add("base_info", answer, str(number))
    assert [drift for drift in found(now, before) if drift.is_sure] == []


@given(answers=_ANSWERS, other=_ANSWERS, alike=st.booleans())
def test_a_drift_is_in_the_answers(answers: list[dict[str, Any]], other: list[dict[str, Any]], alike: bool) -> None:
    now, before = FieldCounts(), FieldCounts()
    for counts, given_ in ((now, answers), (before, other)):
        for number, answer in enumerate(given_):
            counts.add("base_info", answer, str(number))
    for drift in found(now, before, alike=alike):
        assert 0 < drift.affected <= drift.answers == len(answers)
        assert drift.affected / drift.answers > drift.before[0] / drift.before[1]
