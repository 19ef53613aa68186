"""What a limit and the cap of the search mean."""

from __future__ import annotations

from typing import Any

import pytest

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.items.answers import Stop
from xingtu_crawler.spiders.search_findings import explain_ends, explain_missing
from xingtu_crawler.spiders.sweep import Phase, Sweep
from xingtu_crawler.verdict import Finding, Findings


def sweep(reason: str, seen: int, total: int | None, *, next_page: int | None = None, **filters: str) -> Sweep:
    made = Sweep("s", AuthorQuery.build({"keyword": "x", **filters}))
    made.seen = {str(number): True for number in range(seen)}
    made.extent.total_count = total
    made.stop = Stop(reason, next_page)
    return made


def explained(*sweeps: Sweep, queries: int = 1) -> list[Finding]:
    findings = Findings()
    explain_ends(findings, sweeps, queries=queries, cap=10_000)
    return list(findings)


@pytest.mark.parametrize(
    ("filters", "order"),
    [
        ({}, "those with the most followers first"),
        ({"sort": "FANS"}, "those with the most followers first"),
        ({"sort": "DEFAULT"}, "those that the platform scores highest first"),
        ({"filter.sort": "NEW"}, "in the order sort=NEW"),
    ],
)
def test_a_limit_says_what_it_left_out_and_in_which_order(filters: dict[str, Any], order: str) -> None:
    (found,) = explained(sweep("max_authors", 200, 960, next_page=11, **filters))
    assert (found.kind, found.severity) == ("sampled", "limited")
    assert found.text == f"200 of 960 authors, {order}: not a random sample"


def test_authors_beyond_max_authors_do_not_count() -> None:
    cut = sweep("max_authors", 20, 960, next_page=2)
    cut.seen |= {str(number): False for number in range(10, 20)}
    assert explained(cut)[0].text.startswith("10 of 960 authors")


def test_a_limit_that_leaves_nothing_out_is_no_finding() -> None:
    assert explained(sweep("max_pages", 30, 30)) == []
    assert explained(sweep("max_pages", 30, None)) == []
    assert explained(sweep("no_more_pages", 30, 30)) == []
    assert explained(sweep("max_pages", 30, None, next_page=3)) != []


def test_the_cap_is_named() -> None:
    (found,) = explained(sweep("no_more_pages", 9_990, 10_000))
    assert (found.kind, found.severity) == ("search_capped", "capped")
    assert found.text == "the search shows 10,000 of at least 10,000 authors"
    assert explained(sweep("no_more_pages", 9_990, 9_999)) == []
    assert [each.kind for each in explained(sweep("max_pages", 40, 10_000, next_page=3))] == ["sampled"]
    assert explained(sweep("max_pages", 40, 10_000, next_page=3))[0].text.startswith("40 of at least 10,000 authors")


def test_a_sweep_that_goes_on_has_no_end_to_explain() -> None:
    going_on = sweep("", 40, 10_000)
    going_on.stop = None
    assert explained(going_on) == []


def test_many_queries_are_one_finding() -> None:
    limited, other, capped = (
        sweep("max_pages", 40, 960, next_page=3),
        sweep("max_pages", 40, 400, next_page=3),
        sweep("no_more_pages", 9_990, 10_000),
    )
    found = explained(limited, other, capped, queries=5)
    assert [each.text for each in found] == [
        "2 queries were cut off by max_pages",
        "1 queries find more than 10,000 authors",
        "2 of 5 queries were not read",
    ]
    assert found[0].examples[0].startswith("keyword=x: 40 of 960 authors")


def missing(*sweeps: Sweep) -> list[tuple[str, str, str]]:
    findings = Findings()
    explain_missing(findings, sweeps)
    return [(found.kind, str(found.severity), found.line) for found in findings]


def test_missing_pages_are_named() -> None:
    made = sweep("no_more_pages", 400, 400)
    made.holes = {7, 12}
    assert missing(made) == [
        ("pages_missing", "incomplete", "2 search pages are missing (for example page 7)"),
    ]
    made.phase = Phase.RETRYING  # an interrupted crawl: they may come
    assert missing(made) == []


def test_an_end_that_contradicts_the_count_is_named() -> None:
    assert missing(sweep("no_progress", 80, 400, next_page=5)) == [
        ("search_cut_off", "incomplete", "the search ended before page 5 (no_progress): 80 of 400 authors found"),
    ]
    assert missing(sweep("page_refused", 0, None, next_page=1))[0][2].endswith(
        ": 0 of an unknown number of authors found"
    )


@pytest.mark.parametrize(
    ("seen", "severity"), [(400, None), (399, "complete"), (361, "complete"), (360, "incomplete"), (410, None)]
)
def test_a_tenth_of_the_authors_may_not_be_missing(seen: int, severity: str | None) -> None:
    found = missing(sweep("no_more_pages", seen, 400))
    assert [each[1] for each in found] == ([] if severity is None else [severity])


def test_several_queries_are_named() -> None:
    found = missing(sweep("no_progress", 80, 400, next_page=5), sweep("max_pages", 20, 400, next_page=2, gender="MALE"))
    assert len(found) == 1
    assert "keyword=x" in found[0][2]
