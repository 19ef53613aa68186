"""Contents faults of answers with code 0: new fields, wrong types, deep nesting, numbers and keys that MongoDB refuses.

Takes and returns the rendered `data`; knows no HTTP.
"""

from __future__ import annotations

import json
from typing import Any

DEPTH = 1_000
_BIG = 2**70 + 1
_TOO_MUCH = "很多"
_ADDED: dict[str, dict[str, Any]] = {
    "unknown_field": {"sandbox_new_field": {"since": 2027, "why": "测试"}},
    "bigint": {"sandbox_bigint": _BIG},
    "dotted": {"sandbox.dotted": 1, "$sandbox": {"$where": "1", "a.b": [{"": 0, "$": None}]}},
}


def spoil(fault: str, rendered: bytes, other_id: str) -> bytes:
    """Return the rendered `data` with a content fault.

    `other_id` is the star id of another author, for `wrong_id`, which does not change answers without an author's id.
    """
    data: dict[str, Any] = json.loads(rendered)
    entity = _entity(data)
    if fault == "wrong_id":
        _wrong_id(data, other_id)
    elif fault == "bad_type":
        _bad_type(data)
    elif fault == "surrogate":
        _first_text(entity)
        # With ASCII escapes: a lone surrogate has no UTF-8 encoding.
        return json.dumps(data).encode()
    elif fault == "deep":
        return _with_raw_field(data, entity, b"[" * DEPTH + b"]" * DEPTH)
    else:
        for place in (data, entity):
            place.update(_ADDED[fault])
    return json.dumps(data, ensure_ascii=False).encode()


def _entity(data: dict[str, Any]) -> dict[str, Any]:
    """Return the object that becomes a row: the first author's attributes, price or video, otherwise `data`."""
    if data.get("authors"):
        attributes: dict[str, Any] = data["authors"][0]["attribute_datas"]
        return attributes
    for name in ("price_info", "newest_videos", "video_content_distribution"):
        if data.get(name):
            first: dict[str, Any] = data[name][0]
            return first
    return data


def _wrong_id(data: dict[str, Any], other_id: str) -> None:
    if "id" in data:
        data["id"] = other_id
    for price in data.get("price_info", ()):
        price["author_id"] = other_id
    for author in data.get("authors", ())[:1]:
        author["attribute_datas"]["id"] = other_id


def _bad_type(data: dict[str, Any]) -> None:
    entity = _entity(data)
    for name in ("follower", "price", "play", "proportion"):
        if name in entity:
            entity[name] = _TOO_MUCH
            return
    data["base_resp"]["status_message"] = {"text": _TOO_MUCH}


def _first_text(entity: dict[str, Any]) -> None:
    for name in ("nick_name", "desc", "item_title", "name"):
        if name in entity:
            entity[name] = f"测试\ud83d{entity[name]}"
            return
    entity["sandbox_text"] = "测试\ud83d"


def _with_raw_field(data: dict[str, Any], entity: dict[str, Any], raw: bytes) -> bytes:
    # Inserted as text: the encoder of the standard library is recursive.
    mark = "@deep@"
    data["sandbox_deep"] = mark
    entity["sandbox_deep"] = mark
    return json.dumps(data, ensure_ascii=False).encode().replace(json.dumps(mark).encode(), raw)
