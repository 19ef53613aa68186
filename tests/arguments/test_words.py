"""The words of a line, as a shell reads them, with the spaces of every keyboard."""

from __future__ import annotations

import shlex
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.arguments.words import split


def texts(line: str) -> list[str]:
    return [word.text for word in split(line)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("keyword=C#程序", ["keyword=C#程序"]),
        ("keyword=C# # language", ["keyword=C#"]),
        ("# gender=MALE", []),
        ("a=1 #b=2", ["a=1"]),
        ("a='#1' \\#b \"#\"", ["a=#1", "#b", "#"]),
        ("a=1\u3000b=2\u00a0c=3\td=4", ["a=1", "b=2", "c=3", "d=4"]),
        ("a='1\u30002'", ["a=1\u30002"]),
        ("\ufeffa=1\u200b", ["a=1\u200b"]),
        ("a='x y'\"z\"", ["a=x yz"]),
        ('a="say \\"hi\\" \\n"', ['a=say "hi" \\n']),
        ("# don't", []),
        ("", []),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert texts(line) == words


@pytest.mark.parametrize("line", ["a='1", 'a="1', "a=1\\", "a=b'c d"])
def test_what_is_unbalanced_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="a quotation mark or a backslash is unbalanced"):
        split(line)


def test_what_is_quoted_is_not_plain() -> None:
    (word,) = split("keyword='a gender=b'c")
    assert word.plain.replace("\0", "") == "keyword=c"


@given(st.text(string.ascii_letters + " '\"\\=\t", max_size=30))
def test_it_reads_as_a_shell_does(line: str) -> None:
    try:
        expected = shlex.split(line)
    except ValueError:
        with pytest.raises(ValueError, match="unbalanced"):
            split(line)
    else:
        assert texts(line) == expected
