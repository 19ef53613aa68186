"""The estimate of a crawl of `author_square`, for `scrapy plan` and for the forecast of a running crawl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

from xingtu_crawler.arguments.square import SquareArguments
from xingtu_crawler.dataset.experience import Experience
from xingtu_crawler.dataset.plan_estimate import Estimate, SquareLimits, SquarePlanner
from xingtu_crawler.storage.claims import Preview, details_of, settled_since
from xingtu_crawler.storage.store import Store


async def plan_square(
    store: Store,
    arguments: SquareArguments,
    experience: Experience,
    *,
    started_at: datetime,
    newer_than: datetime,
    empty: AbstractSet[str] = frozenset(),
) -> Estimate:
    """Return the estimate of a crawl; it claims nothing and writes nothing.

    Args:
        store: the dataset.
        arguments: those of the crawl.
        experience: what earlier crawls say.
        started_at: when the crawl starts (UTC).
        newer_than: details that were fetched since then (UTC) are up to date.
        empty: the keys of the queries that no author matches.
    """
    details, claims = arguments.details, Preview(store.database, store.outages)

    async def count_missing(star_ids: Sequence[str]) -> Mapping[str, int]:
        wanted = details_of(star_ids, details.platforms, details.endpoints)
        claimed = await claims.claim(
            wanted,
            newer_than=newer_than,
            settled_since=settled_since(started_at, details.max_age),
            terminal=details.terminal,
        )
        return Counter(detail.star_id for detail in claimed)

    limits = SquareLimits(
        max_pages=arguments.max_pages,
        max_authors=details.max_authors,
        per_author=len(details.platforms) * len(details.endpoints),
        restart=arguments.restart,
        newer_than=newer_than,
        open_since=details.open_since(started_at),
    )
    planner = SquarePlanner(
        store.database, store.outages, store.sweeps, limits, experience, count_missing, details.endpoints, started_at
    )
    return await planner.estimate(arguments.queries, empty=empty)
