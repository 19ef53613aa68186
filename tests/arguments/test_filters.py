"""The table of filters is consistent in itself, and docs/search-filters.md says what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from xingtu_crawler.arguments.filters import BY_ARGUMENT, FILTERS, Filter, Kind, Source, find
from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.arguments.wording import folded

PAGE = Path(__file__).parents[2] / "docs" / "search-filters.md"
FEW = 3


def values_cell(filter_: Filter) -> str:
    if filter_.labels:
        return f"[labels](#{filter_.argument})"
    if len(filter_.codes) > FEW:
        return f"[codes](#{filter_.argument})"
    return ", ".join(f"`{code}`" for code in filter_.codes) or filter_.kind.value


def row(filter_: Filter) -> str:
    default = "" if filter_.default is None else f"`{filter_.default}`" if filter_.default else "empty"
    cells = (
        f"`{filter_.argument}`",
        f"`{filter_.name}`",
        filter_.meaning,
        values_cell(filter_),
        f"`{filter_.argument}={filter_.example}`",
        default,
        filter_.source.value,
    )
    return f"| {' | '.join(cells)} |"


def section(filter_: Filter) -> str:
    """The section that lists the values of one filter; empty for those that fit into the table."""
    lines = [f"### {filter_.argument}", ""]
    if filter_.labels:
        lines += ["| heading | labels |", "|---|---|"]
        lines += [f"| {heading} | {', '.join(labels)} |" for heading, labels in filter_.labels.items()]
    elif any(filter_.codes.values()) or len(filter_.codes) > FEW:
        lines += ["| code | aliases |", "|---|---|"]
        lines += [f"| `{code}` | {', '.join(aliases)} |" for code, aliases in filter_.codes.items()]
    else:
        return ""
    return "\n".join(lines)


@pytest.mark.parametrize("filter_", FILTERS.values(), ids=FILTERS)
def test_the_page_says_what_the_table_says(filter_: Filter) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert row(filter_) in text.splitlines()
    assert section(filter_) in text


def test_the_page_lists_nothing_else() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert sum(line.count("=") > 0 and line.startswith("| `") for line in lines) == len(FILTERS)
    headings = [line.removeprefix("### ") for line in lines if line.startswith("### ")]
    assert headings == [filter_.argument for filter_ in FILTERS.values() if section(filter_)]


def test_the_six_of_the_documentation_page_come_first() -> None:
    page = [filter_.name for filter_ in FILTERS.values() if filter_.source is Source.PAGE]
    assert page == ["keyword", "searchType", "followerRange", "kolPriceType", "kolPriceRange", "contentTag"]
    assert list(FILTERS)[:6] == page
    assert len(FILTERS) == 27
    assert not {"token", "page"} & {*FILTERS, *BY_ARGUMENT}


def test_argument_names_are_the_api_names_in_snake_case() -> None:
    assert FILTERS["kolPriceType"].argument == "kol_price_type"
    assert FILTERS["isSuperstar"].argument == "is_superstar"
    assert FILTERS["sort"].argument == "sort"
    assert all(find(filter_.argument) is find(filter_.name) is filter_ for filter_ in FILTERS.values())
    assert find("followerrange") is None


@pytest.mark.parametrize("filter_", FILTERS.values(), ids=FILTERS)
def test_examples_and_defaults_are_valid_and_canonical(filter_: Filter) -> None:
    needed = {"kol_price_type": "VIDEO_21_60S"} if filter_.name == "kolPriceRange" else {}
    query = AuthorQuery.build({filter_.argument: filter_.example, **needed})
    assert query.warnings == ()
    value = query.filters[filter_.name]
    if filter_.kind in {Kind.LABELS, Kind.CODES}:
        assert sorted(value.split(",")) == sorted(filter_.example.split(","))
    else:
        assert value == filter_.example
    assert not filter_.codes or filter_.default is None or filter_.default in filter_.codes


@pytest.mark.parametrize("filter_", [f for f in FILTERS.values() if f.codes], ids=lambda f: f.name)
def test_every_alias_means_one_code(filter_: Filter) -> None:
    meanings: dict[str, set[str]] = {}
    for typed, value in filter_.known.items():
        meanings.setdefault(folded(typed), set()).add(value)
    assert all(len(values) == 1 for values in meanings.values())


def test_documented_aliases() -> None:
    aliases = {
        ("gender", "1"): "MALE",
        ("gender", "女性"): "FEMALE",
        ("marketingTarget", "破圈种草"): "CIRCLE_SEEDING",
        ("industry", "不限"): "ALL",
        ("industry", "1901"): "ELECTRONICS_AND_APPLIANCES",
        ("industry", "运动户外"): "SPORTS_OUTDOOR",
        ("authorList", "7591708652957155378"): "SHORT_DRAMA_ACTORS",
        ("authorList", "美妆质感达人"): "BEAUTY_QUALITY_CREATORS",
        ("fansImage", "精致妈妈"): "CROWD_REFINED_MOTHER",
        ("isSuperstar", "yes"): "true",
    }
    for (name, typed), code in aliases.items():
        assert FILTERS[name].known[typed] == code


def test_all_three_generations_of_price_types_are_documented() -> None:
    codes = FILTERS["kolPriceType"].codes
    assert {"视频21_60s", "抖音短视频共创_主投稿达人", "VIDEO_21_60S", "CELEBRITY_VIDEO", "CUSTOM_VIDEO"} <= set(codes)
    assert "PRODUCT_PLACEMENT_VIDEO" in codes
    assert len(codes) == 28


def test_labels_of_both_levels_count_where_the_api_takes_both() -> None:
    assert {"美妆", "美妆教程", "舞蹈"} <= set(FILTERS["contentTag"].known)
    assert "妆容妆造" not in FILTERS["contentTheme"].known
    assert "淡妆教程" in FILTERS["contentTheme"].known
    assert "新疆维吾尔自治区" in FILTERS["location"].known
