"""Verdicts, the table of kinds, and how findings merge."""

from __future__ import annotations

import ast

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources import PACKAGE, calls, texts
from xingtu_crawler import reference
from xingtu_crawler.verdict import KINDS, MAX_EXAMPLES, MEANINGS, Finding, Findings, Verdict, by_severity, judge, worst

ORDER = ["complete", "limited", "capped", "suspicious", "incomplete", "failed"]


def test_the_verdicts_have_an_order() -> None:
    assert [verdict.value for verdict in sorted(Verdict, key=lambda verdict: verdict.rank)] == ORDER
    assert worst([]) is Verdict.COMPLETE
    assert worst([Verdict.CAPPED, Verdict.INCOMPLETE, Verdict.SUSPICIOUS]) is Verdict.INCOMPLETE
    assert [verdict.value for verdict in Verdict if verdict.is_good] == ORDER[:3]
    assert list(MEANINGS) == list(Verdict)


@given(st.sampled_from(Verdict), st.lists(st.sampled_from(Verdict)))
def test_no_finding_makes_a_verdict_better(of_reason: Verdict, severities: list[Verdict]) -> None:
    found = [Finding("coverage", "", severity, "") for severity in severities]
    assert judge(of_reason, found) is worst([of_reason, *severities])


def test_equal_findings_merge() -> None:
    found = Findings()
    found.add("details_failed", "{count} requests", count=1200, example="7", key="base_info x")
    found.add("details_failed", "{count} requests failed", example="8", key="base_info x", advice="Look.")
    found.add("details_failed", "{count} requests", example="9", key="rec_videos x")
    one, other = found
    assert (one.text, one.count, one.examples, one.advice) == ("1,201 requests failed", 1201, ["7", "8"], "Look.")
    assert one.line == "1,201 requests failed (for example 7)"
    assert (one.endpoint, other.endpoint, other.count) == ("base_info", "rec_videos", 1)
    assert other.advice == KINDS["details_failed"].advice


def test_as_many_examples_are_shown_as_fit() -> None:
    found = Findings()
    for star_id in range(100, 200):
        found.add("details_unavailable", "{count} authors", example=str(star_id))
    (only,) = found
    assert only.line == "100 authors (for example 100)"
    assert only.shown(12) == "100 authors (for example 100, 101, 102)"
    assert only.shown(1000).count(",") == MAX_EXAMPLES - 1


def test_merging_keeps_the_worst_severity() -> None:
    found = Findings()
    for severity in (None, Verdict.SUSPICIOUS, None):
        found.add("unknown_fields", "{count}", severity=severity)
    assert [each.severity for each in found] == [Verdict.SUSPICIOUS]


def test_the_most_severe_finding_is_the_first() -> None:
    found = Findings()
    for kind in ("unknown_fields", "details_failed", "search_capped"):
        found.add(kind, kind)
    assert [each.kind for each in by_severity(found)] == ["details_failed", "search_capped", "unknown_fields"]


def test_findings_stay_small_and_can_be_stored() -> None:
    found = Findings()
    for number in range(1000):
        found.add("details_failed", "x" * 5000, example=f"{number}" + "y" * 5000)
    (only,) = found
    assert (only.count, len(only.examples)) == (1000, MAX_EXAMPLES)
    document = only.as_document()
    assert bson.decode(bson.encode(document)) == document
    assert len(bson.encode(document)) < 20_000
    assert document["example"] == document["examples"][0]


def test_a_kind_that_nothing_knows_is_a_defect() -> None:
    with pytest.raises(KeyError):
        Findings().add("unheard of", "x")


def test_every_kind_is_used() -> None:
    elsewhere = [path for path in PACKAGE.rglob("*.py") if path.name != "verdict.py"]
    words = {
        node.value
        for path in elsewhere
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert KINDS.keys() <= words


def test_every_kind_in_use_is_in_the_table() -> None:
    """A set's `add` takes one argument."""
    used = {kind for first, *message in calls({"add"}) if message for kind in texts(first)}
    assert {"spilled", "quarantined", "sampled"} <= used <= KINDS.keys()


def test_every_kind_is_documented() -> None:
    page = reference.findings_page()
    for kind in KINDS:
        assert f"| `{kind}` |" in page


def test_what_the_api_says_stays_in_one_line() -> None:
    findings = Findings()
    for _ in range(2):
        findings.add("unknown_fields", "a field \x1b[31m\nred \ud800名", example="price\r\n" + "x" * 600)
    (found,) = findings
    assert found.text == "a field  [31m red  名"
    assert found.line.isprintable()
    (example,) = found.examples
    assert len(example) == 500
