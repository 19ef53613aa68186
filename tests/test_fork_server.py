"""What a fork server starts behaves as what `subprocess.Popen` starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import fork_server
import pytest
from harness import command, environment

from xingtu_crawler.sandbox.serve import READY

SANDBOX = [sys.executable, "-m", "xingtu_crawler.sandbox", "--port", "0", "--authors", "5", "--parent-pipe"]

both = pytest.mark.parametrize("popen", [fork_server.Popen, fork_server.NewPopen], ids=["forked", "new"])


def start(popen: type[subprocess.Popen[Any]], words: list[str], **options: Any) -> subprocess.Popen[Any]:
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return popen(words, text=True, **{**streams, "env": environment(), **options})


@both
@pytest.mark.parametrize("words", [("version",), ("settings", "--get", "MONGO_DATABASE"), ("find", "nothing")])
def test_a_command_has_its_variables_directory_streams_and_exit_code(
    popen: type[subprocess.Popen[Any]], words: tuple[str, ...], tmp_path: Path
) -> None:
    env = environment(MONGO_DATABASE="a_name")
    with start(popen, command(*words), cwd=tmp_path, env=env) as process:
        out, errors = process.communicate()
    expected = subprocess.run(
        [sys.executable, "-c", "from scrapy.cmdline import execute; execute()", *words],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, out, errors) == (expected.returncode, expected.stdout, expected.stderr)


@both
def test_the_working_directory_comes_first_on_the_path(popen: type[subprocess.Popen[Any]], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from pathlib import Path; BOT_NAME = Path.cwd().name", encoding="utf-8")
    env = environment(SCRAPY_SETTINGS_MODULE="mine")
    with start(popen, command("settings", "--get", "BOT_NAME"), cwd=tmp_path, env=env) as process:
        assert process.communicate() == (f"{tmp_path.name}\n", "")


@both
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(popen: type[subprocess.Popen[Any]], number: signal.Signals) -> None:
    with start(popen, SANDBOX) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(READY)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
        os.kill(process.pid, number)
        assert process.wait() == (-number if number == signal.SIGKILL else 0)
        assert process.poll() == process.returncode


@both
def test_it_sees_the_end_of_its_input(popen: type[subprocess.Popen[Any]]) -> None:
    with start(popen, SANDBOX, start_new_session=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith(READY)
        assert os.getsid(process.pid) == process.pid
        process.stdin.close()
        assert process.wait() == 0


def test_another_program_is_started_as_always() -> None:
    with start(fork_server.Popen, [sys.executable, "-c", "import sys; sys.exit(3)"]) as process:
        assert process.wait() == 3
