"""Tables in 80 columns: words stay whole, wide characters count twice."""

from __future__ import annotations

from io import StringIO

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from xingtu_crawler.dataset.fitting import FittingTable, narrowest, wrapped

RUNS = ("began (UTC)", "spider", "ended", "verdict", "calls", "authors", "seconds")


def runs(*ended: str, verdict: str = "incomplete", calls: str = "12,345") -> FittingTable:
    rows = [("2026-12-01 01:28", "author_square", each, verdict, calls, "10,000", "1,234.5") for each in ended]
    return FittingTable("Last runs", RUNS, rows, numbers_from=4, wraps=RUNS[:1], optional=("seconds", "spider"))


def lines(table: FittingTable, width: int = 80) -> list[str]:
    page = StringIO()
    Console(file=page, width=width).print(table, crop=False)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def test_a_table_that_fits_has_all_columns_in_one_line_each() -> None:
    shown = lines(runs("finished", verdict="complete"))
    assert shown[1].split() == ["began", "(UTC)", *RUNS[1:]]
    assert " ".join(shown[3].split()) == "2026-12-01 01:28 author_square finished complete 12,345 10,000 1,234.5"
    assert len(shown) == 5


def test_numbers_are_aligned_to_the_right() -> None:
    rows = [("a", "1"), ("b", "1,234")]
    assert lines(FittingTable("Calls", ("day", "calls"), rows, numbers_from=1))[3:5] == ["a        1", "b    1,234"]


def test_columns_are_left_out_before_a_word_breaks() -> None:
    for ended in ("storage_unavailable", "closespider_pagecount_no_item"):
        for calls in ("7", "1,234,567"):
            shown = lines(runs("finished", ended, calls=calls))
            assert max(map(cell_len, shown)) <= 80
            text = "\n".join(shown)
            for word in (ended, "incomplete", "verdict", calls, "2026-12-01", "01:28"):
                assert word in text


def test_wide_characters_count_twice_and_may_be_broken_anywhere() -> None:
    query = "keyword=" + "美食" * 60 + " contentTag=美妆,穿搭 followerRange=10-1000"
    rows = [("2026-12-01 01:28", query, "5", "10,000 or more")]
    table = FittingTable("", ("began", "query", "pages", "of"), rows, numbers_from=2, wraps=("query", "began"))
    shown = lines(table)
    assert max(map(cell_len, shown)) <= 80
    assert any("followerRange=10-1000" in line for line in shown)
    assert "".join(shown).replace(" ", "").count("美食") >= 60 - len(shown)


@given(st.text(alphabet="ab美ー \u3000,=_😀", max_size=200), st.integers(min_value=1, max_value=60))
def test_wrapping_loses_nothing_and_breaks_no_word(text: str, width: int) -> None:
    found = wrapped(text, width)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert max(map(cell_len, found)) <= max(width, narrowest(text))
    for word in text.split():
        if word.isascii() and len(word) <= 40:
            assert any(word in line for line in found)
