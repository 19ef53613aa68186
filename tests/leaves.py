"""Compares a raw payload with its stored form. Knows the documented conversions, and nothing of the models."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

FILLED = ("item_id", "create_time", "play")
"""The fields of a recommended video where 0 is a value."""


def leaves(value: Any, path: str = "") -> list[str]:
    """Return the path of every leaf of a JSON value."""
    if isinstance(value, dict | list) and value:
        steps = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for step, inner in steps for leaf in leaves(inner, f"{path}.{step}".removeprefix("."))]
    return [path]


def lost(raw: Any, kept: Any, unparsed: dict[str, Any], zeros: bool, path: str = "") -> list[str]:
    """Return the paths in `raw` that are neither in `kept` nor in `unparsed`; `zeros`: 0 may have become None."""
    if path in unparsed:
        is_kept = repr(unparsed[path]["raw"]) == repr(raw)
    elif isinstance(raw, dict | list) and raw and type(kept) is type(raw):
        found = [] if isinstance(raw, dict) or len(raw) == len(kept) else [path]
        for step, inner in raw.items() if isinstance(raw, dict) else enumerate(raw[: len(kept)]):
            below = f"{path}.{step}".removeprefix(".")
            found += [below] if isinstance(kept, dict) and step not in kept else []
            found += lost(inner, kept[step], unparsed, zeros, below) if not found or found[-1] != below else []
        return found
    elif isinstance(raw, str) and isinstance(decoded(raw), dict | list) and not isinstance(kept, str):
        return lost(decoded(raw), kept, unparsed, zeros, path)
    else:
        is_kept = is_same(raw, kept, path.rpartition(".")[2], zeros)
    return [] if is_kept else [path]


def decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def is_same(raw: Any, kept: Any, name: str, zeros: bool) -> bool:
    same = type(raw) is type(kept) and raw == kept
    if kept is None:
        no_time = name.endswith(("_time", "_timestamp")) and str(raw) in ("0", "-0", "0.0", "-0.0")
        not_supplied = zeros and name not in FILLED and str(raw) in ("0", "False", "0.0", "-0.0", "[]")
        same |= raw in ("", [], {}) or no_time or not_supplied
    elif isinstance(kept, bool):
        same |= str(raw).lower() in (("true", "1") if kept else ("false", "0"))
    elif isinstance(kept, dict):  # an empty object gets all fields of its model, as null
        same |= raw == {} and all(value is None for value in kept.values())
    elif not isinstance(raw, bool):
        figure = number(raw)
        if isinstance(kept, datetime):
            seconds = number(kept.timestamp())
            assert seconds is not None
            same |= figure in (seconds, seconds + 8 * 3600)  # a time that is 8 hours ahead is corrected
        elif isinstance(kept, float):
            same |= isinstance(raw, int | str) and figure is not None and float(figure) == kept
        elif isinstance(kept, int):
            same |= figure == kept
        elif isinstance(kept, str):
            same |= isinstance(raw, int) and str(raw) == kept
    return same


def number(raw: Any) -> Decimal | None:
    try:
        return Decimal(str(raw))
    except InvalidOperation:
        return None
