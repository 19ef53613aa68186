"""The synthetic authors: each is a function of (seed, size, index, day) and is computed on demand.

There is no list of authors, only columns of one byte per author for the filters of the search. Knows no JSON.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import IntEnum

from xingtu_crawler.sandbox.vocabulary import LOOK_SLOTS, NOUNS, TAG_SLOTS, LookSlot, TagSlot

DAY_ZERO = 1_772_928_000
"""The Unix time at which day 0 begins (2026-03-08 UTC)."""
DAY_SECONDS = 86_400
MAX_AUTHORS = 1_000_000

_ID_BASE, _ID_SPAN = 6_600_000_000_000_000_000, 10**18
_ID_STRIDE = 618_033_988_749_894_847  # coprime with the span, so index -> id can be inverted
_ID_STRIDE_INVERSE = pow(_ID_STRIDE, -1, _ID_SPAN)
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


class Channel(IntEnum):
    """The values that change from day to day, each at its own pace."""

    FOLLOWERS = 0
    PLAYS = 1
    PRICES = 2
    POSTS = 3


# Days between two changes for the sixteen kinds of authors of each channel; 0: never.
_PERIODS = {
    Channel.FOLLOWERS: (1, 1, 1, 1, 2, 2, 3, 3, 5, 5, 8, 8, 0, 0, 0, 0),
    Channel.PLAYS: (1, 1, 2, 2, 3, 3, 5, 5, 7, 7, 9, 9, 0, 0, 0, 0),
    Channel.PRICES: (20, 45, 60, 90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    Channel.POSTS: (1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 7, 10, 14, 30, 0, 0),
}


def scramble(value: int) -> int:
    """Return 64 well-mixed bits of `value` (the finaliser of splitmix64)."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


@dataclass(frozen=True, slots=True)
class Author:
    """The values of an author that never change."""

    index: int
    star_id: str
    nick_name: str
    tags: TagSlot
    themes: tuple[str, ...]
    look: LookSlot
    new_card: bool
    priced: bool
    quirk: int
    """64 bits that decide the remaining details, for example which optional fields the author has."""


class Population:
    """Up to a million authors, ranked by followers: index 0 has the most.

    `seed` chooses the population, `size` how many authors it has (1 to 1,000,000).
    """

    def __init__(self, *, seed: int, size: int) -> None:
        self.seed = seed
        self.size = size
        self._base = scramble(seed * _GOLDEN + 1)
        self._channels = [scramble(self._base + channel + 1) for channel in Channel]
        self._id_offset = scramble(self._base + 99) % _ID_SPAN
        self._exponent = math.log(8e7 * 0.5 / 190_000) / math.log(size / 10 + 1)
        # One byte per author and trait. The bytes of an author do not depend on the size.
        self.tag_column, self.look_column, self.voice_column, self.trade_column = (
            random.Random(scramble(self._base + 50 + n)).randbytes((size + 3) // 4 * 4)[:size] for n in range(4)
        )

    def star_id(self, index: int) -> str:
        """Return the 19-digit id of the author at `index`."""
        return str(_ID_BASE + (index * _ID_STRIDE + self._id_offset) % _ID_SPAN)

    def index_of(self, star_id: str) -> int | None:
        """Return the index of the author with this id; None if there is none."""
        if not (star_id.isascii() and star_id.isdigit() and len(star_id) == 19):
            return None
        place = int(star_id) - _ID_BASE
        if not 0 <= place < _ID_SPAN:
            return None
        index = (place - self._id_offset) * _ID_STRIDE_INVERSE % _ID_SPAN
        return index if index < self.size else None

    def nick_name(self, index: int) -> str:
        """Return the author's name, which shows that the author is synthetic."""
        tag = TAG_SLOTS[self.tag_column[index]].primary
        return f"测试{tag}{NOUNS[self.voice_column[index] & 7]}{index:06d}"

    def author(self, index: int) -> Author:
        """Return the author at `index`."""
        tags = TAG_SLOTS[self.tag_column[index]]
        return Author(
            index=index,
            star_id=self.star_id(index),
            nick_name=self.nick_name(index),
            tags=tags,
            themes=tags.themes[self.voice_column[index] >> 4],
            look=LOOK_SLOTS[self.look_column[index]],
            new_card=self.new_card(index),
            priced=self.priced(index),
            quirk=scramble(self._base + index * _GOLDEN),
        )

    def new_card(self, index: int) -> bool:
        """Return whether the author has the rate card of 2026, as half of the authors do."""
        return bool(self.trade_column[index] & 16)

    def priced(self, index: int) -> bool:
        """Return whether the author has offers, as seven in eight do."""
        return self.trade_column[index] >> 5 != 0

    def price_level(self, index: int) -> int:
        """Return the author's price level relative to the followers, from 0 (cheap) to 15."""
        return self.trade_column[index] & 15

    def rank_size(self, index: int) -> float:
        """Return the followers of a rank by the rank-size law: 80 million at the top, a median near 200,000."""
        top: float = 8e7 * ((index + 5) / 5) ** -self._exponent
        return 10_000 + top * (1 - index / self.size)

    def followers(self, index: int, day: int) -> int:
        """Return the followers on a day.

        They stay between those of the neighbours, so that the order by followers is the order of the indexes every day.
        """
        low = self.rank_size(index)
        high = self.rank_size(index - 1) if index else low * 1.1
        return int(low + (high - low) * 0.98 * self.noise(Channel.FOLLOWERS, index, day))

    def spell(self, channel: Channel, index: int, day: int) -> int:
        """Return the number of changes of the channel until `day`."""
        kind = scramble(self._channels[channel] + index * _GOLDEN)
        period = _PERIODS[channel][kind & 15]
        return (day + (kind >> 8) % period) // period if period else 0

    def post_clock(self, index: int) -> tuple[int, int]:
        """Return the days between two new videos (0: the author has stopped) and their phase in days."""
        kind = scramble(self._channels[Channel.POSTS] + index * _GOLDEN)
        period = _PERIODS[Channel.POSTS][kind & 15]
        return period, (kind >> 8) % period if period else 0

    def noise(self, channel: Channel, index: int, day: int) -> float:
        """Return a number in [0, 1) that stays the same between two changes of the channel."""
        spell = self.spell(channel, index, day)
        return scramble(self._channels[channel] + index * _GOLDEN + (spell + 1) * 0xD1342543DE82EF95) / 2**64
