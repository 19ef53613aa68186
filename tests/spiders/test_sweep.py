"""One pass over one query, page by page: what is requested, and why that ends."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.items.answers import Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.spiders.sweep import MOST_IDLE_IN_A_ROW, Lost, Phase, Received, Sweep
from xingtu_crawler.storage.sweeps import OpenSweep

QUERY = AuthorQuery.build({})


def page(number: int, *, total: int | None = 1000, more: bool | None = True, authors: int = 20) -> SearchPage:
    return SearchPage(number, 20, more, total, [{}] * authors, {})


def left(
    *,
    next_page: int | None,
    total: int | None = 1000,
    holes: tuple[int, ...] = (),
    stop_reason: str | None = None,
) -> OpenSweep:
    """Return a sweep as an earlier crawl has left it."""
    return OpenSweep("q-0", next_page, holes, total, stop_reason, datetime(2026, 3, 8, tzinfo=UTC), 20)


def read(
    sweep: Sweep,
    *,
    again: int | None = None,
    new: tuple[str, ...] = ("new",),
    max_authors: int | None = None,
    total: int | None = 1000,
    more: bool | None = True,
    authors: int = 20,
) -> Received:
    """Request a page, unless it is requested `again`, and read it."""
    number = sweep.request() if again is None else again
    got = page(number, total=total, more=more, authors=authors)
    sweep.seen |= dict.fromkeys((f"{number}-{each}" for each in new), True)
    return sweep.read(number, got, new, again=again is not None, max_authors=max_authors)


def empty(sweep: Sweep, *, again: int | None = None, total: int | None = 1000, more: bool | None = None) -> Received:
    """Request a page and read that it is empty."""
    return read(sweep, again=again, new=(), total=total, more=more, authors=0)


def lose(sweep: Sweep, *, again: int | None = None, code: int | None = 500, terminal: bool | None = None) -> Lost:
    """Request a page, unless it is requested `again`, and lose it to a code."""
    number = sweep.request() if again is None else again
    is_terminal = code in {201, 202, 400, 404} if terminal is None else terminal
    return sweep.lose(number, code=code, terminal=is_terminal, again=again is not None, max_authors=None)


def going_on(hole: bool = False) -> Received:
    """Return the result of a page that another follows."""
    return Received(None, hole)


def ended(reason: str, next_page: int | None = None, *, hole: bool = False, void_from: int | None = None) -> Received:
    """Return the result of a page that ends paging."""
    return Received(Stop(reason, next_page, void_from), hole)


def test_pages_are_requested_one_after_the_other() -> None:
    sweep = Sweep("q-1", QUERY)
    assert read(sweep) == going_on()
    assert (sweep.phase, sweep.next_page) == (Phase.READY, 2)
    assert sweep.request() == 2
    assert (sweep.phase, sweep.next_page) == (Phase.REQUESTED, None)


def test_a_lost_page_is_requested_once_more_at_the_end() -> None:
    sweep = Sweep("q-1", QUERY, max_pages=3)
    read(sweep)
    assert lose(sweep) == (False, True, None)
    assert read(sweep) == ended("max_pages", 4)
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
    assert read(sweep, again=2) == going_on()
    assert sweep.phase is Phase.RETRYING
    assert read(sweep, again=1) == going_on()
    assert (sweep.phase, sweep.holes, sweep.pages_read) == (Phase.DONE, set(), 3)


def test_a_sweep_that_is_left_open_in_the_middle_of_its_retries_takes_the_others() -> None:
    """The search has failed too often, or its tokens are used up: the next crawl requests what is missing."""
    sweep = Sweep("q-1", QUERY, max_pages=3)
    for lost in (True, True, False):
        lose(sweep) if lost else read(sweep)
    assert sweep.retry_holes() == [1, 2]
    sweep.leave_open()
    read(sweep, again=2)
    assert (sweep.phase, sweep.holes) == (Phase.DONE, {1})


def test_a_sweep_that_is_left_open_stays_open() -> None:
    sweep = Sweep("q-1", QUERY)
    sweep.request()
    sweep.leave_open()
    assert (sweep.phase, sweep.next_page, sweep.is_left_open) == (Phase.DONE, None, True)


def test_without_holes_a_sweep_is_done_when_paging_ends() -> None:
    sweep = Sweep("q-1", QUERY)
    assert read(sweep, more=False, total=20) == ended("no_more_pages")
    assert sweep.retry_holes() == []
    assert sweep.phase is Phase.DONE


def test_a_limit_counts_lost_pages_too() -> None:
    sweep = Sweep("q-1", QUERY, max_pages=2)
    lose(sweep)
    assert lose(sweep) == (False, True, Stop("max_pages", 3))


def test_a_search_that_is_down_is_resumed_at_the_first_page_that_failed() -> None:
    sweep = Sweep("q-1", QUERY)
    for lost in (True, False, *[True] * MOST_IDLE_IN_A_ROW):
        lose(sweep) if lost else read(sweep)
    assert sweep.stop == Stop("pages_unreadable", 3)
    assert (sweep.retry_holes(), sweep.holes, sweep.was_cut_off) == ([], {1}, True)
    assert sweep.phase is Phase.DONE


def test_no_content_is_a_hole_before_the_end_and_the_end_behind_it() -> None:
    sweep = Sweep("q-1", QUERY)
    assert lose(sweep, code=201) == (True, False, Stop("empty_page"))
    assert sweep.is_empty
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=60)
    assert lose(sweep, code=201) == (False, True, None)
    assert lose(sweep, code=202) == (False, True, None)
    assert lose(sweep, code=202) == (True, False, Stop("empty_page"))
    assert not sweep.is_empty
    assert sweep.retry_holes() == [2, 3]


@pytest.mark.parametrize("total", [None, 0])
def test_an_empty_page_1_is_a_query_without_authors(total: int | None) -> None:
    sweep = Sweep("q-1", QUERY)
    assert empty(sweep, total=total, more=False) == ended("empty_page")
    assert sweep.is_empty


@pytest.mark.parametrize(("total", "more"), [(60, True), (60, False), (60, None), (None, True)])
def test_an_empty_page_1_is_a_hole_if_it_says_that_there_is_more(total: int | None, more: bool | None) -> None:
    sweep = Sweep("q-1", QUERY)
    assert empty(sweep, total=total, more=more) == going_on(hole=True)
    assert sweep.next_page == 2
    for _ in range(2):
        read(sweep, total=60)
    assert empty(sweep, total=60) == ended("empty_page")
    assert not sweep.is_empty
    assert sweep.retry_holes() == [1]
    assert empty(sweep, again=1) == going_on(hole=True)
    assert sweep.holes == {1}


def test_the_query_is_refused_where_page_1_is() -> None:
    sweep = Sweep("q-1", QUERY)
    assert lose(sweep, code=400) == (False, False, Stop("page_refused", 1))
    assert sweep.was_cut_off
    assert not sweep.is_empty


def test_a_refused_page_is_a_hole() -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=80)
    assert lose(sweep, code=404) == (False, True, None)
    read(sweep, total=80)
    assert sweep.next_page == 4


def test_refusals_behind_the_end_are_the_end_after_three() -> None:
    """One may be a failure, whatever `total_count` says: it may be the number of authors of one page."""
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=20)
    assert lose(sweep, code=404) == (False, True, None)
    assert lose(sweep, code=400) == (False, True, None)
    assert lose(sweep, code=404) == (True, False, Stop("page_refused", void_from=2))
    assert (sweep.holes, sweep.is_left_open, sweep.retry_holes()) == (set(), False, [])


def test_refusals_before_the_end_cut_paging_off_after_three() -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep)
    lose(sweep, code=400)
    lose(sweep, code=400)
    assert lose(sweep, code=400) == (False, False, Stop("page_refused", 2))
    assert sweep.was_cut_off


@pytest.mark.parametrize("total", [0, 20, 400, None])
@pytest.mark.parametrize(("code", "terminal"), [(500, False), (404, True), (None, True), (777, False)])
def test_a_failed_page_never_ends_paging_by_itself(total: int | None, code: int | None, terminal: bool) -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=total)
    assert lose(sweep, code=code, terminal=terminal).stop is None
    assert read(sweep, total=total) == going_on()
    assert 2 in sweep.holes


@pytest.mark.parametrize("total", [10_000, 25_000])
def test_page_500_is_the_last_however_many_authors_the_api_counts(total: int) -> None:
    """The search shows 10,000 authors; `total_count` may be larger."""
    sweep = Sweep("q-1", QUERY, found=left(next_page=500, total=total))
    assert read(sweep, more=True, total=total) == going_on()
    assert empty(sweep, total=total, more=True) == ended("empty_page")
    sweep = Sweep("q-1", QUERY, found=left(next_page=500, total=total))
    assert read(sweep, more=False, total=total) == ended("no_more_pages")
    sweep = Sweep("q-1", QUERY, found=left(next_page=500, total=total))
    assert empty(sweep, total=total) == going_on(hole=True)


def test_an_unreadable_page_is_a_hole_and_left_to_the_next_crawl() -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=60)
    assert lose(sweep, code=None, terminal=True) == (False, False, None)
    assert (sweep.holes, sweep.next_page) == ({2}, 3)
    read(sweep, total=60, more=False)
    assert (sweep.retry_holes(), sweep.phase) == ([], Phase.DONE)


def test_a_limit_that_is_reached_on_the_last_page_leaves_no_page_to_go_on_with() -> None:
    sweep = Sweep("q-1", QUERY)
    assert read(sweep, more=False, total=20, max_authors=1) == ended("max_authors")
    assert not sweep.was_cut_off


@pytest.mark.parametrize("size", [10, 20, 50])
@pytest.mark.parametrize("more", [None, True])
def test_behind_the_last_page_by_count_one_more_page_is_requested(size: int, more: bool | None) -> None:
    sweep = Sweep("q-1", QUERY)
    for _ in range(3):
        assert read(sweep, total=3 * size, authors=size, more=more) == going_on()
    assert empty(sweep, total=3 * size) == ended("empty_page")
    assert not sweep.is_left_open


@pytest.mark.parametrize(("total", "stop"), [(None, "no_more_pages"), (60, "no_more_pages"), (80, None)])
def test_a_last_page_is_believed_unless_the_search_counts_more(total: int | None, stop: str | None) -> None:
    sweep = Sweep("q-1", QUERY)
    for _ in range(2):
        read(sweep, total=total)
    assert read(sweep, total=total, more=False) == (going_on() if stop is None else ended(stop))
    assert sweep.holes == set()


def test_every_page_may_say_that_it_is_the_last() -> None:
    sweep = Sweep("q-1", QUERY)
    for _ in range(19):
        assert read(sweep, total=400, more=False) == going_on()
    assert read(sweep, total=400, more=False) == ended("no_more_pages")
    assert (sweep.holes, sweep.retry_holes()) == (set(), [])


def test_a_last_page_and_two_empty_ones_are_requested_once_more() -> None:
    sweep = Sweep("q-1", QUERY)
    requested = []
    while sweep.stop is None:
        requested.append(sweep.next_page)
        if len(requested) in {1, 4}:
            read(sweep, total=400, more=False)
        else:
            empty(sweep, total=400)
    assert requested == [1, 2, 3, 1, 2, 3]
    assert sweep.stop == Stop("no_progress", 1)
    assert sweep.is_left_open


def test_the_echoed_page_number_does_not_matter() -> None:
    sweep = Sweep("q-1", QUERY)
    for echoed in (0, 1, 1, None, 7):
        got = SearchPage(echoed, 20, True, 1000, [{}] * 20, {})
        assert sweep.read(sweep.request(), got, ["new"], again=False, max_authors=None) == going_on()


def test_a_search_that_ignores_the_page_is_given_up_soon() -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=400)
    requested = []
    while sweep.stop is None:
        requested.append(sweep.next_page)
        assert read(sweep, total=400, new=()).is_hole
    assert requested == [2, 3, 4, 2, 3, 4]  # once more: they may have been the same by mistake
    assert sweep.stop == Stop("no_progress", 2)
    assert (sweep.is_left_open, sweep.retry_holes()) == (True, [])


@pytest.mark.parametrize("total", [400, None])
def test_empty_pages_that_never_end_are_given_up_soon(total: int | None) -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=total)
    pages = 1
    while sweep.stop is None:
        pages += 1
        empty(sweep, total=total, more=True)
    assert pages == 7
    assert sweep.is_left_open


def test_without_any_count_three_empty_pages_are_the_end() -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=None, more=None)
    assert empty(sweep, total=None) == going_on(hole=True)
    assert empty(sweep, total=None) == going_on(hole=True)
    assert empty(sweep, total=None) == ended("empty_page", void_from=2)
    assert (sweep.is_left_open, sweep.holes) == (False, set())


def test_a_row_that_comes_the_second_time_is_read() -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=160)
    for _ in range(3):
        empty(sweep, total=160)
    assert sweep.next_page == 2
    for number in range(2, 8):
        assert read(sweep, total=160, new=(str(number),)) == going_on()
    assert read(sweep, total=160, more=False) == ended("no_more_pages")
    assert (sweep.holes, sweep.is_left_open) == (set(), False)


def test_an_endless_search_ends_ten_pages_behind_its_count() -> None:
    sweep = Sweep("q-1", QUERY)
    pages = 0
    while sweep.stop is None:
        pages += 1
        read(sweep, total=100, new=(str(pages),))
    assert (pages, sweep.stop) == (15, Stop("too_many_pages", 16))
    assert sweep.is_left_open
    # The next crawl goes on behind them.
    sweep = Sweep("q-1", QUERY, found=left(next_page=16, total=100))
    assert read(sweep, total=100) == going_on()


def test_a_page_without_a_new_author_is_a_hole_unless_the_ranking_may_have_shifted() -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep)
    assert read(sweep, new=()) == going_on(hole=True)
    sweep = Sweep("q-0", QUERY, found=left(next_page=7))
    assert read(sweep, new=()) == going_on()
    assert read(sweep, new=()) == going_on(hole=True)
    for stuck in (left(next_page=7, holes=(6,)), left(next_page=7, stop_reason="no_progress")):
        sweep = Sweep("q-0", QUERY, found=stuck)
        assert read(sweep, new=()) == going_on(hole=True)


def test_a_page_behind_the_end_may_repeat_the_last_one() -> None:
    sweep = Sweep("q-1", QUERY)
    read(sweep, total=20)
    assert read(sweep, total=20, new=()) == ended("no_new_author")


def test_a_hole_needs_new_authors() -> None:
    sweep = Sweep("q-1", QUERY, max_pages=3)
    read(sweep)
    read(sweep, new=())
    read(sweep)
    assert sweep.retry_holes() == [2]
    assert read(sweep, again=2, new=()) == going_on(hole=True)
    assert sweep.holes == {2}


def test_short_pages_are_requested_once_more_if_authors_are_missing() -> None:
    sweep = Sweep("q-1", QUERY)
    for authors in (20, 15, 20):
        read(sweep, total=60, authors=authors, more=authors is None)
    assert sweep.stop == Stop("no_more_pages")
    assert sweep.retry_holes() == [2]
    assert read(sweep, again=2, new=()) == going_on()
    assert (sweep.phase, sweep.holes) == (Phase.DONE, set())


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
        sweep.extent.total_count, sweep.stop = total, stop
        assert sweep.fewer == fewer
