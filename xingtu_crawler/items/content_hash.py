"""The content hash of a document: equal for answers with the same meaning.

Every answer is hashed, so the volatile paths are compiled once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from typing import Any, TypeAlias

import orjson

_VIDEO_IMAGES = (
    "head_image_uri",
    "head_image_uris",
    "head_image_url_signed",
    "item_animated_cover",
    "item_cover",
    "url",
)
_REC_LISTS = ("masterpiece_videos", "newest_videos", "order_hot_videos", "personal_hot_videos")

VOLATILE: dict[str, frozenset[str]] = {
    "base_info": frozenset(
        {
            "avatar_uri",  # signed anew at every call
            "base64_qrcode",  # a picture of the same address
            "base_resp",  # about the call, not the author
            "mcn_logo",  # an image URL, signed as avatars are
            "modify_time",  # moves without any field changing
            "qrcode_url",  # signed
        }
    ),
    "marketing_info": frozenset({"base_resp"}),
    "rec_videos": frozenset(
        {"base_resp", *(f"{videos}[].{name}" for videos in _REC_LISTS for name in _VIDEO_IMAGES)}  # signed URLs
    ),
    "search": frozenset(
        {
            "attribute_datas.avatar_uri",  # signed anew at every call
            "attribute_datas.last_10_items[].cover",  # signed URLs
            "attribute_datas.last_10_items[].item_cover",
            "attribute_datas.last_10_items[].item_url",
            "attribute_datas.last_10_items[].url",
            "extra_data",  # how this search found the author
            "items",  # the videos that this search shows; what they say of a video is in `videos`
        }
    ),
    "video_distribution": frozenset({"base_resp"}),
}
"""Per endpoint, the paths of `data` that change without meaning; the hash ignores them (`[]`: any list element)."""

_Tree: TypeAlias = "dict[str, _Tree | None]"
_EMPTY: _Tree = {}


def content_hash(endpoint: str, data: dict[str, Any], unparsed: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Return 32 hex digits over `data` and `unparsed` of `parse`, whatever the order of their keys.

    A null field counts as absent, so that a field added by a later model changes no hash; a field that is null because
    its value did not fit counts as that value. A datetime counts as its moment; a naive one is UTC.
    """
    volatile = _volatile(endpoint)
    text = orjson.dumps(_prune(data, volatile), default=_moment, option=_CANONICAL)
    if unparsed:
        raw = {path: misfit["raw"] for path, misfit in unparsed.items() if not _is_volatile(path, volatile)}
        if raw:
            text += orjson.dumps(raw, option=_CANONICAL)
    return blake2b(text, digest_size=16).hexdigest()


_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME


def _moment(value: object) -> list[object]:
    if not isinstance(value, datetime):
        raise TypeError
    return ["datetime", (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()]


def _prune(value: Any, volatile: _Tree) -> Any:
    """Return `value` without null fields and without the volatile paths (None in the tree: the path ends here)."""
    if isinstance(value, dict):
        if volatile:
            find = volatile.get
            return {
                key: _prune(inner, tree) if inner.__class__ in _CONTAINERS else inner
                for key, inner in value.items()
                if inner is not None and (tree := find(key, _EMPTY)) is not None
            }
        return {
            key: _prune(inner, _EMPTY) if inner.__class__ in _CONTAINERS else inner
            for key, inner in value.items()
            if inner is not None
        }
    elements = volatile.get("[]") or _EMPTY
    return [_prune(inner, elements) if inner.__class__ in _CONTAINERS else inner for inner in value]


_CONTAINERS = frozenset({dict, list})


def _is_volatile(path: str, volatile: _Tree) -> bool:
    """Return whether `path`, with list indexes (`videos.3.url`), is volatile or inside a volatile path."""
    tree: _Tree | None = volatile
    for step in path.split("."):
        if tree is None:
            break
        tree = tree.get("[]" if step.isdigit() else step, _EMPTY)
    return tree is None


@cache
def _volatile(endpoint: str) -> _Tree:
    return _compile(VOLATILE.get(endpoint, ()))


def _compile(paths: Iterable[str]) -> _Tree:
    tree: _Tree = {}
    for path in paths:
        *parents, last = path.replace("[]", ".[]").split(".")
        node = tree
        for parent in parents:
            below = node.setdefault(parent, {})
            assert below is not None, f"{path} lies within another volatile path"
            node = below
        node[last] = None
    return tree
