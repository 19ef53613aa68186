"""Finds the line of a mongod's log that says why it ended. Knows the log's format, nothing about processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LONGEST_LINE = 300
LARGEST_READ_BYTES = 2_000_000
# Lines that follow a failure without explaining it: assertions, aborts, stack traces.
_EMPTY_COMPONENTS = frozenset({"ASSERT"})
_EMPTY_MESSAGES = ("Writing fatal message", "Please read the documentation")


def error_line(log: Path, offset: int) -> str | None:
    """Return the first explaining error after a byte offset as `message: detail` on one line; None if there is none.

    A line of the storage engine (component `WT`) counts only if no other component reports the error.
    Source: https://www.mongodb.com/docs/manual/reference/log-messages/ (structured logging).
    """
    engine_line = None
    for line in _tail(log, offset).splitlines():
        record = _parse(line)
        if record is None or record.get("s") not in ("E", "F"):
            continue
        component, message = str(record.get("c")), str(record.get("msg", "")).strip()
        if component in _EMPTY_COMPONENTS or message.startswith(_EMPTY_MESSAGES):
            continue
        text = _one_line(": ".join(filter(None, [message.rstrip("."), _detail(record.get("attr"))])))
        if component != "WT":
            return text
        engine_line = engine_line or text
    return engine_line


def last_line(output: Path, offset: int) -> str | None:
    """Return the last line that a process printed after a byte offset, None if it printed nothing."""
    lines = [line for line in _tail(output, offset).splitlines() if line.strip()]
    return _one_line(lines[-1]) if lines else None


def _tail(path: Path, offset: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(LARGEST_READ_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _detail(attributes: object) -> str:
    """Return the text of the attribute that explains an error: `error`, `reason` or `message`, nested or not."""
    if isinstance(attributes, dict):
        for key in ("error", "reason", "message", "errmsg", "msg"):
            value = attributes.get(key)
            if isinstance(value, dict):
                value = _detail(value)
            if isinstance(value, str) and value:
                return value
    return ""


def _one_line(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 1]}…"
