"""Files of author ids: how they are read, and in which words a bad one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refusal
from xingtu_crawler.arguments.star_ids import check_star_ids, read_star_ids
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


@given(
    st.lists(st.integers(min_value=1, max_value=10**20 - 1), min_size=1), st.sampled_from(["\n", ",", " ,\n", "\r\n"])
)
def test_a_file_gives_back_its_ids(tmp_path_factory: pytest.TempPathFactory, ids: list[int], separator: str) -> None:
    path = tmp_path_factory.mktemp("ids") / "ids.txt"
    path.write_text(separator.join(map(str, ids)), encoding="utf-8", newline="")
    assert list(read_star_ids(path)) == list(map(str, ids))
