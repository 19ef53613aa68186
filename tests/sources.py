"""Finds the close reasons, stats and outcomes in the source of the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.harness import ROOT
from xingtu_crawler.api.action import WITHOUT_RESPONSE

PACKAGE = ROOT / "xingtu_crawler"


@cache
def nodes(part: str = "") -> list[ast.AST]:
    """Return the syntax nodes of all modules, of those in one folder, or of one module."""
    where = Path(PACKAGE, part)
    paths = [where] if where.suffix else sorted(where.rglob("*.py"))
    return [node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


def texts(node: ast.expr | None) -> Iterator[str]:
    """Yield the possible values of a string expression, with `{}` for the variable parts; nothing for other types."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*texts(body), *texts(orelse))
        case ast.JoinedStr(values=values):
            found = [""]
            for value in values:
                parts = texts(value.value if isinstance(value, ast.FormattedValue) else value)
                found = [before + part for part in list(parts) or ["{}"] for before in found]
            yield from found


def name_of(node: ast.expr) -> str:
    """Return the last word of a name: `close` for `self._session.close`."""
    return ast.unparse(node).split(".")[-1]


def assigned(name: str, part: str = "") -> Iterator[str]:
    """Yield the strings assigned to a name: a variable, an attribute or a constant."""
    for node in nodes(part):
        if isinstance(node, ast.Assign) and any(name_of(target) == name for target in node.targets):
            yield from texts(node.value)


def calls(names: set[str], part: str = "") -> Iterator[list[ast.expr]]:
    """Yield the positional arguments of all calls of functions and methods with these names."""
    for node in nodes(part):
        if isinstance(node, ast.Call) and name_of(node.func) in names:
            yield node.args


def close_reasons() -> set[str]:
    """Return every close reason of the code, and Scrapy's own."""
    found = {"finished", "shutdown", "start_error", *assigned("close_reason"), *assigned("FAILING")}
    for arguments in calls({"CloseSpider", "close", "give_up", "refusal"}):
        found.update(*map(texts, arguments[-1:]))
    for node in nodes():
        if isinstance(node, ast.FunctionDef) and node.name in {"_close_reason", "close_reason"}:
            found.update(*(texts(each.value) for each in ast.walk(node) if isinstance(each, ast.Return)))
        elif isinstance(node, ast.FunctionDef) and node.name == "give_up":
            found.update(*map(texts, node.args.defaults))
    return found


def stats() -> set[str]:
    """Return the name of every stat that the code counts or sets, with `{}` for the variable parts."""
    found: set[str] = set()
    for name, *_ in calls({"inc_value", "set_value", "max_value", "min_value"}):
        found.update(assigned(name.id) if isinstance(name, ast.Name) else texts(name))
    for folder, counter in (
        ("storage", "_count"),
        ("extensions/health.py", "_count"),
        ("spiders", "tally"),
    ):  # both take the name without its prefix
        for arguments in calls({counter}, folder):
            found.update(f"xingtu/{name}" for name in texts(arguments[0]))
    return found - {"xingtu/{}"}  # these functions themselves


def outcomes() -> set[str]:
    """Return the outcomes of an attempt that are no business codes."""
    found = set(WITHOUT_RESPONSE)
    for _, outcome, *_ in calls({"Decision"}, "api/action.py"):
        found.update(assigned(outcome.id, "api/action.py") if isinstance(outcome, ast.Name) else texts(outcome))
    return found
