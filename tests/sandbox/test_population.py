"""The synthetic population: deterministic, with a skewed distribution that changes from day to day."""

from __future__ import annotations

from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.sandbox import prices, videos
from xingtu_crawler.sandbox.population import Population

POPULATION = Population(seed=1, size=2_000)


@given(seed=st.integers(0, 2**63), size=st.integers(1, 1_000_000), data=st.data())
def test_star_ids_are_invertible_and_in_range(seed: int, size: int, data: st.DataObject) -> None:
    population = Population(seed=seed, size=size)
    index = data.draw(st.integers(0, size - 1))
    star_id = population.star_id(index)
    assert len(star_id) == 19
    assert 6_600_000_000_000_000_000 <= int(star_id) < 7_600_000_000_000_000_000
    assert population.index_of(star_id) == index


@given(st.text())
def test_an_id_without_an_author_has_no_index(star_id: str) -> None:
    index = POPULATION.index_of(star_id)
    assert index is None or POPULATION.star_id(index) == star_id


def test_the_author_after_the_last_does_not_exist() -> None:
    assert POPULATION.index_of(POPULATION.star_id(1_999)) == 1_999
    assert POPULATION.index_of(POPULATION.star_id(2_000)) is None


@given(size=st.integers(1, 1_000_000), day=st.integers(0, 3_000), data=st.data())
def test_order_by_followers_is_order_by_index_on_every_day(size: int, day: int, data: st.DataObject) -> None:
    population = Population(seed=3, size=size)
    first = data.draw(st.integers(0, size - 1))
    followers = [population.followers(i, day) for i in range(first, min(size, first + 50))]
    assert followers == sorted(followers, reverse=True)
    assert followers[-1] >= 10_000


def test_followers_are_heavy_tailed() -> None:
    followers = [POPULATION.followers(i, 0) for i in range(POPULATION.size)]
    assert 2 <= sum(count > 50_000_000 for count in followers) <= 6
    assert 150_000 < median(followers) < 250_000


def test_the_same_seed_gives_the_same_authors_and_another_seed_others() -> None:
    assert [POPULATION.author(i) for i in range(50)] == [Population(seed=1, size=2_000).author(i) for i in range(50)]
    other = Population(seed=2, size=2_000)
    assert not {POPULATION.star_id(i) for i in range(2_000)} & {other.star_id(i) for i in range(2_000)}


def test_an_author_does_not_depend_on_the_size_of_the_population() -> None:
    assert POPULATION.author(77) == Population(seed=1, size=78).author(77)


def test_some_authors_change_from_day_to_day_and_some_do_not() -> None:
    def changed(value: object) -> int:
        assert callable(value)
        return sum(value(i, 5) != value(i, 6) for i in range(1_000))

    assert 300 < changed(POPULATION.followers) < 800
    assert 200 < changed(lambda i, day: videos.expected_plays(POPULATION, i, day)) < 700
    assert 200 < changed(lambda i, day: videos.latest_number(POPULATION, i, day)) < 700
    assert 1 < changed(lambda i, day: prices.price(POPULATION, i, day, 2)) < 50
