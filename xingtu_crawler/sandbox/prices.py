"""The authors' prices in yuan, on both rate cards, and their bounds, with which a search skips most authors.

Knows the population; knows neither JSON nor queries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from xingtu_crawler.sandbox.population import Channel, Population, scramble

MIN_DRIFT, MAX_DRIFT = 0.85, 1.2
"""Bounds of the factor by which a price differs from its nominal value."""

_LEVELS = [math.exp(0.5 * NormalDist().inv_cdf((level + 0.5) / 16)) for level in range(16)]
_DRIFTS = (MIN_DRIFT, 0.95, 1.0, 1.1, MAX_DRIFT)

# video_type -> lowest and highest ratio to the nominal price.
RATIOS: dict[int, tuple[float, float]] = {
    1: (0.55, 0.9),
    2: (1.0, 1.0),
    71: (1.0, 1.6),
    91: (0.5, 0.85),
    150: (1.1, 1.5),
    151: (0.6, 0.95),
}
OLD_CARD = {1: "1-20s视频", 2: "21-60s视频", 71: "60s以上视频", 91: "抖音短视频共创-参与达人"}
NEW_CARD = {2: "植入视频", 71: "定制视频", 150: "植入视频-含授权", 151: "图文植入", 91: "抖音短视频共创-参与达人"}
"""video_type -> desc. The newer card has other names for the same types, and no type 1."""


@dataclass(frozen=True, slots=True)
class Level:
    """The authors of one price level: nominal price = `factor` x 0.8 x followers^0.75."""

    number: int
    factor: float

    def followers_for(self, price: float) -> float:
        """Return the followers (by the rank-size law) for which the nominal price of this level is `price`."""
        return float((price / (0.8 * self.factor)) ** (4 / 3))


LEVELS = [Level(number, factor) for number, factor in enumerate(_LEVELS)]


def card(population: Population, index: int) -> dict[int, str]:
    """Return the author's rate card, video_type -> desc; empty for an author without offers."""
    if not population.priced(index):
        return {}
    return NEW_CARD if population.new_card(index) else OLD_CARD


def price(population: Population, index: int, day: int, video_type: int) -> int | None:
    """Return the price in yuan (a multiple of 100, at least 200); None if the author's card lacks the type."""
    if video_type not in card(population, index):
        return None
    nominal: float = 0.8 * population.rank_size(index) ** 0.75 * _LEVELS[population.price_level(index)]
    low, high = RATIOS[video_type]
    ratio = low + (high - low) * (scramble(index * 256 + video_type) & 0xFFFF) / 0xFFFF
    drift = _DRIFTS[int(population.noise(Channel.PRICES, index, day) * len(_DRIFTS))]
    hundreds: int = round(nominal * ratio * drift / 100)
    return max(200, hundreds * 100)
