"""Unknown fields and values that did not fit: by endpoint, path and count, with examples."""

from __future__ import annotations

from typing import Any

import pytest

from xingtu_crawler.extensions.misfits import Misfits
from xingtu_crawler.items.parsing import Parsed
from xingtu_crawler.verdict import MAX_EXAMPLES, Finding, Findings, Verdict


def parsed(*unknown: str, **unparsed: Any) -> Parsed:
    misfits = {path.replace("__", "."): {"raw": raw, "error": "not a number"} for path, raw in unparsed.items()}
    return Parsed({}, misfits, list(unknown))


def reported(*answers: Parsed, others: int = 0) -> list[Finding]:
    misfits, findings = Misfits(), Findings()
    for number, each in enumerate([*answers, *[parsed()] * others]):
        misfits.count("base_info", each, star_id=str(number))
    misfits.report(findings)
    return list(findings)


def test_answers_that_fit_are_no_finding() -> None:
    assert reported(others=50) == []


@pytest.mark.parametrize(
    ("others", "severity"), [(10, Verdict.COMPLETE), (9, Verdict.SUSPICIOUS), (0, Verdict.SUSPICIOUS)]
)
def test_from_a_tenth_of_the_answers_on_a_run_is_suspicious(others: int, severity: Verdict) -> None:
    (unknown,) = reported(parsed("new"), others=others)
    assert (unknown.kind, unknown.severity, unknown.count) == ("unknown_fields", severity, 1)
    (misfit,) = reported(parsed(price="abc"), others=others)
    assert (misfit.kind, misfit.severity, misfit.count) == ("unparsed_values", severity, 1)


def test_a_finding_names_endpoint_path_count_and_example() -> None:
    (found,) = reported(parsed("a", "b[].c"), parsed("a"), others=98)
    assert found.line == (
        "2 of 100 answers of base_info have fields that no model names: a (2), b[].c (1) (for example a of 0)"
    )
    assert found.endpoint == "base_info"


def test_an_index_is_no_part_of_a_path() -> None:
    (found,) = reported(parsed(info__3__price="x" * 500, info__7__price="y"), others=9)
    assert found.text == ("1 of 10 answers of base_info have values that do not fit their type: info[].price (1)")
    assert found.examples == [f"info.3.price = {'x' * 60} of 0"]
    assert str(found.advice).startswith("List them: scrapy find author_base_info --filter ")


def test_raw_values_are_in_one_line_without_control_characters() -> None:
    (found,) = reported(parsed(price="1\n\x1b[31m2"))
    assert found.examples[0].isprintable()


def test_a_level_of_a_further_category_is_no_unknown_field() -> None:
    assert reported(parsed("attribute_datas.author_level_food")) == []
    assert reported(parsed("attribute_datas.author_level_food", "attribute_datas.author_grade")) != []


def test_many_paths_stay_few_examples() -> None:
    (found,) = reported(parsed(*(f"field{number}" for number in range(100))))
    assert len(found.examples) == MAX_EXAMPLES
    assert found.text.endswith("field2 (1) and 97 more")
    assert found.count == 1
