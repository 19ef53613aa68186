"""The line of a mongod's log that explains an error."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.mongo.mongod_log import LONGEST_LINE, error_line, last_line


def line(severity: str, component: str, text: str, /, **attributes: Any) -> dict[str, Any]:
    return {"t": {"$date": "2024-01-01T00:00:00Z"}, "s": severity, "c": component, "msg": text, "attr": attributes}


INFO = line("I", "CONTROL", "MongoDB starting", error="not an error")
ENGINE = line("E", "WT", "WiredTiger error message", error=28, message={"msg": "WAL: fallocate: No space left"})
ASSERTION = line("F", "ASSERT", "Fatal assertion", msgid=28595)
FATAL = line("F", "CONTROL", "Writing fatal message", message="Got signal: 6 (Aborted).\n")


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], None),
        ([INFO, ASSERTION, FATAL], None),
        (
            [INFO, line("E", "CONTROL", "DBException in initAndListen", error="DBPathInUse: in use.\nClose it.")],
            "DBException in initAndListen: DBPathInUse: in use. Close it",
        ),
        (
            [ENGINE, line("F", "STORAGE", "Terminating.", reason="28: No space left"), ASSERTION],
            "Terminating: 28: No space left",
        ),
        ([INFO, ENGINE, ASSERTION, FATAL], "WiredTiger error message: WAL: fallocate: No space left"),
        (
            [line("F", "STORAGE", "Unable to read", error={"code": 22, "errmsg": "too short"})],
            "Unable to read: too short",
        ),
        ([line("F", "STORAGE", "This version is too recent")], "This version is too recent"),
    ],
)
def test_the_first_explaining_line_is_returned(
    tmp_path: Path, records: list[dict[str, Any]], expected: str | None
) -> None:
    assert error_line(write(tmp_path / "log", *records), 0) == expected


def test_lines_of_an_earlier_start_are_ignored(tmp_path: Path) -> None:
    log = write(tmp_path / "log", line("F", "STORAGE", "An old story"))
    offset = log.stat().st_size
    assert error_line(log, offset) is None
    assert error_line(log, 0) == "An old story"


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert error_line(tmp_path / "log", 0) is None
    assert last_line(tmp_path / "log", 0) is None


def test_the_last_printed_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before\n\nm: a library is missing\n\n", encoding="utf-8")
    assert last_line(tmp_path / "out", 0) == "m: a library is missing"


lines = (
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.dictionaries(st.sampled_from(["s", "c", "msg", "attr", "error"]), inner),
    ).map(json.dumps)
    | st.text()
    | st.builds(lambda m, e: json.dumps(line("E", "X", m, error=e)), st.text(), st.text())
)


@given(content=st.lists(lines).map("\n".join), offset=st.integers(0, 50))
def test_any_log_gives_one_short_line_or_none(content: str, offset: int) -> None:
    with tempfile.NamedTemporaryFile() as file:
        path = Path(file.name)
        path.write_bytes(content.encode("utf-8", errors="replace"))
        for found in (error_line(path, offset), last_line(path, offset)):
            assert found is None or (len(found) <= LONGEST_LINE and len(found.splitlines()) <= 1)
