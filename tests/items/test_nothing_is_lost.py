"""Whatever a payload holds is in the typed data, after the documented conversions, or raw in `unparsed`."""

from __future__ import annotations

import copy
import json
from typing import Any

import bson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.leaves import lost
from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items import Parsed, parse

ENDPOINTS = ["base_info", "marketing_info", "rec_videos", "video_distribution", "search"]
# Whatever JSON can say, half a surrogate pair, NUL and integers of any size included.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=6)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | ANY_TEXT
    | st.sampled_from(["0", "1", "true", ">100w", "2145916800", "nan", "[1]", '{"a": "b"}', '["\\ud800"]', "[[", "1e5"])
)


def json_values(scalars: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    )


ANY_JSON = json_values(SCALARS, ANY_TEXT)
# What MongoDB can hold, under keys that cannot be mistaken for another path.
PLAIN_KEYS = st.text("abcdefgh", min_size=1, max_size=4)
PLAIN_JSON = json_values(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=6)
    | st.sampled_from(["0", "1", "true", ">100w", "2145916800", "nan", "[1]", '{"a": "b"}', "[[", "1e5"]),
    PLAIN_KEYS,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of `value` and of everything inside it."""
    found = [path]
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found += paths(inner, (*path, step))
    return found


def swapped(payload: Any, path: tuple[Any, ...], value: Any) -> Any:
    result = copy.deepcopy(payload)
    holder = result
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return result


def check_sound(parsed: Parsed) -> None:
    """Assert what holds of every result: MongoDB can hold it, and it is what the docs say."""
    bson.encode({"data": parsed.data, "unparsed": parsed.unparsed, "unknown_fields": parsed.unknown_fields})
    assert parsed.unknown_fields == sorted(set(parsed.unknown_fields))
    for misfit in parsed.unparsed.values():
        assert set(misfit) == {"raw", "error"}
        assert misfit["error"]
        assert "\n" not in misfit["error"]


def check_line(error: Exception) -> None:
    assert str(error)
    assert "\n" not in str(error)


def test_the_comparison_finds_what_is_lost() -> None:
    assert lost({"a": [1, {"b": "2"}]}, {"a": [1, {"b": 2}]}, {}, zeros=False) == []
    assert lost({"a": [1, {"b": "2"}]}, {"a": [1, {"b": 3}]}, {}, zeros=False) == ["a.1.b"]
    assert lost({"a": [1, 2]}, {"a": [1]}, {}, zeros=False) == ["a"]
    assert lost({"a": 0}, {"a": None}, {}, zeros=False) == ["a"]
    assert lost({"a": "x"}, {"a": None}, {"a": {"raw": "x", "error": "no"}}, zeros=False) == []
    assert lost({"a": '["x"]'}, {"a": ["y"]}, {}, zeros=False) == ["a.0"]
    assert lost({"a": True}, {"a": 1}, {}, zeros=False) == ["a"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_leaf_of_the_samples_is_kept(payloads: dict[str, Any], star_ids: dict[str, str], endpoint: str) -> None:
    parsed = parse(endpoint, payloads[endpoint], star_id=star_ids[endpoint])

    assert lost(payloads[endpoint], parsed.data, parsed.unparsed, zeros=endpoint == "rec_videos") == []
    assert parsed.unknown_fields == []
    # The search sample cuts one JSON text.
    assert list(parsed.unparsed) == (["attribute_datas.last_10_items"] if endpoint == "search" else [])
    check_sound(parsed)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(draw=st.data())
def test_no_swap_of_types_loses_anything(
    payloads: dict[str, Any], star_ids: dict[str, str], endpoint: str, draw: st.DataObject
) -> None:
    payload = payloads[endpoint]
    for _ in range(draw.draw(st.integers(1, 4))):
        path = draw.draw(st.sampled_from([path for path in paths(payload) if path]))
        payload = swapped(payload, path, draw.draw(PLAIN_JSON))

    try:
        parsed = parse(endpoint, payload, star_id=star_ids[endpoint])
    except IdentityError:
        return

    assert lost(payload, parsed.data, parsed.unparsed, zeros=endpoint == "rec_videos") == []
    check_sound(parsed)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(draw=st.data())
def test_no_swap_raises_anything_but_identity_error(
    payloads: dict[str, Any], star_ids: dict[str, str], endpoint: str, draw: st.DataObject
) -> None:
    payload = payloads[endpoint]
    for _ in range(draw.draw(st.integers(1, 4))):
        path = draw.draw(st.sampled_from([path for path in paths(payload) if path]))
        payload = swapped(payload, path, draw.draw(ANY_JSON))
    payload = {**payload, **draw.draw(st.dictionaries(ANY_TEXT, ANY_JSON, max_size=2))}
    before = repr(payload)

    try:
        parsed = parse(endpoint, payload, star_id=star_ids[endpoint])
    except IdentityError as error:
        check_line(error)
    else:
        check_sound(parsed)
    assert repr(payload) == before


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@settings(max_examples=60, deadline=None)
@given(payload=ANY_JSON)
def test_any_json_is_refused_or_read(endpoint: str, payload: Any) -> None:
    try:
        check_sound(parse(endpoint, payload, star_id="1"))
    except IdentityError as error:
        check_line(error)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=ANY_JSON)
def test_any_json_text_can_be_parsed(payloads: dict[str, Any], value: Any) -> None:
    text = json.dumps(value)
    names = ("last_10_items", "game_type", "tags_relation", "content_theme_labels_180d", "assign_task_price_list")
    payload = copy.deepcopy(payloads["search"])
    payload["attribute_datas"].update(dict.fromkeys(names, text))

    check_sound(parse("search", payload, star_id=None))
