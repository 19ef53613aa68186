"""The tests mirror the package and the benchmarks: `tests/storage/test_writer.py` tests `storage/writer.py`."""

from __future__ import annotations

from pathlib import Path

from tests.harness import ROOT

TESTS = ROOT / "tests"
ACROSS_MODULES = {
    "api/test_retry_after.py": "one function of api/action.py with its own table of cases",
    "commands/test_commands_page.py": "docs/commands.md and the help of all commands",
    "items/test_malformed.py": "spoiled responses in all models",
    "items/test_nothing_is_lost.py": "every leaf of a response in all models",
    "spiders/test_sweep_invariants.py": "whole sweeps over searches that contradict themselves",
    "storage/test_page_order.py": "pages stored in any order, by the recorder and the documents",
    "storage/test_replica_set.py": "the whole storage on a replica set",
}
"""Tests of no single module, with what they test."""


def is_mirror(test: Path) -> bool:
    """Return whether a module or a package has the name of the test."""
    folder, name = test.parent, test.stem.removeprefix("test_")
    places = [ROOT / "xingtu_crawler" / folder, *([ROOT / folder] if folder.name == "benchmarks" else [])]
    return any((place / f"{name}.py").is_file() or (place / name / "__init__.py").is_file() for place in places)


def test_every_test_has_the_name_of_its_module() -> None:
    folders = {path.name for path in (ROOT / "xingtu_crawler").iterdir()} | {"benchmarks"}
    tests = {path.relative_to(TESTS) for path in TESTS.glob("*/test_*.py") if path.parent.name in folders}
    assert len(tests) > 50
    assert {str(test) for test in tests if not is_mirror(test)} == set(ACROSS_MODULES)
