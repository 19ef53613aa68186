"""The arrows of the design: who may import whom, and what stays plain Python."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import ROOT

PACKAGE = ROOT / "xingtu_crawler"

ARROWS: dict[str, set[str]] = {
    "exceptions": set(),
    "outcome": {"api"},
    "api": {"exceptions"},
    "arguments": {"api", "exceptions"},
    "items": {"api", "exceptions"},
    "mongo": {"exceptions"},
    "storage": {"api", "items", "mongo", "exceptions"},
    "dataset": {"api", "arguments", "items", "mongo", "storage", "exceptions", "outcome"},
    # What the API is called by, and the class of its complaints: it must be able to disagree with all the rest.
    "sandbox": {"api.endpoints", "exceptions"},
    "options": {"api", "mongo", "sandbox", "exceptions"},
}
"""The plain layers, and what of the project each may import besides itself; everything else is Scrapy's."""


def modules(layer: str) -> list[Path]:
    folder = PACKAGE / layer
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> Iterator[str]:
    """Yield what a module imports, inside functions too: `package.module` for `from package import module`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("layer", ARROWS)
def test_a_layer_imports_only_what_is_below_it(layer: str) -> None:
    allowed = [f"xingtu_crawler.{name}" for name in (layer, *ARROWS[layer])]
    for path in modules(layer):
        for name in imported(path):
            if name.startswith("xingtu_crawler."):
                assert any(name == each or name.startswith(f"{each}.") for each in allowed), f"{path.name}: {name}"
            assert name.split(".")[0] not in {"scrapy", "twisted"}, f"{path.name}: {name}"


@pytest.mark.parametrize("layer", ARROWS)
def test_a_plain_layer_does_not_load_scrapy(layer: str) -> None:
    """What is imported by what is imported counts too."""
    names = [dotted(path) for path in modules(layer) if path.name != "__main__.py"]
    code = f"import sys, {', '.join(names)}; assert not {{'scrapy', 'twisted'}} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), layer
