"""Bounds on the number of missing details of the authors that a search has not shown yet. Pure arithmetic.

A crawl reaches `reached` of the `matching` authors of a query that no page has shown yet. An author of whom the dataset
holds nothing fresh lacks all details, `per_author` of them. The only unknown is which authors with fresh details are
among those that the crawl reaches. The dataset says of each of them whether it matches the query for certain, possibly
or not at all; `Pool` lists the details that each of the first two kinds lacks.

- Every certain author matches, so at most `matching - reached` of them are left out. At least
  `reached - (matching - certain)` are reached.
- Strangers, authors without anything fresh, fill the rest. If the pool is closed there are none: an earlier, complete
  search that covers this one has found every author of the pool.

The low bound chooses the authors who lack least, the high bound those who lack most. Both are reached by some choice,
so no narrower range holds without further knowledge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

WIDEST = 6
"""Maximum ratio of the ends of a range that is shown."""


class Span(NamedTuple):
    """From `low` to `high`; both are the same if the number is known."""

    low: int
    high: int

    def __add__(self, other: object) -> Span:
        assert isinstance(other, Span)
        return Span(self.low + other.low, self.high + other.high)

    def capped(self, limit: int | None) -> Span:
        """Return the span cut at `limit` (None: no limit)."""
        return self if limit is None else Span(min(self.low, limit), min(self.high, limit))

    @property
    def is_known(self) -> bool:
        """Whether it is one number."""
        return self.low == self.high

    @property
    def is_too_wide(self) -> bool:
        """Whether the ends differ by more than the factor `WIDEST`."""
        return self.high > WIDEST * self.low

    def narrowed(self) -> Span:
        """Return the span with its low end raised until it is not too wide; the high end stays."""
        return Span(-(-self.high // WIDEST), self.high) if self.is_too_wide else self


@dataclass(frozen=True, slots=True)
class Pool:
    """The authors in the dataset that a search may still show: the number of details that each of them lacks."""

    certain: Sequence[int] = ()
    """Of those who match the query for certain."""
    possible: Sequence[int] = ()
    """Of those who may match it."""
    is_closed: bool = False
    """Whether no other author can match."""


def fewest(pool: Pool, *, matching: int, reached: int, per_author: int) -> int:
    """Return the low bound of the details that `reached` of `matching` authors lack."""
    certain = sorted(pool.certain)
    forced = _forced(certain, matching, reached)
    others = sorted([*certain[forced:], *pool.possible])[: reached - forced]
    return sum(certain[:forced]) + sum(others) + per_author * (reached - forced - len(others))


def most(pool: Pool, *, matching: int, reached: int, per_author: int) -> int:
    """Return the high bound of the details that `reached` of `matching` authors lack."""
    certain = sorted(pool.certain, reverse=True)
    forced = _forced(certain, matching, reached)
    others: list[int] = []
    if pool.is_closed:
        others = sorted([*certain[forced:], *pool.possible], reverse=True)[: reached - forced]
    return sum(certain[:forced]) + sum(others) + per_author * (reached - forced - len(others))


def _forced(certain: Sequence[int], matching: int, reached: int) -> int:
    """Return how many of the certain authors are reached at least."""
    return max(0, min(reached, len(certain) - max(0, matching - reached)))
