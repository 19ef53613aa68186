"""One pass over one query, page by page: what is asked, and why that ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.items.answers import Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.spiders.sweep import MOST_LOST_IN_A_ROW, Sweep

QUERY = AuthorQuery.build({})


def page(number: int, *, total: int | None = 1000, more: bool = True, authors: int = 20) -> SearchPage:
    return SearchPage(number, 20, more, total, [{}] * authors, {})


def read(sweep: Sweep, *, again: int | None = None, max_authors: int | None = None, total: int = 1000) -> Stop | None:
    number = sweep.ask() if again is None else again
    return sweep.read(number, page(number, total=total), ["new"], again=again is not None, max_authors=max_authors)


def lose(sweep: Sweep, *, again: int | None = None, code: int | None = 500) -> tuple[bool, bool, Stop | None]:
    number = sweep.ask() if again is None else again
    terminal = code in {201, 202, 400, 404}
    return sweep.lose(number, code=code, terminal=terminal, again=again is not None, max_authors=None)


def test_pages_are_asked_one_after_the_other() -> None:
    sweep = Sweep("q-1", QUERY)
    assert read(sweep) is None
    assert sweep.next_page == 2
    assert sweep.ask() == 2
    assert sweep.next_page is None
    assert not sweep.is_done


def test_a_page_that_is_lost_is_tried_again_at_the_end_and_once() -> None:
    sweep = Sweep("q-1", QUERY, max_pages=3)
    read(sweep)
    assert lose(sweep) == (False, True, None)
    assert read(sweep) == Stop("max_pages", 4)
    assert sweep.has_just_ended
    assert sweep.ask_again() == [2]
    assert (sweep.has_just_ended, sweep.is_done) == (False, False)
    assert lose(sweep, again=2) == (False, False, None)
    assert (sweep.is_done, sweep.holes, sweep.was_cut_off) == (True, {2}, False)


def test_a_limit_is_a_limit_for_lost_pages_too() -> None:
    sweep = Sweep("q-1", QUERY, max_pages=2)
    lose(sweep)
    assert lose(sweep) == (False, True, Stop("max_pages", 3))


def test_a_search_that_is_down_is_left_at_the_first_page_that_was_not_had() -> None:
    sweep = Sweep("q-1", QUERY)
    for lost in (True, False, *[True] * MOST_LOST_IN_A_ROW):
        lose(sweep) if lost else read(sweep)
    assert sweep.stop == Stop("pages_unreadable", 3)
    assert (sweep.ask_again(), sweep.holes, sweep.was_cut_off, sweep.is_done) == ([], {1}, True, True)


def test_no_content_ends_where_the_count_does_and_is_a_hole_before() -> None:
    sweep = Sweep("q-1", QUERY)
    assert lose(sweep, code=201) == (True, False, Stop("empty_page"))
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=61)
    assert lose(sweep, code=201) == (False, True, None)
    assert lose(sweep, code=202) == (False, True, None)
    assert lose(sweep, code=202) == (True, False, Stop("empty_page"))
    assert sweep.ask_again() == [2, 3]


def test_a_refusal_ends_paging_and_is_no_success_before_the_end() -> None:
    sweep = Sweep("q-1", QUERY)
    assert lose(sweep, code=400) == (False, False, Stop("page_refused", 1))
    assert sweep.was_cut_off
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=40)
    assert lose(sweep, code=404) == (True, False, Stop("page_refused"))
    assert not sweep.was_cut_off


def test_what_nobody_can_read_is_not_tried_again() -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep)
    assert sweep.lose(sweep.ask(), code=None, terminal=True, again=False, max_authors=None) == (True, False, None)
    assert (sweep.holes, sweep.next_page) == (set(), 3)


def test_a_limit_that_is_reached_at_the_last_page_leaves_none() -> None:
    sweep = Sweep("q-1", QUERY)
    number = sweep.ask()
    assert sweep.read(number, page(number, more=False), ["new"], again=False, max_authors=1) == Stop("max_authors")
    assert not sweep.was_cut_off


def test_how_many_fewer_is_said_where_it_can_be() -> None:
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
def test_whatever_comes_paging_ends_and_no_page_is_forgotten(outcomes: list[str], max_pages: int) -> None:
    sweep = Sweep("q-1", QUERY, max_pages=max_pages)
    there, asked = set(), []
    for outcome in [*outcomes, *["read"] * max_pages]:
        if sweep.stop is not None:
            break
        asked.append(sweep.next_page)
        if outcome == "read":
            there.add(sweep.next_page)
            read(sweep)
        else:
            lose(sweep, code=int(outcome))
    assert sweep.stop is not None
    assert asked == list(range(1, len(asked) + 1))
    assert len(asked) <= max_pages
    end = sweep.stop.next_page
    until = len(asked) if end is None else end - 1
    # Page by page: read, missing, or behind the place where somebody else goes on.
    gone = {asked[-1]} if sweep.stop.reason == "empty_page" else set()
    assert there | sweep.holes | gone >= set(range(1, until + 1))
    assert not there & sweep.holes
