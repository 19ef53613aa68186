"""An author's videos. They are numbered; new ones appear from day to day, and the plays of each grow for two weeks.

Knows the population; knows no JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from xingtu_crawler.sandbox.population import DAY_SECONDS, DAY_ZERO, Channel, Population, scramble

_SETTLED_AFTER = 14  # days after which the plays of a video no longer change
_BEIJING_S = 28_800
_ARCHIVE = 60  # videos that every author has on day 0
_TITLES = ("今天的记录", "开箱实测", "一口气看完", "新手也能学会", "周末去哪儿", "真实体验", "挑战一下", "你会选哪个")


class Video(NamedTuple):
    """One video on a day, times in Unix seconds.

    As in the API, each list has its own time of the upload and its own count of plays.
    """

    item_id: str
    create_time: int
    """The time in the id, which no list shows exactly."""
    item_create_time: int
    """As `last_10_items` shows it: seconds later."""
    item_publish_time: int
    rec_create_time: int
    """As the recommended videos show it: 8 hours ahead, and up to three minutes later."""
    title: str
    plays: int
    """As `last_10_items` counts them."""
    item_plays: int
    """As `items` of the search counts them: 8 to 17 % lower."""
    rec_plays: int
    """As the recommended videos count them."""
    likes: int
    comments: int
    shares: int
    good: bool


def latest_number(population: Population, index: int, day: int) -> int:
    """Return the number of the author's newest video on `day`."""
    period, phase = population.post_clock(index)
    return _ARCHIVE + ((day + phase) // period if period else 0)


def expected_plays(population: Population, index: int, day: int) -> int:
    """Return the plays that the marketplace expects for the author's next video."""
    share = 0.02 + 0.13 * population.noise(Channel.PLAYS, index, day)
    return max(100, int(population.rank_size(index) * share))


def at(population: Population, index: int, numbers: Iterable[int], day: int) -> list[Video]:
    """Return the author's videos with these numbers, as they are on `day`."""
    clock = population.post_clock(index)
    size = population.rank_size(index)
    return [_video(index, number, day, seed=population.seed, clock=clock, size=size) for number in numbers]


def _video(index: int, number: int, day: int, *, seed: int, clock: tuple[int, int], size: float) -> Video:
    period, phase = clock
    # Authors who have stopped posted their last video three months before day 0.
    posted = (number - _ARCHIVE) * period - phase if period else (number - _ARCHIVE) * 3 - 90
    bits = scramble(seed * 7919 + index * 65_536 + number)
    create_time = DAY_ZERO + posted * DAY_SECONDS + bits % DAY_SECONDS
    final = size * (0.01 + (bits >> 20 & 0xFFFF) / 0xFFFF * 0.2)
    age = min(max(day - posted, 0), _SETTLED_AFTER)
    plays = int(final * (age + 1) / (age + 2))
    likes = plays * (10 + (bits >> 36 & 31)) // 1000
    return Video(
        # As in real ids, the upper half is the creation time. Author and number make the id unique.
        item_id=str(create_time << 32 | index << 12 | number & 0xFFF),
        create_time=create_time,
        item_create_time=create_time + 4 + (bits >> 53) % 56,
        # At the upload, or later on the same day.
        item_publish_time=create_time + (DAY_SECONDS - bits % DAY_SECONDS) // 2
        if bits >> 56 & 7 > 2
        else create_time + 4 + (bits >> 53) % 56,
        rec_create_time=create_time + _BEIJING_S + 3 + (bits >> 50) % 187,
        title=f"{_TITLES[bits >> 41 & 7]} 第{number}期",
        plays=plays,
        item_plays=plays - plays * (80 + (bits >> 57) % 90) // 1000,
        rec_plays=plays + plays * ((bits >> 54) % 30) // 1000,
        likes=likes,
        comments=likes * (bits >> 44 & 15) // 200,
        shares=likes * (bits >> 48 & 15) // 150,
        good=bits >> 52 & 7 == 0,
    )
