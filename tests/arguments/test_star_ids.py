"""Files of author ids: how they are read, and in which words a bad one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refusal
from xingtu_crawler.arguments.star_ids import check_star_ids, parse_star_ids, read_star_ids
from xingtu_crawler.exceptions import ArgumentError


def file_refusal(path: Path) -> str:
    return refusal(check_star_ids, path)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.txt"
    assert file_refusal(missing) == f"{missing} does not exist."
    assert file_refusal(tmp_path) == f"{tmp_path} is a directory: give a text file with one star id per line."
    pipe = Path("/dev/null")
    assert file_refusal(pipe) == f"{pipe} is not a regular file: it is read twice, so write the lines to a file."
    long = tmp_path / ("x" * 300)
    assert file_refusal(long) == f"{long} cannot be read: File name too long."


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", " contains no star id: write one per line."),
        (b"\xef\xbb\xbf# only a comment\n\n , ,\n", " contains no star id: write one per line."),
        ("1\n2\n".encode("utf-16"), " is not UTF-8 text: save it as UTF-8."),
        (b"1\n\nstar_id\n", ", line 3: star_id is not a star id: use 1 to 20 digits, the first one not 0."),
        (b"1\r\n2,x7\r\n", ", line 2: x7 is not a star id: use 1 to 20 digits, the first one not 0."),
        (
            b"1\n6.63E+18",
            ", line 2: 6.63E+18 is an id that a spreadsheet has rounded; export the ids as text.",
        ),
        (
            b"1\n123456789012345678901",
            ", line 2: 123456789012345678901 is not a star id: use 1 to 20 digits, the first one not 0.",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(content)
    assert file_refusal(path) == f"{path}{problem}"


def test_a_file_may_have_a_byte_order_mark_comments_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(b"\xef\xbb\xbf1\r\n\r\n# 7,8\r\n2, 3 ,,1 # four is 4, not wanted\r\n 6629722295873044494,\r\n5")
    assert list(read_star_ids(path)) == ["1", "2", "3", "1", "6629722295873044494", "5"]


def test_a_file_is_read_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("1\n2\nwrong\n", encoding="utf-8")
    ids = read_star_ids(path)
    assert [next(ids), next(ids)] == ["1", "2"]
    with pytest.raises(ArgumentError, match="line 3"):
        next(ids)


def test_a_line_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    ids = [str(6_000_000_000_000_000_000 + n) for n in range(10_000)]
    path.write_text(f"{','.join(ids)}\n7 # {'x' * 100_000}\n8\n", encoding="utf-8")
    assert list(read_star_ids(path)) == [*ids, "7", "8"]
    path.write_text("1\n" + "9" * 300_000, encoding="utf-8")
    assert file_refusal(path).startswith(f"{path}, line 2: 999")
    assert len(file_refusal(path)) < len(str(path)) + 150


ONE, OTHER = "6629722295873044494", "6629722295873044495"


@pytest.mark.parametrize("separator", [",", "，", "、", ";", "；", "\t", "\n", "\r\n", " ; ", ",\t", "，\u3000"])
@pytest.mark.parametrize(
    "around", ["{}", '"{}"', "'{}'", "“{}”", "\ufeff{}", "\u200b{}\u200b", '="{}"', "\u2060{}\u00a0"]
)
def test_ids_are_read_as_people_paste_them(tmp_path: Path, separator: str, around: str) -> None:
    text = separator.join(around.format(each) for each in (ONE, OTHER))
    assert parse_star_ids("star_ids", text) == (ONE, OTHER)
    path = tmp_path / "ids.txt"
    path.write_text(text, encoding="utf-8", newline="")
    assert list(read_star_ids(path)) == [ONE, OTHER]
    assert check_star_ids(path) == 2


ROUNDED = "a spreadsheet or a script that reads ids as numbers has rounded them"


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["6629722295873044000"], "the id ends in 000"),
        (["6629722295873040000", "6629722295873050000"], "2 of 2 ids end in 000"),
        (["6629722295873040000", "6629722295873050000", "123"], "2 of 2 ids end in 000"),
        (["6629722295873040000", "6629722295873050000", "6629722295873060000", ONE], "3 of 4 ids end in 000"),
        (["6629722295873044000", *(str(int(ONE) + at) for at in range(20))], None),
        (["123000", "456000"], None),
        ([ONE], None),
    ],
)
def test_ids_that_a_spreadsheet_has_rounded_are_refused(tmp_path: Path, ids: list[str], words: str | None) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("# ids\n" + "\n".join(ids), encoding="utf-8")
    if words is None:
        assert parse_star_ids("star_ids", ",".join(ids)) == tuple(ids)
        assert check_star_ids(path) == len(ids)
        return
    assert file_refusal(path).startswith(f"{path}, line 2: {words}: ")
    for message in (file_refusal(path), refusal(lambda text: parse_star_ids("star_ids", text), ",".join(ids))):
        assert f"{words}: {ROUNDED}" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("6.8E+18", "is an id that a spreadsheet has rounded"),
        ("6.62972229587304E18", "is an id that a spreadsheet has rounded"),
        ("6629722295873044480.0", "is an id that a spreadsheet has rounded"),
        ("6,629,722,295,873,044,494", "is one id with a comma after every three digits"),
    ],
)
def test_numbers_that_are_no_ids_are_refused_with_the_reason(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "ids.txt"
    path.write_text(f"{ONE}\n{text}\n", encoding="utf-8")
    assert f"line 2: {text} {words}" in file_refusal(path)
    assert words in refusal(lambda value: parse_star_ids("star_ids", value), text)


def test_all_bad_ids_of_an_argument_are_reported_at_once() -> None:
    message = refusal(lambda text: parse_star_ids("star_ids", text), ",".join(f"x{at}" for at in range(25)))
    assert message.count("is not a star id") == 20
    assert message.endswith("x19 is not a star id: use 1 to 20 digits, the first one not 0. And 5 more.")


def test_all_bad_lines_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(f"{ONE},x{at}" for at in range(25)), encoding="utf-8")
    with pytest.raises(ArgumentError) as caught:
        check_star_ids(path)
    first, *lines, last = str(caught.value).splitlines()
    assert first == f"{path}: 25 problems"
    assert [line.split(" is not")[0] for line in lines] == [f"  line {at + 1}: x{at}" for at in range(20)]
    assert last == "  and 5 more"


@given(
    st.lists(st.integers(min_value=1, max_value=10**20 - 1), min_size=1), st.sampled_from(["\n", ",", " ,\n", "\r\n"])
)
def test_a_file_gives_back_its_ids(tmp_path_factory: pytest.TempPathFactory, ids: list[int], separator: str) -> None:
    path = tmp_path_factory.mktemp("ids") / "ids.txt"
    path.write_text(separator.join(map(str, ids)), encoding="utf-8", newline="")
    assert list(read_star_ids(path)) == list(map(str, ids))
