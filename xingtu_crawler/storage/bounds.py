"""Bounds on what the API may add to bookkeeping documents, so that none of them outgrows MongoDB's 16 MB.

Knows BSON, no collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson

LONGEST_TEXT = 300
"""Characters of a text of the API in `sweeps`, `failures` and `quarantine`."""


def short(text: str | None) -> str | None:
    """Return a text of at most `LONGEST_TEXT` characters; `…` replaces what is cut."""
    return text if text is None or len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def bounded(fields: Mapping[str, Any], limit: int, *, first: str = "") -> tuple[dict[str, Any], int]:
    """Return the fields that fit into `limit` bytes of BSON, the smallest first, and the bytes of the others.

    Args:
        fields: field names and values that MongoDB can hold.
        limit: maximum size of the returned fields in bytes.
        first: the name of the field that goes before smaller ones.
    """
    sizes = {name: len(bson.encode({name: value})) for name, value in fields.items()}
    kept, left_out = set[str](), 0
    for name, size in sorted(sizes.items(), key=lambda each: (each[0] != first, each[1])):
        if size <= limit:
            kept.add(name)
            limit -= size
        else:
            left_out += size
    return {name: value for name, value in fields.items() if name in kept}, left_out
