"""docs/troubleshooting.md explains every warning and error that the log can hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.harness import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
COMPLAINTS = {"warning", "error", "critical", "exception"}
LEVELS = {"logging.WARNING", "logging.ERROR"}
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[\d.,]*[a-z]")


def templates() -> Iterator[str]:
    """Yield what the package logs at WARNING and above, `…` where the arguments go."""
    for path in sorted((ROOT / "xingtu_crawler").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in COMPLAINTS
                and ast.unparse(node.func.value).endswith("logger")
            ):
                template = ast.literal_eval(node.args[0])
                if template != "%s":  # the words of an exception or of a filter's doubts: the page has them by kind
                    yield PLACEHOLDER.sub("…", template)
            elif isinstance(node, ast.Dict) and any(
                isinstance(key, ast.Constant) and key.value == "level" and ast.unparse(level) in LEVELS
                for key, level in zip(node.keys, node.values, strict=True)
            ):  # what a log formatter returns
                keys = [ast.literal_eval(key) for key in node.keys if key is not None]
                yield PLACEHOLDER.sub("…", ast.literal_eval(node.values[keys.index("msg")]))


@pytest.mark.parametrize("template", sorted(set(templates())))
def test_every_complaint_is_explained(template: str) -> None:
    assert f"\n| `{template}` |" in PAGE
