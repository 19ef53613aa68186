"""A fork server starts processes that behave as those that `subprocess.Popen` starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import fork_server
from tests.harness import command, environment
from xingtu_crawler.sandbox.serve import READY

SANDBOX = [sys.executable, "-m", "xingtu_crawler.sandbox", "--port", "0", "--authors", "5", "--parent-pipe"]


def start(words: list[str], popen: type[subprocess.Popen[Any]] = fork_server.Popen, **options: Any) -> Any:
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return popen(words, text=True, **{**streams, "env": environment(), **options})


def is_forked(process: subprocess.Popen[Any]) -> bool:
    """Return whether the process is no child of this one."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1] != str(os.getpid())


@pytest.mark.parametrize(("words", "code"), [(("settings", "--get", "MONGO_DATABASE"), 0), (("find", "nothing"), 2)])
def test_a_command_has_its_variables_directory_streams_and_exit_code(
    words: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    env = environment(MONGO_DATABASE="a_name")
    results = []
    for popen in (fork_server.Popen, fork_server.NewPopen):
        with start(command(*words), popen, cwd=tmp_path, env=env) as process:
            assert is_forked(process) == (popen is fork_server.Popen)
            results.append((*process.communicate(), process.returncode))
    assert results[0] == results[1]
    assert results[0][2] == code


def test_the_working_directory_comes_first_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from pathlib import Path; BOT_NAME = Path.cwd().name", encoding="utf-8")
    env = environment(SCRAPY_SETTINGS_MODULE="mine")
    with start(command("settings", "--get", "BOT_NAME"), cwd=tmp_path, env=env) as process:
        assert process.communicate() == (f"{tmp_path.name}\n", "")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0), (signal.SIGINT, 0)]
)
def test_a_signal_ends_it(number: signal.Signals, code: int) -> None:
    with start(SANDBOX) as process:
        assert process.stdout.readline().startswith(READY)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
        os.kill(process.pid, number)
        assert process.wait() == code
        assert process.poll() == process.returncode


def test_it_sees_the_end_of_its_input() -> None:
    with start(SANDBOX, start_new_session=True) as process:
        assert process.stdout.readline().startswith(READY)
        assert os.getsid(process.pid) == process.pid
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([sys.executable, "-c", "import sys; sys.exit(3)"], {}),
        (command("crawl", "--nonsense"), {"env": environment(PYTHONPATH="/nonexistent")}),
    ],
)
def test_what_a_fork_server_cannot_start_is_a_new_interpreter(words: list[str], options: dict[str, Any]) -> None:
    with start(words, **options) as process:
        assert not is_forked(process)
        process.communicate()
        assert process.returncode > 0
