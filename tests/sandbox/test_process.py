"""The sandbox as a child process: start, errors, and its end with the parent process."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import PATIENCE_S
from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox.process import SandboxProcess

ROOT = Path(__file__).parents[2]
PARENT = """
import signal
from xingtu_crawler.sandbox.process import SandboxProcess
sandbox = SandboxProcess.start(["--authors", "10"])
print(sandbox.pid, flush=True)
signal.pause()
"""


def is_alive(pid: int) -> bool:
    """Return whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(pid: int, seconds: float = PATIENCE_S) -> bool:
    """Return whether the process ends in time; it may be a child of another process."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], seconds)[0])
    finally:
        os.close(process)


def test_a_child_responds_and_stops() -> None:
    with SandboxProcess.start(["--authors", "10", "--token", "a=invalid"]) as sandbox:
        assert sandbox.base_url.startswith("http://127.0.0.1:")
        assert sandbox.ledger()["calls"] == 0
        assert sandbox.calls() == []
        assert sandbox.control(day=3)["day"] == 3
        with pytest.raises(SandboxError, match="unknown change"):
            sandbox.control(unheard=1)
        pid = sandbox.pid
        assert is_alive(pid)
    assert not is_alive(pid)
    sandbox.stop()
    with pytest.raises(SandboxError, match="does not respond"):
        sandbox.ledger()


def test_a_long_list_of_calls_is_read_in_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xingtu_crawler.sandbox.process._CALLS_PER_REQUEST", 2)
    with SandboxProcess.start(["--authors", "10"]) as sandbox:
        for _ in range(5):
            sandbox._ask("GET", "/api/douyin-xingtu/gw/api/gsearch/search_for_author_square/v1?token=t")
        assert [call["n"] for call in sandbox.calls()] == [1, 2, 3, 4, 5]


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_the_child_does_not_see_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUSTONEAPI_TOKEN", "S3CRET")
    monkeypatch.setenv("JUSTONEAPI_TOKEN_FILE", "S3CRET-file")
    with SandboxProcess.start(["--authors", "10"]) as sandbox:
        environment = Path(f"/proc/{sandbox.pid}/environ").read_bytes()
    assert b"S3CRET" not in environment
    assert b"PYTHONPATH" in environment


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_ends_with_its_parent(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(number)
        parent.wait(PATIENCE_S)
    try:
        assert wait_for_end(child)
    finally:
        if is_alive(child):
            os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_ctrl_c_in_the_terminal_does_not_reach_the_child() -> None:
    with SandboxProcess.start(["--authors", "10"]) as sandbox:
        assert os.getpgid(sandbox.pid) != os.getpgid(0)


@pytest.mark.parametrize("arguments", [["--authors", "none"], ["--autors", "3"], ["--fault", "x=1"], ["--seed"]])
def test_an_error_is_one_line(arguments: list[str]) -> None:
    with pytest.raises(SandboxError) as caught:
        SandboxProcess.start(arguments)
    assert "\n" not in str(caught.value)
    assert arguments[0].lstrip("-")[:4] in str(caught.value)


def test_a_child_that_is_not_ready_in_time_is_stopped() -> None:
    with pytest.raises(SandboxError, match="not ready within 0 seconds"):
        SandboxProcess.start(timeout=0)


def test_a_child_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xingtu_crawler.sandbox.process._GRACE_SECONDS", 0.2)
    sandbox = SandboxProcess.start(["--authors", "10"])
    os.kill(sandbox.pid, signal.SIGSTOP)
    with contextlib.suppress(ProcessLookupError):
        sandbox.stop()
    assert not is_alive(sandbox.pid)
