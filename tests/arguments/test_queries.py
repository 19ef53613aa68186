"""Files of queries: what a line means, and how all bad lines are reported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.refusals import refusal
from xingtu_crawler.arguments import values
from xingtu_crawler.arguments.square import parse_square
from xingtu_crawler.arguments.wording import nearest
from xingtu_crawler.exceptions import ArgumentError


def queries(tmp_path: Path, text: str) -> list[dict[str, str]]:
    path = tmp_path / "queries.txt"
    path.write_text(text, encoding="utf-8")
    return [query.filters for query in parse_square({"queries_file": str(path)}).queries]


def file_refusal(tmp_path: Path, text: str) -> str:
    path = tmp_path / "queries.txt"
    path.write_text(text, encoding="utf-8")
    return refusal(parse_square, {"queries_file": str(path)}).removeprefix(f"{path}, ")


def test_a_line_is_read_as_it_was_meant(tmp_path: Path) -> None:
    text = (
        "\ufeffkeyword=C#程序 # a language\n"
        "keyword=美食\u3000gender=FEMALE\u00a0sort=FANS\n"
        "keyword='a gender=MALE'\n"
        "filter.newOne=1 keyword=x\n"
    )
    assert queries(tmp_path, text) == [
        {"keyword": "C#程序"},
        {"gender": "FEMALE", "keyword": "美食", "sort": "FANS"},
        {"keyword": "a gender=MALE"},
        {"keyword": "x", "newOne": "1"},
    ]


@pytest.mark.parametrize(
    "line", ["keyword=美食gender=FEMALE", "keyword=美食,gender=FEMALE", "keyword=美食；gender＝FEMALE"]
)
def test_a_missing_separator_is_refused_with_a_hint(tmp_path: Path, line: str) -> None:
    message = file_refusal(tmp_path, line)
    assert message.startswith(f"line 1: {line}: the value contains gender=. Write a space before gender=")


@pytest.mark.parametrize("name", ["max_cost", "sample", "split"])
def test_an_unknown_name_is_refused(tmp_path: Path, name: str) -> None:
    message = file_refusal(tmp_path, f"keyword=美食 {name}=50")
    assert message.startswith(f"line 1: Unknown argument {name}=: ")
    assert message.endswith(f"To send it as a search filter anyway, write filter.{name}=VALUE.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gender=FEMALE gender=MALE\n", "line 1: gender= is given twice."),
        ("gender=FEMALE\n# x\ngender=女性\n", "line 3: this repeats the query of line 1."),
        ("gender=FEMALE\ngender=5\n", "line 2: gender=5: 5 is not a value of gender; it must be one of MALE, FEMALE."),
    ],
)
def test_one_bad_line_is_reported_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    assert file_refusal(tmp_path, text) == message


def test_a_file_without_a_query_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "queries.txt"
    assert file_refusal(tmp_path, "# nothing\n\n") == (
        f"{path} contains no query: write one per line, for example keyword=美食."
    )


def test_all_bad_lines_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "queries.txt"
    lines = [f"keyword=美食{at}" if at % 2 else f"nonsense_{at}=1" for at in range(50)]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ArgumentError) as caught:
        parse_square({"queries_file": str(path)})
    first, *shown, last = str(caught.value).splitlines()
    assert first == f"{path}: 25 problems"
    assert [line.partition(":")[0] for line in shown] == [f"  line {at + 1}" for at in range(0, 40, 2)]
    assert last == "  and 5 more"


def test_hundreds_of_lines_with_unlisted_labels_compare_each_label_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0

    def counting(text: str, candidates: Iterable[str], *, likeness: float = 0.6) -> str | None:
        nonlocal compared
        compared += 1
        return nearest(text, candidates, likeness=likeness)

    monkeypatch.setattr(values, "nearest", counting)
    lines = [f"keyword=k{at} location=某市{at % 4} content_tag=天文{at % 3}" for at in range(400)]
    assert len(queries(tmp_path, "\n".join(lines))) == 400
    assert compared <= 7
