"""What of a video is its content: the fields whose change begins a new spell, and their text, `content_hash`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from xingtu_crawler.items.videos import FIELDS, PLAY_FIELDS

VOLATILE = frozenset({"url", "cover", "video_tag"})
"""Stored but no part of the content: URLs that are signed anew, and the reason why the search shows the video."""
LASTING = frozenset({"created_at", "published_at"})
"""No part of the content, as they never change: another value is another list's, or a correction."""
DERIVED = frozenset({"play", "play_from"})
"""No part of the content: one of the counts, which are."""
CONTENT = tuple(name for name in FIELDS if name not in VOLATILE | LASTING | DERIVED)


def content_of(data: Mapping[str, Any]) -> Hashable:
    """Return what must be equal for two states of a video to be the same content."""
    return tuple(data.get(name) for name in CONTENT)


def with_first_counts(states: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the states of a video in the order of time, in which a list's first count also holds before it."""
    first: dict[str, Any] = {}
    for state in states:
        for name in PLAY_FIELDS:
            if name not in first and state.get(name) is not None:
                first[name] = state[name]
    return [{**first, **{name: value for name, value in state.items() if value is not None}} for state in states]


def text_expression(values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the expression of a video's `content_hash` over `data`, or over expressions for its fields.

    It is the values as one text, because only the server knows those that an answer leaves out, and it has no hash.
    """
    values = values or {name: f"$data.{name}" for name in CONTENT}
    parts = [{"$toString": {"$ifNull": [values[name], ""]}} for name in CONTENT]
    return {"$concat": [part for word in parts for part in (word, "|")]}


def text(known: Mapping[str, Any]) -> str | None:
    """Return `content_hash` as the server computes it; None where servers may differ, as with long fractions."""
    words = [_word(known.get(name)) for name in CONTENT]
    return None if None in words else "".join(f"{word}|" for word in words)


def _word(value: object) -> str | None:
    """Return `$toString` of a value, "" for null; None where servers may differ in it."""
    write = _WORDS.get(value.__class__)
    return None if write is None else write(value)


def _float(value: float) -> str | None:
    word = f"{value:g}"
    return word if 0.001 < value < 1e6 and float(word) == value else None


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_WORDS: dict[type, Callable[[Any], str | None]] = {
    type(None): lambda _none: "",
    str: lambda text: text,
    bool: lambda flag: "true" if flag else "false",
    int: str,
    float: _float,
    datetime: _time,
}
