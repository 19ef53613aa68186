"""Collapse: a sweep that finds far fewer authors than the last finished sweep of the same query.

Authors are compared between whole sweeps only. `total_count` is the API's own number and does not depend on limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from xingtu_crawler.storage.sweeps import FinishedSweep, Sweeps
from xingtu_crawler.verdict import Findings

FEWEST = 5
"""Authors by which a sweep must have fewer: a query that finds three authors may find one next week."""


@dataclass(frozen=True, slots=True)
class EndedSweep:
    """A sweep of this crawl whose paging has ended."""

    sweep: str
    query_key: str
    query: str
    """The query in words."""
    authors: int
    total_count: int | None
    is_whole: bool
    """Whether no limit, hole or interruption has left out authors."""


class _Figures(NamedTuple):
    what: str
    now: int
    before: FinishedSweep
    figure_before: int


async def compare(sweeps: Sweeps, ended: EndedSweep, findings: Findings, *, share: float) -> str | None:
    """Compare a sweep with the last finished ones of its query; return the `_id` of the whole one, if both are whole.

    Adds a finding where authors or `total_count` are below `share` (0-1) of what they were.

    Raises:
        StorageError: MongoDB stayed away for longer than the patience.
    """
    whole = await sweeps.find_finished(ended.query_key, than=ended.sweep, whole=True) if ended.is_whole else None
    counted = await sweeps.find_finished(ended.query_key, than=ended.sweep, whole=False)
    for figures in _figures(ended, whole, counted):
        if figures.now < share * figures.figure_before and figures.figure_before - figures.now >= FEWEST:
            findings.add(
                "collapsed",
                f"{ended.query}: {figures.what.format(figures.now)} now, "
                f"{figures.figure_before:,} in sweep {figures.before.sweep} of {figures.before.started_at:%Y-%m-%d}",
                example=ended.sweep,
                key=f"{ended.query_key} {figures.what}",
            )
    return whole.sweep if whole else None


def _figures(ended: EndedSweep, whole: FinishedSweep | None, counted: FinishedSweep | None) -> Iterator[_Figures]:
    if whole is not None:
        yield _Figures("{:,} authors found", ended.authors, whole, whole.authors)
    if counted is not None and counted.total_count is not None and ended.total_count is not None:
        yield _Figures("total_count is {:,}", ended.total_count, counted, counted.total_count)
