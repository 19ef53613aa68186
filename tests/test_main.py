"""`python -m xingtu_crawler` runs the project's commands from any folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.harness import ROOT, run


def test_a_command_runs_in_another_folder(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "SCRAPY_SETTINGS_MODULE"}
    words = [sys.executable, "-m", "xingtu_crawler", "crawl", "author_square", "-a", "max_cost=50"]
    done = run(words, cwd=tmp_path, env={**env, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: Unknown argument max_cost=: did you mean max_calls=?")
    assert list(tmp_path.iterdir()) == []
