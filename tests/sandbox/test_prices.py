"""The synthetic prices."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

from xingtu_crawler.sandbox import prices
from xingtu_crawler.sandbox.population import Population

POPULATION = Population(seed=1, size=2_000)


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
