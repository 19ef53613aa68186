"""The runner of the promise benchmarks: one failure fails the whole run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import promises
from tests.harness import ROOT


def test_each_program_is_there_and_documented() -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for name in promises.SMALL:
        assert (ROOT / "benchmarks" / f"{name}.py").is_file()
        assert f"benchmarks.{name}" in readme
        assert f"`{name}`" in page


def test_every_make_target_of_the_benchmarks_is_documented() -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(bench[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert targets
    assert all(f"`make {target}`" in readme for target in targets)


@pytest.mark.parametrize(("failing", "exit_code"), [(None, 0), ("budget", 1)])
def test_one_that_does_not_hold_fails_all(monkeypatch: pytest.MonkeyPatch, failing: str | None, exit_code: int) -> None:
    run: list[str] = []

    def pretend(words: Sequence[str], **_options: Any) -> SimpleNamespace:
        run.append(words[3].removeprefix("benchmarks."))
        return SimpleNamespace(returncode=int(run[-1] == failing))

    monkeypatch.setattr(subprocess, "run", pretend)
    monkeypatch.setattr(sys, "argv", ["promises"])
    assert promises.main() == exit_code
    assert run == list(promises.SMALL)
