"""The sweeps of one crawl: which authors count, which page is next, when all of it is complete."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.arguments.square import SquareArguments, parse_square
from xingtu_crawler.items.answers import FailedRequest, Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.spiders.first_pages import FirstPages
from xingtu_crawler.spiders.search import MOST_OPEN, Page, Search, comparison
from xingtu_crawler.spiders.sweep import Phase, Received, Sweep
from xingtu_crawler.storage.sweeps import OpenSweep

QUERIES = [AuthorQuery.build({"keyword": f"word {number}"}) for number in range(MOST_OPEN + 2)]


def arguments(**typed: str) -> SquareArguments:
    return parse_square({"keyword": "word", **typed})


def search_with(**typed: str) -> Search:
    return Search(arguments(**typed), has_room=lambda: True)


def page(*star_ids: str, more: bool = True, total: int = 1000) -> SearchPage:
    return SearchPage(None, 20, more, total, [{"star_id": star_id} for star_id in star_ids], {})


def left(next_page: int | None, stop_reason: str | None = None) -> OpenSweep:
    return OpenSweep("left", next_page, (), 1000, stop_reason, datetime(2026, 3, 8, tzinfo=UTC))


def failure(**known: Any) -> FailedRequest:
    usual = {"code": None, "reason": "timeout", "message": "no answer", "request_id": None, "terminal": False}
    at = datetime(2026, 3, 8, tzinfo=UTC)
    return FailedRequest(endpoint="search", attempts=8, failed_at=at, **{**usual, **known})


def numbers(pages: Iterable[Page]) -> list[tuple[str, int, bool]]:
    return [(each.sweep.name, each.number, each.again) for each in pages]


def test_an_author_counts_once_whichever_sweeps_find_it() -> None:
    search = search_with()
    one, two = search.begin("one", QUERIES[0]), search.begin("two", QUERIES[1])
    for sweep in (one, two):
        list(search.next(sweep))
    assert search.read(one, 1, page("1", "2", "2"), again=False) == (Received(None), ["1", "2"])
    assert search.read(two, 1, page("2", "3"), again=False) == (Received(None), ["3"])
    assert search.authors == 3
    assert one.seen == {"1": True, "2": True}
    assert two.seen == {"2": False, "3": True}


class CountedId(str):
    """An id that counts how often it is looked up."""

    __slots__ = ()
    hashed = 0

    def __hash__(self) -> int:
        CountedId.hashed += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


@pytest.mark.parametrize("sweeps", [4, 200])
def test_the_cost_of_an_author_does_not_grow_with_the_number_of_queries(sweeps: int) -> None:
    search = search_with()
    ids = [CountedId(number) for number in range(20)]
    CountedId.hashed = 0
    for number in range(sweeps):
        sweep = search.begin(str(number), QUERIES[0])
        search._take(sweep, sweep.new(ids))
    assert search.authors == 20
    assert CountedId.hashed <= 10 * len(ids) * sweeps


def test_how_many_authors_are_expected() -> None:
    search = search_with(max_pages="3")
    assert search.expected is None
    one, two = search.begin("one", QUERIES[0]), search.begin("two", QUERIES[1])
    list(search.next(one))
    search.read(one, 1, page(*map(str, range(20)), total=45), again=False)
    assert search.expected == 45
    list(search.next(two))
    search.read(two, 1, page(*map(str, range(20)), total=5000), again=False)
    assert search.expected == (45 + 60) // 2  # of one query, as the arguments say
    limited = search_with(max_authors="10")
    sweep = limited.begin("one", QUERIES[0])
    list(limited.next(sweep))
    limited.read(sweep, 1, page("1", total=45), again=False)
    assert limited.expected == 10


def test_authors_beyond_max_authors_are_seen_and_do_not_count() -> None:
    search = search_with(max_authors="2")
    sweep = search.begin("one", QUERIES[0])
    list(search.next(sweep))
    assert search.read(sweep, 1, page("1", "2", "3"), again=False) == (Received(Stop("max_authors", 2)), ["1", "2"])
    assert (search.authors, search.close_reason) == (2, "max_authors")
    assert sweep.seen == {"1": True, "2": True, "3": False}


def test_the_next_page_is_due_when_there_is_room() -> None:
    room = True
    search = Search(arguments(), has_room=lambda: room)
    sweep = search.begin("one", QUERIES[0])
    assert numbers(search.next(sweep)) == [("one", 1, False)]
    room = False
    search.read(sweep, 1, page("1"), again=False)
    assert numbers(search.next(sweep)) == []
    assert numbers(search.due()) == []
    room = True
    assert numbers(search.due()) == [("one", 2, False)]
    assert numbers(search.due()) == []  # it is requested


def test_sweeps_wait_in_turn() -> None:
    room = False
    search = Search(arguments(), has_room=lambda: room)
    for name, query in zip("abc", QUERIES, strict=False):
        assert numbers(search.next(search.begin(name, query))) == []
    room = True
    assert numbers(search.due()) == [("a", 1, False), ("b", 1, False), ("c", 1, False)]


def test_a_sweep_that_waits_ends_when_another_reaches_max_authors() -> None:
    room = True
    search = Search(arguments(max_authors="1"), has_room=lambda: room)
    one, two = search.begin("one", QUERIES[0]), search.begin("two", QUERIES[1])
    list(search.next(one))
    room = False
    list(search.next(two))
    search.read(one, 1, page("1"), again=False)
    list(search.next(one))
    room = True
    assert numbers(search.due()) == []
    assert (two.stop, two.phase) == (Stop("max_authors", 1), Phase.DONE)
    assert search.has_ended_by_limit


def test_holes_are_due_when_paging_has_ended() -> None:
    search = search_with(max_pages="2")
    sweep = search.begin("one", QUERIES[0])
    list(search.next(sweep))
    search.fail(sweep, 1, failure(), again=False)
    assert numbers(search.next(sweep)) == [("one", 2, False)]
    search.read(sweep, 2, page("1"), again=False)
    assert numbers(search.next(sweep)) == [("one", 1, True)]
    search.all_begun()
    assert search.ended() == []
    search.read(sweep, 1, page("2"), again=True)
    assert numbers(search.next(sweep)) == []
    assert search.ended() == [sweep]


async def test_sweeps_begin_while_there_is_a_place() -> None:
    search = search_with(max_pages="1")
    for number in range(MOST_OPEN):
        await asyncio.wait_for(search.wait_for_place(), 5)
        list(search.next(search.begin(str(number), QUERIES[number])))
    waiting = asyncio.create_task(search.wait_for_place())
    await asyncio.sleep(0)
    assert not waiting.done()
    sweep = search.sweeps["0"]
    search.read(sweep, 1, page("1"), again=False)
    assert list(search.next(sweep)) == []
    await asyncio.wait_for(waiting, 5)


def test_all_sweeps_end_together_and_not_before_each_has_begun() -> None:
    search = search_with(max_pages="1")
    one, two = search.begin("one", QUERIES[0]), search.begin("two", QUERIES[1])
    for sweep in (one, two):
        list(search.next(sweep))
        assert search.ended() == []
        search.read(sweep, 1, page("1"), again=False)
        list(search.next(sweep))
    assert search.ended() == []
    search.all_begun()
    assert search.ended() == [one, two]


def test_a_sweep_is_resumed_with_its_authors() -> None:
    search = search_with()
    sweep, taken, goes_on = search.resume(QUERIES[0], left(3), ["1", "2"])
    assert (sweep.name, sweep.next_page, taken, goes_on) == ("left", 3, ["1", "2"], True)
    assert numbers(search.next(sweep)) == [("left", 3, False)]


def test_a_sweep_whose_pages_are_all_read_ends_as_before() -> None:
    search = search_with()
    sweep, taken, goes_on = search.resume(QUERIES[0], left(None, "no_new_author"), ["1"])
    assert (sweep.stop, taken, goes_on) == (Stop("no_new_author"), ["1"], False)
    assert numbers(search.next(sweep)) == []
    assert sweep.phase is Phase.DONE
    assert not sweep.is_empty


@pytest.mark.parametrize(
    ("typed", "found", "keeps_open"),
    [
        ({"max_pages": "2"}, left(6), True),  # 5 pages were read: the interrupted crawl wanted more than 2
        ({"max_authors": "21"}, left(6), True),
        ({"max_pages": "5"}, left(6), False),
        ({"max_pages": "2"}, left(6, "max_pages"), False),  # it was not interrupted
        ({}, left(6), False),
    ],
)
def test_a_smaller_limit_leaves_a_sweep_resumable(typed: dict[str, str], found: OpenSweep, keeps_open: bool) -> None:
    known = [str(number) for number in range(100)]
    assert search_with(**typed).resume(QUERIES[0], found, known).sweep.keeps_open is keeps_open


@pytest.mark.parametrize(
    ("failed", "logged"),
    [
        (failure(), "Could not fetch page 1 (timeout): going on with the next page"),
        (
            failure(code=400, reason="invalid parameters", message="no such tag", terminal=True),
            "The API refuses page 1 of the search (400, no such tag): check the filters",
        ),
        (failure(code=202, reason="no content", terminal=True), None),
        (failure(reason="too_large", terminal=True), "Could not fetch page 1 (too_large): going on with the next page"),
    ],
)
def test_a_lost_page_is_logged_unless_it_is_the_end(
    failed: FailedRequest, logged: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    search = search_with()
    sweep = search.begin("one", QUERIES[0])
    list(search.next(sweep))
    search.fail(sweep, 1, failed, again=False)
    assert caplog.messages == ([logged] if logged else [])
    assert (failed.sweep, failed.page, failed.stop) == ("one", 1, sweep.stop)


def test_a_search_that_is_down_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    search = search_with()
    sweep = search.begin("one", QUERIES[0])
    list(search.next(sweep))
    while sweep.phase is Phase.REQUESTED:
        search.fail(sweep, len(caplog.messages) + 1, failure(), again=False)
        list(search.next(sweep))
    assert caplog.messages[-2:] == [
        "Could not fetch page 3 (timeout): pages_unreadable",
        "The search seems to be down: run the same command later, it resumes at page 1",
    ]


def test_found_and_counted_authors_are_compared() -> None:
    sweep = Sweep("one", QUERIES[0])
    sweep.seen = {"1": True, "2": True}
    sweep.stop, sweep.extent.total_count = Stop("no_more_pages"), 3
    assert comparison(sweep) == "2 distinct authors found, the API counts 3: 1 fewer"
    sweep.extent.total_count = 1
    assert comparison(sweep) == "2 distinct authors found, the API counts 1: 1 more"
    sweep.extent.total_count = 2
    assert comparison(sweep) == "2 distinct authors found, the API counts 2"
    sweep.extent.total_count = 10_000
    assert comparison(sweep) == "2 distinct authors found, the API counts 10000 or more"
    sweep.extent.total_count = None
    assert comparison(sweep) is None


def test_a_plan_requests_page_1_of_each_query_and_leaves_the_sweeps_open(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    search = FirstPages(arguments(max_pages="1", max_authors="1"), has_room=lambda: False)
    one = search.begin("one", QUERIES[0])
    two = search.begin("two", QUERIES[1])
    assert numbers([*search.next(one), *search.next(two)]) == [("one", 1, False), ("two", 1, False)]
    assert search.read(one, 1, page("1", "2"), again=False)[1] == []
    assert numbers(search.next(one)) == []
    search.all_begun()
    assert (search.ended(), search.close_reason, search.authors) == ([], "planned", 0)
    assert caplog.messages == []


@pytest.mark.parametrize(("code", "is_empty"), [(201, True), (400, False), (500, False)])
def test_a_plan_gives_a_failed_page_up_and_ends_a_sweep_without_a_page(code: int, is_empty: bool) -> None:
    search = FirstPages(arguments(), has_room=lambda: True)
    sweep = search.begin("one", QUERIES[0])
    list(search.next(sweep))
    search.fail(sweep, 1, failure(code=code, terminal=code != 500), again=False)
    assert numbers(search.next(sweep)) == []
    assert search.ended() == ([sweep] if is_empty else [])


@given(
    pages=st.lists(st.lists(st.integers(1, 15).map(str), min_size=1, max_size=6), min_size=1, max_size=12),
    limit=st.none() | st.integers(1, 10),
)
def test_every_author_counts_once_up_to_the_limit(pages: list[list[str]], limit: int | None) -> None:
    search = search_with(**({} if limit is None else {"max_authors": str(limit)}))
    sweeps = [search.begin(name, query) for name, query in zip("ab", QUERIES, strict=False)]
    for sweep in sweeps:
        list(search.next(sweep))
    taken: list[str] = []
    shown: list[str] = []
    for turn, star_ids in enumerate(pages):
        sweep = sweeps[turn % 2]
        if sweep.phase is not Phase.REQUESTED:
            continue
        shown += star_ids
        taken += search.read(sweep, turn // 2 + 1, page(*star_ids), again=False)[1]
        list(search.next(sweep))
    assert len(taken) == len(set(taken)) == search.authors
    assert taken == list(dict.fromkeys(shown))[:limit]
