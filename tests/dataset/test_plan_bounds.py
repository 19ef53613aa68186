"""The bounds of missing details, against every possible choice of authors."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.dataset.plan_bounds import WIDEST, Pool, Span, fewest, most

PER_AUTHOR = 4
lacks = st.lists(st.integers(0, PER_AUTHOR), max_size=4)


def choices(pool: Pool, matching: int, reached: int) -> set[int]:
    """Return the missing details of every choice of `reached` among `matching` authors that the pool allows."""
    sums: set[int] = set()
    for others in range(len(pool.possible) + 1):
        strangers = matching - len(pool.certain) - others
        if strangers < 0 or (pool.is_closed and strangers):
            continue
        for chosen in combinations(pool.possible, others):
            authors = [*pool.certain, *chosen, *[PER_AUTHOR] * strangers]
            sums.update(sum(each) for each in combinations(authors, reached))
    return sums


@given(certain=lacks, possible=lacks, more=st.integers(0, 3), left_out=st.integers(0, 3), is_closed=st.booleans())
def test_the_bounds_are_the_least_and_the_most_that_can_be(
    certain: list[int], possible: list[int], more: int, left_out: int, is_closed: bool
) -> None:
    pool = Pool(certain, possible, is_closed)
    matching = len(certain) + (min(more, len(possible)) if is_closed else more)
    reached = max(0, matching - left_out)
    sums = choices(pool, matching, reached)
    assert fewest(pool, matching=matching, reached=reached, per_author=PER_AUTHOR) == min(sums)
    assert most(pool, matching=matching, reached=reached, per_author=PER_AUTHOR) == max(sums)


def test_authors_who_all_match_make_it_exact() -> None:
    pool = Pool([0, 0, 1], [], is_closed=True)
    assert fewest(pool, matching=3, reached=3, per_author=4) == most(pool, matching=3, reached=3, per_author=4) == 1


@pytest.mark.parametrize(("span", "most", "capped"), [((1, 9), 5, (1, 5)), ((7, 9), 5, (5, 5)), ((7, 9), None, (7, 9))])
def test_limits_cap_both_ends(span: tuple[int, int], most: int | None, capped: tuple[int, int]) -> None:
    assert Span(*span).capped(most) == Span(*capped)


@given(low=st.integers(0, 1000), more=st.integers(0, 100_000))
def test_a_range_is_narrowed_from_below(low: int, more: int) -> None:
    span = Span(low, low + more)
    narrowed = span.narrowed()
    assert narrowed.high == span.high
    assert span.low <= narrowed.low <= narrowed.high <= WIDEST * narrowed.low or span.high == 0
    assert narrowed == span or span.is_too_wide
