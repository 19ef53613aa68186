"""The commands of the README, typed as they stand there."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

from harness import ROOT, command, environment, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("scrapy ")
]
RUNS_UNTIL_CTRL_C = ["scrapy mongo"]  # tests/commands/test_mongo.py types it, and Ctrl-C


def test_the_commands_of_the_readme_do_what_they_say(tmp_path: Path) -> None:
    """In the order of the page: the crawl comes first, in a sandbox in place of the real API."""
    for line in COMMANDS:
        if line in RUNS_UNTIL_CTRL_C:
            continue
        done = run(command(*shlex.split(line)[1:]), cwd=tmp_path, env=environment(JUSTONEAPI_ENV="sandbox"))
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout.strip(), line


def test_the_readme_has_commands() -> None:
    assert [line.split()[1] for line in COMMANDS] == ["crawl", "status", "find", "find", "mongo"]


def test_make_demo_shows_what_came_out(tmp_path: Path) -> None:
    """`make demo` in a copy of the project, with this environment's packages."""
    copy = tmp_path / "project"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    (copy / ".venv" / "bin").mkdir(parents=True)
    (copy / ".venv" / "bin" / "python").symlink_to(sys.executable)
    for stamp in (".runtime", ".dev"):
        (copy / ".venv" / stamp).touch()
    (copy / ".venv" / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n", encoding="utf-8")
    done = run(["make", "demo"], cwd=copy, env={**environment(), "PYTHONPATH": ":".join(sys.path)}, timeout=170)
    assert done.returncode == 0, done.stderr
    for shown in ("closed", "max_authors", "author_base_info", "Calls by endpoint and code", "use the real API"):
        assert shown in done.stdout
