"""What users can type, set or read is documented; what is documented is there."""

from __future__ import annotations

import re

from harness import ROOT

from xingtu_crawler import settings
from xingtu_crawler.outcome import DONE, NEXT_STEP
from xingtu_crawler.spiders.arguments import AUTHORS_ARGUMENTS, SQUARE_ARGUMENTS, Argument
from xingtu_crawler.storage import collections

README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "xingtu_crawler").rglob("*.py"))


def _table(arguments: tuple[Argument, ...]) -> str:
    rows = (f"| `{a.name}` | {f'`{a.default}`' if a.default else ''} | {a.meaning} |" for a in arguments)
    return "\n".join(rows)


def test_the_readme_has_every_spider_argument() -> None:
    assert _table(SQUARE_ARGUMENTS) in README
    assert _table(AUTHORS_ARGUMENTS) in README


def test_the_settings_page_has_every_setting_and_no_other() -> None:
    own = {name for name in vars(settings) if re.match(r"(JUSTONEAPI|MONGO|XINGTU)_", name)}
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
    assert own <= documented
    assert all(name in own or hasattr(settings, name) for name in documented)


def test_the_defaults_on_the_settings_page_are_the_defaults() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for name, default in re.findall(r"^\| `([A-Z_]+)` \| `([^`]*)` \|", page, re.MULTILINE):
        assert str(getattr(settings, name)) == default, name


def test_the_readme_has_every_close_reason_and_no_other() -> None:
    part = README.split("## How a crawl ends")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) == DONE | set(NEXT_STEP)


def test_no_other_close_reason_is_used() -> None:
    used = set(re.findall(r"\.close\(\"(\w+)\"\)", SOURCES)) | set(re.findall(r"refusal\(.*, \"(\w+)\"\)", SOURCES))
    assert used
    assert used <= DONE | set(NEXT_STEP)


def test_the_readme_and_the_codebook_have_every_collection() -> None:
    names = set(collections.indexes()) | {collections.DAILY_CALLS}
    part = README.split("## What is stored where")[1].split("\n## ")[0]
    assert names == {name for name in re.findall(r"`(\w+)`", part.split("The [codebook]")[0]) if name.islower()}
    assert names == {path.stem for path in (ROOT / "docs" / "codebook").glob("*.md")} - {"README"}


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
