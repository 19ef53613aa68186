"""The standard streams: closed ones are opened, every text can be written, a log that cannot be written is one line."""

from __future__ import annotations

import errno
import io
import logging
import subprocess
import sys
from typing import Any

import pytest

from tests.harness import ROOT
from xingtu_crawler.engine.streams import secure_log

SCRIPT = """
import os, sys
from xingtu_crawler.engine.streams import secure_streams
secure_streams()
sys.stderr.write("heard\\n")
sys.stdout.write("美\\n")
sys.stdout.flush()
number = os.open("/dev/null", os.O_RDONLY)
os.write(number_of_test, str(number).encode()) if (number_of_test := int(sys.argv[1])) else None
"""


def script(redirections: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" 9 9>&1 {redirections}', sys.executable, SCRIPT],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("redirections", ["2>&-", "1>&-", "0<&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_is_not_given_to_the_next_file(redirections: str) -> None:
    done = script(redirections)
    assert (done.returncode, done.stderr.decode()) == (0, "" if "2>" in redirections else "heard\n")
    assert int(done.stdout.decode().split()[-1]) > 2


@pytest.mark.parametrize(
    ("encoding", "text"), [("latin-1", rb"\u7f8e"), ("ascii", rb"\u7f8e"), ("utf-8", "美".encode())]
)
def test_what_an_encoding_lacks_is_escaped(encoding: str, text: bytes) -> None:
    done = script("", PYTHONIOENCODING=encoding)
    assert done.stderr == b"heard\n"
    assert done.stdout.startswith(text + b"\n")


class Full(io.TextIOWrapper):
    """A log on a full disk."""

    def write(self, *_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_cannot_be_written_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logging.StreamHandler(Full(io.BytesIO()))
    monkeypatch.setattr(logging.root, "handlers", [handler])
    secure_log()
    for _ in range(3):
        logging.root.error("said")
    assert capsys.readouterr().err == (
        "The log cannot be written (No space left on device): the crawl goes on without it.\n"
    )


def test_a_log_escapes_what_its_encoding_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler(io.TextIOWrapper(written, "latin-1"))])
    secure_log()
    logging.root.error("美")
    assert written.getvalue() == b"\\u7f8e\n"
