"""Every command of the project is on the page of commands, and no other."""

from __future__ import annotations

import importlib
import pkgutil
import re

from scrapy.commands import ScrapyCommand

from tests.harness import ROOT
from xingtu_crawler import commands
from xingtu_crawler.dataset.status import AGES, EXACT_UP_TO, MAX_SWEEPS, RECENT_DAYS, RECENT_RUNS

PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def own_commands() -> dict[str, ScrapyCommand]:
    modules = (module.name for module in pkgutil.iter_modules(commands.__path__))
    found = {name: importlib.import_module(f"xingtu_crawler.commands.{name}") for name in modules}
    return {name: module.Command() for name, module in found.items() if hasattr(module, "Command")}


def sections() -> dict[str, str]:
    return {part.split("\n")[0]: part for part in PAGE.split("\n## ")[1:]}


def test_every_command_has_a_section_with_an_example() -> None:
    assert {"crawl", "find", "mongo", "status", "plan", "replay", "sandbox", "codebook"} <= set(own_commands())
    assert set(sections()) == set(own_commands())
    for name, section in sections().items():
        assert f"$ scrapy {name}" in section, name


def test_the_table_at_the_top_has_every_command() -> None:
    assert re.findall(r"^\| \[`(\w+)`\]\(#(\w+)\)", PAGE, re.MULTILINE) == [(name, name) for name in sections()]


def test_every_command_has_a_description() -> None:
    for name, command in own_commands().items():
        assert len(command.short_desc()) > 10, name


def test_the_numbers_on_the_page_are_those_of_the_code() -> None:
    status = sections()["status"]
    for text in (f"the last {RECENT_RUNS}:", f"({RECENT_DAYS} days)", f"{MAX_SWEEPS} at most", f"{EXACT_UP_TO:,}"):
        assert text in status
    assert all(f"`{age}`" in status for age in AGES)
