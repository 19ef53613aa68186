"""Replaces the values of a JSON payload that BSON cannot encode, and keeps them in `Notes`.

Knows no model and no field.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

INT64: Final = range(-(2**63), 2**63)
MAX_DEPTH: Final = 60
"""Maximum number of nesting levels that are kept; MongoDB refuses documents of more than 100."""


@dataclass(slots=True)
class Notes:
    """The values of one payload that did not fit, and its unknown fields; as in `Parsed`."""

    unparsed: dict[str, dict[str, Any]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def misfit(self, path: str, raw: object, error: str) -> None:
        """Keep `raw`, or its JSON text if MongoDB cannot store it, under `path`."""
        while path in self.unparsed:  # a key with a dot in it can look like another path
            path += "'"
        self.unparsed[path] = {"raw": raw if is_storable(raw) else as_text(raw), "error": error}


def is_storable_text(text: str) -> bool:
    """Return whether `text` is valid Unicode; JSON can hold half a surrogate pair, BSON cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_storable_key(key: object) -> bool:
    """Return whether `key` can be a field name in BSON."""
    return isinstance(key, str) and "\0" not in key and is_storable_text(key)


def is_storable(value: object, depth: int = 0) -> bool:
    """Return whether MongoDB can store the JSON value `value` unchanged."""
    if isinstance(value, str):
        return is_storable_text(value)
    if value is None or isinstance(value, bool | float):
        return True
    if isinstance(value, int):
        return value in INT64
    if depth >= MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return all(is_storable_key(key) and is_storable(inner, depth + 1) for key, inner in value.items())
    return isinstance(value, list) and all(is_storable(inner, depth + 1) for inner in value)


def as_text(value: object) -> str:
    """Return `value` as ASCII JSON text; raise `RecursionError` if it is nested too deeply even for that."""
    return json.dumps(value, default=repr)


def clean(value: object, path: str, notes: Notes, *, depth: int = 0) -> Any:
    """Return a copy of the JSON value `value` that MongoDB can store.

    A value that it cannot store becomes None (a key: its escaped form) and is noted under its path.
    """
    if isinstance(value, dict):
        if depth < MAX_DEPTH:
            return _clean_dict(value, path, notes, depth + 1)
    elif isinstance(value, list):
        if depth < MAX_DEPTH:
            return [clean(inner, f"{path}.{index}", notes, depth=depth + 1) for index, inner in enumerate(value)]
    elif is_storable(value):
        return value
    notes.misfit(path.removeprefix("."), value, "cannot be stored: too deep, beyond 64 bits or not Unicode")
    return None


def _clean_dict(value: dict[Any, Any], path: str, notes: Notes, depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, inner in value.items():
        name = key if is_storable_key(key) else clean_key(key, path, value, notes)
        result[name] = clean(inner, f"{path}.{name}", notes, depth=depth)
    return result


def clean_key(key: object, path: str, siblings: dict[Any, Any], notes: Notes) -> str:
    """Return a storable form of `key` that differs from all its `siblings`, and note the original key."""
    name = str(key).encode(errors="backslashreplace").decode().replace("\0", "\\u0000")
    taken = {other for other in siblings if other is not key}
    while name in taken:
        name += "_"
    notes.misfit(f"{path}.{name}".removeprefix("."), key, "the field name cannot be stored as it is")
    return name
