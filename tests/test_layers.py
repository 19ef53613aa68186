"""The layers of the design: which folder may import which, and which folders do without Scrapy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.harness import ROOT

PACKAGE = ROOT / "xingtu_crawler"

ARROWS: dict[str, set[str]] = {
    "exceptions": set(),
    "verdict": {"exceptions"},
    "outcome": {"api", "verdict"},
    "api": {"exceptions"},
    "arguments": {"api", "exceptions"},
    "items": {"api", "exceptions"},
    "mongo": {"exceptions"},
    "storage": {"api", "items", "mongo", "options", "verdict", "exceptions"},
    "dataset": {"api", "arguments", "items", "mongo", "storage", "options", "exceptions", "outcome", "verdict"},
    # Only the endpoints' names and paths, and the exceptions: it must be able to disagree with everything else.
    "sandbox": {"api.endpoints", "exceptions"},
    "reference": {"arguments", "options", "outcome", "verdict"},
    "setting_values": {"sandbox", "exceptions"},
    "options": {"api", "mongo", "setting_values", "exceptions"},
}
"""The layers without Scrapy, and what each may import of the project besides itself."""

SCRAPY_ARROWS: dict[str, set[str]] = {
    "engine": {"api", "options", "exceptions"},
    "extensions": {
        "api",
        "arguments",
        "dataset",
        "engine",
        "items",
        "mongo",
        "options",
        "outcome",
        "sandbox",
        "storage",
        "verdict",
        "exceptions",
    },
    "middlewares": {"api", "engine", "extensions", "options", "storage", "verdict", "exceptions"},
    "pipelines": {"api", "engine", "extensions", "items", "options", "storage", "verdict", "exceptions"},
    "spiders": {"api", "arguments", "engine", "extensions.context", "items", "storage", "verdict", "exceptions"},
}
"""The layers with Scrapy. The crawl's context is the only thing that spiders know of the extensions."""

PLAIN = [
    "xingtu_crawler.extensions.context",
    *(f"xingtu_crawler.spiders.{name}" for name in ("author_limit", "backlog", "first_pages", "search", "sweep")),
]
"""The modules of those layers that are plain Python."""


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


@pytest.mark.parametrize("layer", [*ARROWS, *SCRAPY_ARROWS])
def test_a_layer_imports_only_what_is_below_it(layer: str) -> None:
    below = ARROWS.get(layer) or SCRAPY_ARROWS.get(layer, set())
    allowed = [f"xingtu_crawler.{name}" for name in (layer, *below)]
    for path in modules(layer):
        for name in imported(path):
            if name.startswith("xingtu_crawler."):
                assert any(name == each or name.startswith(f"{each}.") for each in allowed), f"{path.name}: {name}"
            assert layer in SCRAPY_ARROWS or name.split(".")[0] not in {"scrapy", "twisted"}, f"{path.name}: {name}"


LOADING = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    assert not {"scrapy", "twisted"} & set(sys.modules), name
"""


def test_a_plain_layer_does_not_load_scrapy() -> None:
    """Indirect imports count too."""
    names = [dotted(path) for layer in ARROWS for path in modules(layer) if path.name != "__main__.py"]
    done = subprocess.run(
        [sys.executable, "-c", LOADING, *names, *PLAIN], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def import_graph() -> dict[str, set[str]]:
    """Return module -> the modules of the package that it imports."""
    paths = {dotted(path): path for path in PACKAGE.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for module, path in paths.items():
        # `from module import name` reads as `module.name`, which is no module.
        names = {name if name in paths else name.rpartition(".")[0] for name in imported(path)}
        graph[module] = (names & paths.keys()) - {module}
    return graph


def folder(module: str) -> str:
    """Return the folder that a module is in; a module directly in the package stands for itself."""
    return module.split(".")[1] if "." in module else module


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the nodes of one cycle, or an empty list."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = import_graph()
    assert graph["xingtu_crawler.api.tokens"] >= {"xingtu_crawler.api.pace", "xingtu_crawler.exceptions"}
    assert cycle(graph) == []


def test_no_folders_import_each_other_in_a_circle() -> None:
    """Arrows between two folders run one way only."""
    graph: dict[str, set[str]] = {}
    for module, imports in import_graph().items():
        graph.setdefault(folder(module), set()).update(map(folder, imports))
    for name, imports in graph.items():
        imports.discard(name)
    assert graph["api"] == {"exceptions"}
    assert cycle(graph) == []


def test_a_circle_is_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) != []
