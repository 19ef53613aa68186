from __future__ import annotations

import copy
import json
import random
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xingtu_crawler.items import VOLATILE, content_hash, parse

ENDPOINTS = ["base_info", "marketing_info", "rec_videos", "video_distribution", "search"]
RECENT = {"item_id": "1", "vv": "5", "cover": "https://a", "url": "https://b", "item_cover": "c", "item_url": "d"}


@pytest.fixture(scope="session")
def typed(payloads: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The typed data of every sample, the search with recent items."""
    search = copy.deepcopy(payloads["search"])
    search["attribute_datas"]["last_10_items"] = json.dumps([RECENT, RECENT])
    return {name: parse(name, payload, star_id=None).data for name, payload in {**payloads, "search": search}.items()}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for index, inner in enumerate(value) for leaf in leaves(inner, (*path, index))]
    return [path]


def is_volatile(endpoint: str, path: tuple[Any, ...]) -> bool:
    text = "".join("[]" if isinstance(step, int) else f".{step}" for step in path)[1:]
    return any(re.match(rf"{re.escape(one)}($|[.\[])", text) for one in VOLATILE[endpoint])


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(key, shuffled(inner, rng)) for key, inner in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(inner, rng) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@settings(max_examples=120, deadline=None)
@given(draw=st.data())
def test_a_change_counts_unless_it_is_volatile(
    typed: dict[str, dict[str, Any]], endpoint: str, draw: st.DataObject
) -> None:
    data = copy.deepcopy(typed[endpoint])
    path = draw.draw(st.sampled_from(leaves(data)))
    value = draw.draw(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.datetimes() | st.just(["x"])
    )
    holder: Any = data
    for step in path[:-1]:
        holder = holder[step]
    is_change = type(holder[path[-1]]) is not type(value) or holder[path[-1]] != value
    holder[path[-1]] = value

    is_equal = content_hash(endpoint, data) == content_hash(endpoint, typed[endpoint])

    assert is_equal == (is_volatile(endpoint, path) or not is_change)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@settings(max_examples=20, deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_count(typed: dict[str, dict[str, Any]], endpoint: str, rng: random.Random) -> None:
    data = shuffled(typed[endpoint], rng)

    assert content_hash(endpoint, data) == content_hash(endpoint, typed[endpoint])


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_volatile_path_exists_and_is_left_out(typed: dict[str, dict[str, Any]], endpoint: str) -> None:
    data = copy.deepcopy(typed[endpoint])
    if endpoint == "rec_videos":
        data["order_hot_videos"] = copy.deepcopy(data["newest_videos"])  # empty in the sample
    before = content_hash(endpoint, data)

    for path in VOLATILE[endpoint]:
        holders: list[Any] = [data]
        *parents, last = path.split(".")
        for name in parents:
            inner = [holder[name.removesuffix("[]")] for holder in holders]
            holders = [element for one in inner for element in one] if name.endswith("[]") else inner
        assert holders, path
        for holder in holders:
            assert last in holder, path
            holder[last] = "changed"

    assert content_hash(endpoint, data) == before


CHANGES_WITHOUT_MEANING = [
    *(
        ("base_info", name)
        for name in ("avatar_uri", "base64_qrcode", "base_resp", "mcn_logo", "modify_time", "qrcode_url")
    ),
    ("marketing_info", "base_resp"),
    ("rec_videos", "base_resp"),
    *(("rec_videos", f"masterpiece_videos.0.{name}") for name in ("url", "item_cover", "head_image_url_signed")),
    ("video_distribution", "base_resp"),
    ("search", "extra_data"),
    ("search", "attribute_datas.avatar_uri"),
    *(("search", f"attribute_datas.last_10_items.0.{name}") for name in ("cover", "item_cover", "item_url", "url")),
]
"""Observed to differ from call to call while nothing else did; stands here again, independent of `VOLATILE`."""


@pytest.mark.parametrize(("endpoint", "path"), CHANGES_WITHOUT_MEANING)
def test_what_changes_without_meaning_is_no_other_content(
    typed: dict[str, dict[str, Any]], endpoint: str, path: str
) -> None:
    data = copy.deepcopy(typed[endpoint])
    holder: Any = data
    *parents, last = path.split(".")
    for name in parents:
        holder = holder[int(name)] if isinstance(holder, list) else holder[name]
    assert last in holder
    holder[last] = datetime(2026, 3, 9, tzinfo=UTC)

    assert content_hash(endpoint, data) == content_hash(endpoint, typed[endpoint])


def test_the_hash_is_32_hex_digits_and_stable() -> None:
    data = {"follower": 5, "create_time": datetime(2026, 1, 2, tzinfo=UTC), "tags": ["游戏"], "city": None}

    # A change of this value makes a spell in `history` for every document there is.
    assert content_hash("base_info", data) == "3e04caf08e571d72cc4aa2b7ff26b8c2"


def test_null_counts_as_absent_but_not_in_a_list() -> None:
    assert content_hash("search", {"a": 1, "b": None}) == content_hash("search", {"a": 1})
    assert content_hash("search", {"a": [1, None]}) != content_hash("search", {"a": [1]})
    assert content_hash("search", {"a": []}) != content_hash("search", {})


def test_a_datetime_is_its_moment() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    same = [moment, moment.replace(tzinfo=None), moment.astimezone(timezone(timedelta(hours=8)))]

    assert len({content_hash("search", {"t": one}) for one in same}) == 1
    assert content_hash("search", {"t": moment + timedelta(seconds=1)}) != content_hash("search", {"t": moment})
    assert content_hash("search", {"t": moment.isoformat()}) != content_hash("search", {"t": moment})


@pytest.fixture(params=["Asia/Shanghai", "America/New_York", "UTC"])
def local_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the process live in another time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("local_zone")
def test_the_time_zone_of_the_machine_does_not_count() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - naive, as PyMongo returns times by default

    assert content_hash("search", {"t": moment}) == content_hash("search", {"t": moment.replace(tzinfo=UTC)})


def test_what_no_document_can_hold_is_an_error() -> None:
    with pytest.raises(TypeError, match="not JSON serializable: set"):
        content_hash("search", {"a": {1}})


def test_what_did_not_fit_counts_unless_it_is_volatile() -> None:
    def of(**raw: object) -> str:
        unparsed = {path.replace("__", "."): {"raw": value, "error": "no"} for path, value in raw.items()}
        return content_hash("rec_videos", {"a": 1}, unparsed)

    plain = content_hash("rec_videos", {"a": 1})
    assert plain == content_hash("rec_videos", {"a": 1}, {})
    assert len({plain, of(price="1.2w"), of(price="1.3w"), of(other="1.2w")}) == 4
    assert of(price="1.2w", other=[1]) == of(other=[1], price="1.2w")
    assert of(newest_videos__3__url=5) == of(base_resp=5) == of(base_resp__status_code="x") == plain
    assert of(newest_videos__3__play="1w") != plain
