"""The author search over the synthetic population: filters, order, pages, the cap of 10,000.

A filter is a mask of one byte per author. Masks are combined as large integers, so that a search through a million
authors takes about ten milliseconds. Knows no HTTP and no JSON.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from zlib import crc32

from xingtu_crawler.sandbox import prices
from xingtu_crawler.sandbox.population import Population, scramble
from xingtu_crawler.sandbox.query import Query
from xingtu_crawler.sandbox.vocabulary import LOOK_SLOTS, NOUNS, TAG_SLOTS, THEME_VARIANTS

PAGE_SIZE = 20
CAP = 10_000
"""Number of results that can be reached, and the largest `total_count`."""
_CACHED_QUERIES = 64
_MAX_PRICE = 1e12  # yuan; larger bounds are cut to it


@dataclass(frozen=True, slots=True)
class Page:
    """One page of results: the authors' indexes, best first."""

    indexes: list[int]
    has_more: bool
    total_count: int


class Search:
    """Searches `population`.

    `overlap` is the share of pages at which the ranking shifts by one, so that they begin with the last author of the
    previous page.
    """

    def __init__(self, population: Population, *, overlap: float = 0.0) -> None:
        self._population = population
        self._overlap = overlap
        self._hits = lru_cache(maxsize=_CACHED_QUERIES)(self._find)
        self._shifts = lru_cache(maxsize=_CACHED_QUERIES)(self._shifts_of)

    def page(self, query: Query, page: int, day: int) -> Page:
        """Return page `page` (from 1) of the results of `query` on `day`; it is empty after the last result."""
        hits = self._hits(query, day)
        start = (page - 1) * PAGE_SIZE
        if self._overlap and page > 1:
            shifts = self._shifts(query)
            start -= shifts[min(page, len(shifts)) - 1]
        end = start + PAGE_SIZE
        return Page(list(hits[start:end]), end < len(hits), len(hits))

    def _shifts_of(self, query: Query) -> list[int]:
        """Return the shift of each page in places, page 1 first, for all pages that the cap allows."""
        identity = scramble(self._population.seed * 31 + crc32(repr(query).encode()))
        shifts = [0]
        for page in range(2, 2 * CAP // PAGE_SIZE):
            shifts.append(shifts[-1] + (scramble(identity + page) < self._overlap * 2**64))
        return shifts

    def _find(self, query: Query, day: int) -> array[int]:
        mask = self._mask(query, day)
        found: Iterator[int] = self._shuffled(mask) if query.shuffled else _positions(mask)
        if query.price_type is not None and query.price is not None:
            kind, (low, high) = query.price_type, query.price
            found = (i for i in found if low <= (prices.price(self._population, i, day, kind) or -1) <= high)
        if query.keyword and not query.by_content and any(map(str.isdigit, query.keyword)):
            found = (i for i in found if query.keyword in self._population.nick_name(i))
        return array("L", islice(found, CAP))

    def _shuffled(self, mask: bytes) -> Iterator[int]:
        size = self._population.size
        stride = scramble(self._population.seed + 77) % size | 1
        while math.gcd(stride, size) != 1:
            stride += 2
        start = scramble(self._population.seed + 78) % size
        return (index for rank in range(size) if mask[index := (rank * stride + start) % size])

    def _mask(self, query: Query, day: int) -> bytes:
        population = self._population
        mask = int.from_bytes(b"\1" * population.size, "little")
        if query.followers is not None:
            low, high = query.followers
            mask &= _between(
                bisect_left(range(population.size), -high, key=lambda i: -population.followers(i, day)),
                bisect_right(range(population.size), -low, key=lambda i: -population.followers(i, day)),
            )
        if query.tags:
            mask &= _select(population.tag_column, (not slot.names().isdisjoint(query.tags) for slot in TAG_SLOTS))
        if query.gender is not None:
            mask &= _select(population.look_column, (slot.gender == query.gender for slot in LOOK_SLOTS))
        if query.places:
            lives_there = (not {slot.province, slot.city}.isdisjoint(query.places) for slot in LOOK_SLOTS)
            mask &= _select(population.look_column, lives_there)
        if query.price_type is not None and query.price is not None:
            mask &= self._price_bounds(query.price_type, *query.price)
        if query.keyword:
            mask &= self._by_content(query.keyword) if query.by_content else self._by_name(query.keyword)
        return mask.to_bytes(population.size, "little")

    def _price_bounds(self, video_type: int, low: float, high: float) -> int:
        """Return a mask of the authors whose prices may be in the range: for each price level, a range of followers."""
        population, (smallest, largest) = self._population, prices.RATIOS[video_type]
        mask = 0
        for level in prices.LEVELS:
            most = level.followers_for((min(high, _MAX_PRICE) + 100) / (smallest * prices.MIN_DRIFT))
            fewest = level.followers_for(max(0.0, min(low, _MAX_PRICE) - 300) / (largest * prices.MAX_DRIFT))
            mask |= _select(population.trade_column, (slot & 15 == level.number for slot in range(256))) & _between(
                bisect_left(range(population.size), -most, key=lambda i: -population.rank_size(i)),
                bisect_right(range(population.size), -fewest, key=lambda i: -population.rank_size(i)),
            )
        return mask

    def _by_name(self, keyword: str) -> int:
        # The digits of a keyword may match the number at the end of a name; `_find` compares the whole names.
        words = "".join(char for char in keyword if not char.isdigit())
        tags, voices = self._population.tag_column, self._population.voice_column
        mask = 0
        for number, noun in enumerate(NOUNS):
            has_words = (words in f"测试{slot.primary}{noun}" for slot in TAG_SLOTS)
            mask |= _select(tags, has_words) & _select(voices, (slot & 7 == number for slot in range(256)))
        return mask

    def _by_content(self, keyword: str) -> int:
        tags, voices = self._population.tag_column, self._population.voice_column
        mask = 0
        for variant in range(THEME_VARIANTS):
            texts = ((*slot.names(), *slot.themes[variant]) for slot in TAG_SLOTS)
            has_keyword = (any(keyword in text for text in of) for of in texts)
            mask |= _select(tags, has_keyword) & _select(voices, (slot >> 4 == variant for slot in range(256)))
        return mask


def _select(column: bytes, chosen: Iterable[bool]) -> int:
    """Return a mask of the authors whose slot is chosen; `chosen` has 256 values."""
    return int.from_bytes(column.translate(bytes(chosen)), "little")


def _between(first: int, end: int) -> int:
    return (1 << 8 * max(first, end)) - (1 << 8 * first)


def _positions(mask: bytes) -> Iterator[int]:
    position = mask.find(1)
    while position >= 0:
        yield position
        position = mask.find(1, position + 1)
