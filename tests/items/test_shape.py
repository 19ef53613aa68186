"""The shape of a payload: which fields are there, filled, and of which type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.items import MODELS
from xingtu_crawler.items.shape import FILLED, GONE, TYPES, count_filled, shape

BIT = {name: bit for bit, name in TYPES.items()}


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (None, GONE),
        ("", 0),
        ([], 0),
        ({}, 0),
        (0, BIT["number"]),
        (0.0, BIT["number"]),
        (False, BIT["flag"]),
        ("0", BIT["text"]),
        ("[]", BIT["text"]),
        (7, BIT["number"] | FILLED),
        (True, BIT["flag"] | FILLED),
        ("上海", BIT["text"] | FILLED),
        (["a"], BIT["list"] | FILLED),
        ({"a": 1}, BIT["object"] | FILLED),
    ],
)
def test_the_bits_of_a_value(value: object, bits: int) -> None:
    assert shape("base_info", {"city": value})["city"] == bits


def test_a_field_that_is_absent_is_gone() -> None:
    found = shape("base_info", {"id": "1"})
    assert found.pop("id") == BIT["text"] | FILLED
    assert set(found.values()) == {GONE}
    assert "base_resp" not in found


def test_a_path_in_a_list_has_the_bits_of_its_first_elements() -> None:
    payload = {"price_info": [{"price": 5}, {"price": None}, {"price": "6"}]}
    assert shape("marketing_info", payload)["price_info[].price"] == BIT["number"] | FILLED
    assert shape("marketing_info", payload, elements=2)["price_info[].price"] == BIT["number"] | FILLED | GONE
    assert shape("marketing_info", payload, elements=3)["price_info[].price"] & BIT["text"]


def test_what_is_inside_an_empty_list_is_left_out() -> None:
    assert not any(path.startswith("price_info[]") for path in shape("marketing_info", {"price_info": []}))


def test_unknown_fields_and_keys_that_are_data_are_left_out() -> None:
    found = shape("base_info", {"new": 1, "tags_relation": {"美食": ["探店"]}})
    assert "new" not in found
    assert [path for path in found if path.startswith("tags_relation")] == ["tags_relation"]


def test_many_lines_count_as_their_fields_once() -> None:
    """So an author with fewer prices is not hollow, and one without any is."""
    line = {"price": 5, "desc": "视频", "video_type": 1}
    assert count_filled("marketing_info", {"price_info": [line]}) == 4
    assert count_filled("marketing_info", {"price_info": [line] * 12}) == 4
    assert count_filled("marketing_info", {"price_info": [], "base_resp": {"status_code": 0}}) == 0


@pytest.mark.parametrize("endpoint", sorted(set(MODELS) - {"search"}))
def test_an_empty_payload_has_no_filled_field(endpoint: str) -> None:
    assert count_filled(endpoint, {"base_resp": {"status_code": 0, "status_message": "ok"}}) == 0


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(endpoint=st.sampled_from(sorted(MODELS)), payload=st.data())
def test_any_payload_has_a_shape(endpoint: str, payload: st.DataObject) -> None:
    """Every field of the model at the top has bits, and the number of filled fields is bounded by the model."""
    names = [name for name in MODELS[endpoint].model_fields if name != "base_resp"]
    fields = payload.draw(st.dictionaries(st.sampled_from(names), _JSON))
    found = shape(endpoint, fields, elements=3)
    assert set(names) <= set(found)
    assert all(0 <= bits < 128 for bits in found.values())
    first = shape(endpoint, fields)
    assert count_filled(endpoint, fields) == sum(1 for bits in first.values() if bits & FILLED)
    for name in names:
        assert bool(found[name] & GONE) is (fields.get(name) is None)


@given(payload=_JSON)
def test_a_payload_that_is_no_object_has_no_filled_field(payload: object) -> None:
    assert isinstance(payload, dict) or count_filled("base_info", payload) == 0


@pytest.mark.parametrize("endpoint", sorted(set(MODELS) - {"search"}))
def test_the_samples_are_filled(endpoint: str) -> None:
    for sample in sorted((Path(__file__).parent.parent / "data" / "samples").glob(f"*{endpoint}*.json")):
        payload = json.loads(sample.read_text(encoding="utf-8"))["data"]
        assert count_filled(endpoint, payload) >= 3, sample
