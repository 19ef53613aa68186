"""What a limit and the cap of the search mean."""

from __future__ import annotations

from typing import Any

import pytest

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.items.answers import Stop
from xingtu_crawler.spiders.search_findings import explain_ends
from xingtu_crawler.spiders.sweep import Sweep
from xingtu_crawler.verdict import Finding, Findings


def sweep(reason: str, seen: int, total: int | None, *, next_page: int | None = None, **filters: str) -> Sweep:
    made = Sweep("s", AuthorQuery.build({"keyword": "x", **filters}))
    made.seen = {str(number): True for number in range(seen)}
    made.total_count = total
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
