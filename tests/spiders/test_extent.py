"""The size of a search that may contradict itself."""

from __future__ import annotations

import pytest

from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.spiders.extent import MORE_PAGES, Extent, Position


def page(*, authors: int = 20, total: int | None = 400, limit: int | None = None) -> SearchPage:
    return SearchPage(None, limit, None, total, [{}] * authors, {})


def extent(*pages: SearchPage, cap: int = 10_000) -> Extent:
    found = Extent(cap=cap)
    for each in pages:
        found.note(each)
    return found


@pytest.mark.parametrize(
    ("pages", "size"),
    [
        ([], 20),
        ([page(authors=0, limit=50)], 50),
        ([page(authors=50, limit=50)], 50),
        ([page(authors=10, limit=50)], 10),  # pages hold fewer than the search says
        ([page(authors=10), page(authors=20)], 20),
        ([page(authors=20), page(authors=7)], 20),
        ([page(authors=0, limit=0)], 20),
        ([page(authors=0, limit=-5)], 20),
    ],
)
def test_the_size_of_a_page_is_what_pages_hold_or_else_what_they_say(pages: list[SearchPage], size: int) -> None:
    assert extent(*pages).page_size == size


@pytest.mark.parametrize(
    ("totals", "total"),
    [
        ([400, None], 400),
        ([400, 0], 400),
        ([400, -1], 400),
        ([400, 380], 380),  # by a page at most
        ([400, 20], 400),  # the number of authors of this page
        ([4000, 3700], 3700),  # by a tenth at most
        ([20, 400], 400),
        ([0, 0], None),
    ],
)
def test_a_count_that_falls_suddenly_is_not_believed(totals: list[int | None], total: int | None) -> None:
    assert extent(*(page(total=each) for each in totals)).total_count == total


def test_an_empty_page_may_count_no_author() -> None:
    assert extent(page(authors=0, total=0)).total_count == 0
    assert extent(page(total=400), page(authors=0, total=0)).total_count == 400


@pytest.mark.parametrize(
    ("total", "size", "cap", "pages"),
    [(400, 20, 10_000, 20), (401, 20, 10_000, 21), (400, 50, 10_000, 8), (25_000, 20, 10_000, 500), (400, 20, 100, 5)],
)
def test_pages_are_bounded_by_the_count_and_the_cap(total: int, size: int, cap: int, pages: int) -> None:
    found = extent(page(authors=size, total=total), cap=cap)
    assert (found.pages, found.most_pages, found.is_capped) == (pages, pages + MORE_PAGES, total >= cap)
    assert found.position(pages, found=size) is Position.BEFORE_THE_END
    assert found.position(pages + 1, found=size) is Position.BEHIND_THE_END


def test_without_a_count_the_cap_bounds_the_pages_and_no_position_is_known() -> None:
    found = extent(page(total=None))
    assert (found.pages, found.position(7, found=120)) == (500, Position.UNKNOWN)


def test_a_count_that_is_smaller_than_what_was_found_says_nothing() -> None:
    found = extent(page(total=20))
    assert (found.shown(20), found.position(2, found=20)) == (20, Position.BEHIND_THE_END)
    assert (found.shown(40), found.position(3, found=40)) == (None, Position.UNKNOWN)


def test_when_all_authors_are_found_every_page_is_behind_the_end() -> None:
    assert extent(page(total=400)).position(5, found=400) is Position.BEHIND_THE_END
