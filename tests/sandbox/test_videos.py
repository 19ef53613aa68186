"""The synthetic videos."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.sandbox import videos
from xingtu_crawler.sandbox.population import DAY_SECONDS, DAY_ZERO, Population

POPULATION = Population(seed=1, size=2_000)


@given(index=st.integers(0, 1_999), day=st.integers(0, 400))
def test_videos_are_older_than_the_day_and_their_ids_contain_their_time(index: int, day: int) -> None:
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
    assert today.rec_plays <= tomorrow.rec_plays


@given(index=st.integers(0, 1_999), day=st.integers(0, 100))
def test_lists_have_their_own_times_and_counts(index: int, day: int) -> None:
    for video in videos.at(POPULATION, index, range(40, 61), day):
        assert 4 <= video.item_create_time - video.create_time <= 59
        assert 3 <= video.rec_create_time - video.create_time - 8 * 3600 <= 189
        assert video.create_time < video.item_publish_time < video.create_time + DAY_SECONDS
        assert video.item_plays <= video.plays <= video.rec_plays
        assert video.item_plays >= 0.82 * video.plays


def test_item_ids_are_unique_among_authors() -> None:
    ids = [video.item_id for i in range(500) for video in videos.at(POPULATION, i, range(50, 61), 0)]
    assert len(set(ids)) == len(ids)
