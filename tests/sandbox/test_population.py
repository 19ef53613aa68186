"""The synthetic population: deterministic, skewed, drifting, invertible."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.sandbox import prices, videos
from xingtu_crawler.sandbox.population import DAY_SECONDS, DAY_ZERO, Population

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
def test_an_id_that_nobody_has_is_nobody(star_id: str) -> None:
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


def test_who_an_author_is_does_not_depend_on_the_size_of_the_population() -> None:
    assert POPULATION.author(77) == Population(seed=1, size=78).author(77)


def test_from_day_to_day_some_authors_change_and_some_do_not() -> None:
    def changed(value: object) -> int:
        assert callable(value)
        return sum(value(i, 5) != value(i, 6) for i in range(1_000))

    assert 300 < changed(POPULATION.followers) < 800
    assert 200 < changed(lambda i, day: videos.expected_plays(POPULATION, i, day)) < 700
    assert 200 < changed(lambda i, day: videos.latest_number(POPULATION, i, day)) < 700
    assert 1 < changed(lambda i, day: prices.price(POPULATION, i, day, 2)) < 50


def test_prices_follow_followers_with_noise() -> None:
    offered = [prices.price(POPULATION, i, 0, 2) for i in range(2_000)]
    top = [amount for amount in offered[:200] if amount is not None]
    bottom = [amount for amount in offered[-200:] if amount is not None]
    assert median(top) > 10 * median(bottom)
    assert any(later > earlier for earlier, later in pairwise(top))
    assert all(amount % 100 == 0 and amount >= 200 for amount in top + bottom)
    assert 0.08 < offered.count(None) / 2_000 < 0.17


def test_half_of_the_authors_have_the_newer_rate_card() -> None:
    cards = [prices.card(POPULATION, i) for i in range(2_000) if POPULATION.priced(i)]
    newer = [card for card in cards if 150 in card]
    assert 0.4 < len(newer) / len(cards) < 0.6
    assert all(1 not in card and 151 in card and card[2] != prices.OLD_CARD[2] for card in newer)


@given(index=st.integers(0, 1_999), day=st.integers(0, 400))
def test_videos_are_older_than_the_day_and_their_ids_tell_their_age(index: int, day: int) -> None:
    newest = videos.latest_number(POPULATION, index, day)
    found = videos.at(POPULATION, index, range(newest, newest - 20, -1), day)
    times = [video.create_time for video in found]
    assert times == sorted(times, reverse=True)
    assert times[0] < DAY_ZERO + (day + 1) * DAY_SECONDS
    assert all(int(video.item_id) >> 32 == video.create_time for video in found)
    assert len({video.item_id for video in found}) == 20


@given(index=st.integers(0, 1_999), day=st.integers(0, 100))
def test_plays_of_a_video_never_fall(index: int, day: int) -> None:
    newest = videos.latest_number(POPULATION, index, day)
    today, tomorrow = (videos.at(POPULATION, index, [newest], when)[0] for when in (day, day + 1))
    assert today.item_id == tomorrow.item_id
    assert today.plays <= tomorrow.plays


def test_item_ids_are_unique_among_authors() -> None:
    ids = [video.item_id for i in range(500) for video in videos.at(POPULATION, i, range(50, 61), 0)]
    assert len(set(ids)) == len(ids)
