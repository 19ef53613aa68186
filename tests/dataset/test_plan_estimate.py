"""The estimate of a crawl: the paging rules against a walk page by page, and several queries together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.dataset.plan_bounds import Span
from xingtu_crawler.dataset.plan_estimate import NO_MATCH, Estimate, Place, SquareLimits, together

NO_LIMITS = SquareLimits(None, None, 4)


def walk(total: int, done: int, limits: SquareLimits) -> tuple[int, int]:
    """Return (pages read, authors in the end) of a crawl that goes on behind page `done`, page by page."""
    reachable = min(total, 10_000)
    most = limits.max_authors if limits.max_authors is not None else 10**9
    authors, pages, page = min(reachable, done * 20), 0, done
    while not (authors >= most or (limits.max_pages is not None and page >= limits.max_pages)):
        page += 1
        pages += 1
        authors = min(reachable, page * 20)
        if page * 20 >= reachable:
            break
    return pages, min(authors, most)


limit = st.none() | st.integers(1, 700)


@given(
    total=st.integers(0, 12_000),
    done=st.integers(0, 30),
    max_pages=limit,
    max_authors=st.none() | st.integers(1, 12_000),
)
def test_the_number_of_pages_is_exact(total: int, done: int, max_pages: int | None, max_authors: int | None) -> None:
    limits = SquareLimits(max_pages, max_authors, 4)
    place = Place(next_page=done + 1, holes=0, known=min(total, done * 20, 10_000))
    assert tuple(place.ahead(total, limits)) == walk(total, done, limits)


def test_holes_are_read_too() -> None:
    assert tuple(Place(None, holes=2, known=60).ahead(100, NO_LIMITS)) == (2, 100)
    assert tuple(Place(4, holes=1, known=40).ahead(100, NO_LIMITS)) == (3, 100)


def query(**filters: str) -> AuthorQuery:
    return AuthorQuery.build(filters)


ONE = Estimate("exact", Span(40, 40), Span(2, 2), Span(160, 160), 4, ("one",))
TWO = Estimate("estimate", Span(60, 60), Span(3, 3), Span(200, 220), 40, ("two",))


def test_queries_that_may_share_authors_count_once_in_the_low_end() -> None:
    queries = [query(keyword="a"), query(keyword="b")]
    assert together(queries[:1], [ONE], NO_LIMITS) is ONE
    both = together(queries, [ONE, TWO], NO_LIMITS)
    assert (both.basis, both.authors, both.search, both.details) == (
        "estimate",
        Span(60, 100),
        Span(5, 5),
        Span(200, 380),
    )
    assert both.fresh == 44


def test_queries_that_share_no_author_add_up() -> None:
    queries = [query(gender="MALE"), query(gender="FEMALE")]
    assert together(queries, [ONE, TWO], NO_LIMITS).details == Span(360, 380)
    few = together(queries, [ONE, TWO], SquareLimits(None, 50, 4))
    assert (few.authors, few.details) == (Span(50, 50), Span(200, 200))


def test_queries_without_authors_are_named() -> None:
    nothing = Estimate.of_nothing(pages=1)
    assert nothing.notes == (NO_MATCH,)
    assert "No author matches 1 of them." in together([query(), query(gender="MALE")], [ONE, nothing], NO_LIMITS).notes
