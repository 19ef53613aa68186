from __future__ import annotations

import copy
import json
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.items.storable import MAX_DEPTH, Notes, clean, is_storable

SURROGATES = st.text(st.characters(exclude_categories=()), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**66), 2**66) | st.floats(allow_nan=False) | SURROGATES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SURROGATES, inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_what_is_clean_can_be_encoded_and_what_could_be_is_unchanged(value: Any) -> None:
    notes = Notes()
    before = copy.deepcopy(value)

    cleaned = clean(value, ".x", notes)

    bson.encode({"x": cleaned, "unparsed": notes.unparsed})
    assert value == before
    assert (cleaned == value) == is_storable(value)
    assert bool(notes.unparsed) == (not is_storable(value))


@given(JSON)
def test_is_storable_agrees_with_bson(value: Any) -> None:
    try:
        bson.encode({"x": value})
    except (UnicodeEncodeError, OverflowError, bson.errors.InvalidDocument):
        assert not is_storable(value)
    else:
        assert is_storable(value)


def nested(levels: int) -> Any:
    return json.loads("[" * levels + "]" * levels)


def test_nesting_is_kept_up_to_the_limit_and_beyond_it_as_text() -> None:
    notes = Notes()

    assert clean(nested(MAX_DEPTH), ".x", notes) == nested(MAX_DEPTH)
    assert notes.unparsed == {}
    cut = clean(nested(MAX_DEPTH + 10), ".x", notes)

    path = "x" + ".0" * MAX_DEPTH
    assert {path: misfit["raw"] for path, misfit in notes.unparsed.items()} == {path: nested(10)}
    assert json.dumps(cut) == "[" * MAX_DEPTH + "null" + "]" * MAX_DEPTH


def test_an_escaped_key_never_takes_the_place_of_another() -> None:
    notes = Notes()

    cleaned = clean({"a\0": 1, "a\\u0000": 2, "\ud800": 3}, "", notes)

    assert cleaned == {"a\\u0000_": 1, "a\\u0000": 2, "\\ud800": 3}
    assert {path: misfit["raw"] for path, misfit in notes.unparsed.items()} == {
        "a\\u0000_": "a\0",
        "\\ud800": '"\\ud800"',
    }


@pytest.mark.parametrize("value", [{1}, b"x", object(), {1: 2}])
def test_what_is_no_json_is_noted(value: Any) -> None:
    notes = Notes()

    bson.encode({"x": clean(value, ".x", notes)})

    assert len(notes.unparsed) == 1
