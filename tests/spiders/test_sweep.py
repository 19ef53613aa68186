"""One pass over one query, page by page: what is requested, and why that ends."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.items.answers import Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.spiders.sweep import MOST_LOST_IN_A_ROW, Lost, Phase, Sweep
from xingtu_crawler.storage.sweeps import OpenSweep

QUERY = AuthorQuery.build({})


def page(number: int, *, total: int | None = 1000, more: bool | None = True, authors: int = 20) -> SearchPage:
    return SearchPage(number, 20, more, total, [{}] * authors, {})


def left(*, next_page: int | None, total: int | None = 1000, holes: tuple[int, ...] = ()) -> OpenSweep:
    """Return a sweep as an earlier crawl has left it."""
    return OpenSweep("q-0", next_page, holes, total, None, datetime(2026, 3, 8, tzinfo=UTC))


def read(
    sweep: Sweep,
    *,
    again: int | None = None,
    new: tuple[str, ...] = ("new",),
    max_authors: int | None = None,
    total: int | None = 1000,
    more: bool | None = True,
    authors: int = 20,
) -> Stop | None:
    """Request a page, unless it is requested `again`, and read it."""
    number = sweep.request() if again is None else again
    got = page(number, total=total, more=more, authors=authors)
    return sweep.read(number, got, new, again=again is not None, max_authors=max_authors)


def lose(sweep: Sweep, *, again: int | None = None, code: int | None = 500, terminal: bool | None = None) -> Lost:
    """Request a page, unless it is requested `again`, and lose it to a code."""
    number = sweep.request() if again is None else again
    is_terminal = code in {201, 202, 400, 404} if terminal is None else terminal
    return sweep.lose(number, code=code, terminal=is_terminal, again=again is not None, max_authors=None)


def test_pages_are_requested_one_after_the_other() -> None:
    sweep = Sweep("q-1", QUERY)
    assert read(sweep) is None
    assert (sweep.phase, sweep.next_page) == (Phase.READY, 2)
    assert sweep.request() == 2
    assert (sweep.phase, sweep.next_page) == (Phase.REQUESTED, None)


def test_a_lost_page_is_requested_once_more_at_the_end() -> None:
    sweep = Sweep("q-1", QUERY, max_pages=3)
    read(sweep)
    assert lose(sweep) == (False, True, None)
    assert read(sweep) == Stop("max_pages", 4)
    phases = [sweep.phase]
    assert sweep.retry_holes() == [2]
    phases.append(sweep.phase)
    assert lose(sweep, again=2) == (False, False, None)
    assert [*phases, sweep.phase] == [Phase.ENDED, Phase.RETRYING, Phase.DONE]
    assert (sweep.holes, sweep.was_cut_off) == ({2}, False)


def test_a_hole_that_is_read_is_none_any_more() -> None:
    sweep = Sweep("q-1", QUERY, max_pages=3)
    for lost in (True, True, False):
        lose(sweep) if lost else read(sweep)
    assert sweep.retry_holes() == [1, 2]
    assert read(sweep, again=2) is None
    assert sweep.phase is Phase.RETRYING
    assert read(sweep, again=1) is None
    assert (sweep.phase, sweep.holes, sweep.pages_read) == (Phase.DONE, set(), 3)


def test_without_holes_a_sweep_is_done_when_paging_ends() -> None:
    sweep = Sweep("q-1", QUERY)
    assert read(sweep, more=False) == Stop("no_more_pages")
    assert sweep.retry_holes() == []
    assert sweep.phase is Phase.DONE


def test_a_limit_counts_lost_pages_too() -> None:
    sweep = Sweep("q-1", QUERY, max_pages=2)
    lose(sweep)
    assert lose(sweep) == (False, True, Stop("max_pages", 3))


def test_a_search_that_is_down_is_resumed_at_the_first_page_that_failed() -> None:
    sweep = Sweep("q-1", QUERY)
    for lost in (True, False, *[True] * MOST_LOST_IN_A_ROW):
        lose(sweep) if lost else read(sweep)
    assert sweep.stop == Stop("pages_unreadable", 3)
    assert (sweep.retry_holes(), sweep.holes, sweep.was_cut_off) == ([], {1}, True)
    assert sweep.phase is Phase.DONE


def test_no_content_is_the_end_at_the_end_and_a_hole_before() -> None:
    sweep = Sweep("q-1", QUERY)
    assert lose(sweep, code=201) == (True, False, Stop("empty_page"))
    assert sweep.is_empty
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=61)
    assert lose(sweep, code=201) == (False, True, None)
    assert lose(sweep, code=202) == (False, True, None)
    assert lose(sweep, code=202) == (True, False, Stop("empty_page"))
    assert not sweep.is_empty
    assert sweep.retry_holes() == [2, 3]


def test_a_refusal_ends_paging_and_is_a_success_at_the_end_only() -> None:
    sweep = Sweep("q-1", QUERY)
    assert lose(sweep, code=400) == (False, False, Stop("page_refused", 1))
    assert sweep.was_cut_off
    assert not sweep.is_empty
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=40)
    assert lose(sweep, code=404) == (True, False, Stop("page_refused"))
    assert not sweep.was_cut_off


@pytest.mark.parametrize("total", [10_000, 25_000])
def test_page_500_is_the_last_however_many_authors_the_api_counts(total: int) -> None:
    """The search shows 10,000 authors; `total_count` may be larger."""
    for code, lost in (
        (201, Lost(True, False, Stop("empty_page"))),
        (400, Lost(True, False, Stop("page_refused"))),
        (500, Lost(False, True, Stop("no_more_pages"))),
    ):
        sweep = Sweep("q-1", QUERY, found=left(next_page=500, total=total))
        assert lose(sweep, code=code) == lost
        sweep = Sweep("q-1", QUERY, found=left(next_page=499, total=total))
        assert lose(sweep, code=code).stop != lost.stop


def test_an_unreadable_page_is_not_requested_again() -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep)
    assert lose(sweep, code=None, terminal=True) == (True, False, None)
    assert (sweep.holes, sweep.next_page) == (set(), 3)


def test_a_limit_that_is_reached_on_the_last_page_leaves_no_page_to_go_on_with() -> None:
    sweep = Sweep("q-1", QUERY)
    assert read(sweep, more=False, max_authors=1) == Stop("max_authors")
    assert not sweep.was_cut_off


@pytest.mark.parametrize(
    ("authors", "more", "stop"),
    [
        (20, None, None),
        (19, None, Stop("no_more_pages")),
        (19, True, None),
        (20, False, Stop("no_more_pages")),
        (0, True, Stop("empty_page")),
        (0, None, Stop("empty_page")),
    ],
)
def test_without_has_more_only_a_page_that_is_not_full_is_the_last(
    authors: int, more: bool | None, stop: Stop | None
) -> None:
    sweep = Sweep("q-1", QUERY)
    assert read(sweep, authors=authors, more=more) == stop
    assert sweep.next_page == (2 if stop is None else None)


def test_a_page_without_a_new_author_is_the_end_unless_the_ranking_may_have_shifted() -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep)
    assert read(sweep, new=()) == Stop("no_new_author")
    sweep = Sweep("q-0", QUERY, found=left(next_page=7))
    assert read(sweep, new=()) is None
    assert read(sweep, new=()) == Stop("no_new_author")
    sweep = Sweep("q-0", QUERY, found=left(next_page=7))
    assert read(sweep, new=(), more=False) == Stop("no_new_author")


def test_a_limit_can_end_paging_before_the_next_page() -> None:
    sweep = Sweep("q-0", QUERY, max_pages=6, found=left(next_page=7, holes=(2,)))
    assert sweep.end_at_limit(max_authors=None) == Stop("max_pages", 7)
    assert (sweep.phase, sweep.next_page) == (Phase.ENDED, None)
    assert sweep.retry_holes() == [2]
    sweep = Sweep("q-0", QUERY, max_pages=7, found=left(next_page=7))
    assert sweep.end_at_limit(max_authors=None) is None
    assert sweep.end_at_limit(max_authors=20) == Stop("max_authors", 7)


def test_fewer_compares_with_the_count_of_the_api_where_that_means_something() -> None:
    for total, stop, fewer in (
        (50, Stop("no_more_pages"), 10),
        (30, Stop("no_new_author"), -10),
        (50, Stop("max_pages", 3), None),
        (50, Stop("pages_unreadable", 3), None),
        (10_000, Stop("no_more_pages"), None),
        (None, Stop("no_more_pages"), None),
    ):
        sweep = Sweep("q-1", QUERY)
        sweep.seen = {str(number): True for number in range(40)}
        sweep.total_count, sweep.stop = total, stop
        assert sweep.fewer == fewer


@given(outcomes=st.lists(st.sampled_from(["read", "500", "201", "404"]), max_size=40), max_pages=st.integers(1, 30))
def test_paging_always_ends_and_accounts_for_every_page(outcomes: list[str], max_pages: int) -> None:
    sweep = Sweep("q-1", QUERY, max_pages=max_pages)
    there, requested = set(), []
    for outcome in [*outcomes, *["read"] * max_pages]:
        if sweep.stop is not None:
            break
        requested.append(sweep.next_page)
        if outcome == "read":
            there.add(sweep.next_page)
            read(sweep)
        else:
            lose(sweep, code=int(outcome))
    assert sweep.stop is not None
    assert requested == list(range(1, len(requested) + 1))
    assert len(requested) <= max_pages
    end = sweep.stop.next_page
    until = len(requested) if end is None else end - 1
    # Each page is read, missing, the empty one at the end, or behind the place where the next crawl goes on.
    gone = {requested[-1]} if sweep.stop.reason == "empty_page" else set()
    assert there | sweep.holes | gone >= set(range(1, until + 1))
    assert not there & sweep.holes
    for number in sweep.retry_holes():
        lose(sweep, again=number)
    assert sweep.phase is Phase.DONE
