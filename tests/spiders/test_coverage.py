"""How many authors are complete."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.spiders.coverage import Coverage
from xingtu_crawler.storage.claims import DetailKey


def coverage() -> tuple[Coverage, list[int]]:
    counted = list[int]()
    return Coverage(lambda _what, count: counted.append(count)), counted


def details(*star_ids: str) -> list[DetailKey]:
    return [DetailKey(endpoint, star_id, "SHORT_VIDEO") for star_id in star_ids for endpoint in ("base_info", "videos")]


def test_an_author_is_complete_when_the_last_detail_is_there() -> None:
    made, counted = coverage()
    made.expect(["1", "2", "3"], details("1", "2"))
    assert (made.authors, made.complete) == (3, 1)  # of 3 nothing is missing
    made.settle("1", is_settled=True)
    made.settle("2", is_settled=True)
    assert made.complete == 1
    made.settle("1", is_settled=True)
    assert (made.complete, counted) == (2, [1, 1])


def test_an_author_with_a_failed_request_is_not() -> None:
    made, _ = coverage()
    made.expect(["1"], details("1"))
    made.settle("1", is_settled=False)
    made.settle("1", is_settled=True)
    made.settle("1", is_settled=True)  # of another crawl, or twice
    assert (made.authors, made.complete) == (1, 0)
    made.expect(["1"], [])  # listed again: what has failed in this run is not claimed again
    assert (made.authors, made.complete) == (1, 0)


def test_an_author_who_is_listed_again_counts_once_while_requests_are_open() -> None:
    made, _ = coverage()
    made.expect(["1", "1"], details("1"))
    made.expect(["1"], [])
    assert (made.authors, made.complete) == (1, 0)


def test_refusals_that_settle_nothing_leave_their_authors_incomplete() -> None:
    made, counted = coverage()
    made.expect(["1", "2", "3", "4"], details("1", "2", "3"))
    for star_id, is_refused in (("1", True), ("1", True), ("2", False), ("2", False), ("3", True)):
        made.settle(star_id, is_settled=True, is_refused=is_refused)
    assert made.complete == 3
    made.reopen(["1", "2", "3", "a stranger"])
    assert (made.complete, sum(counted)) == (2, 2)  # of 3 another request is open, of 2 none was refused
    made.reopen(["1"])
    made.settle("3", is_settled=True)
    assert (made.complete, made.authors) == (2, 4)


@given(st.lists(st.tuples(st.sampled_from("12345"), st.booleans()), max_size=30))
def test_never_more_authors_are_complete_than_there_are(ends: list[tuple[str, bool]]) -> None:
    made, _ = coverage()
    made.expect(list("12345"), details(*"1234"))
    for star_id, is_settled in ends:
        made.settle(star_id, is_settled=is_settled, is_refused=is_settled)
        assert 1 <= made.complete <= made.authors == 5
    made.reopen("12345")
    assert made.complete == 1
