"""What holds for every command: its standard streams may be closed, and another program may stop reading its output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import environment


def shell(script: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `$scrapy` stands for the command."""
    script = f"set -o pipefail; scrapy='{sys.executable} -m scrapy'; {script}"
    env = environment(JUSTONEAPI_ENV="sandbox", **variables)
    return subprocess.run(["bash", "-c", script], cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("script", "code", "errors"),
    [
        ("$scrapy codebook book >&-", 0, ""),
        ("$scrapy codebook book 2>&- >&- <&-", 0, ""),
        ("$scrapy codebook book | true", 0, ""),
        ("$scrapy crawl author_square -a nonsense=1 2>&-", 2, ""),
        ("$scrapy crawl author_square -a nonsense=1 2>&1 | true", 2, ""),
    ],
)
def test_closed_streams_end_no_command_with_a_traceback(script: str, code: int, errors: str, tmp_path: Path) -> None:
    done = shell(script, tmp_path)
    assert (done.returncode, done.stderr) == (code, errors)


def test_what_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    done = shell("$scrapy codebook 美", tmp_path, PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stdout.split()[-1], done.stderr) == (0, "\\u7f8e.", "")
