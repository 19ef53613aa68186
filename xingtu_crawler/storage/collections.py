"""The collections of the dataset: their names and their indexes."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS, SEARCH

AUTHORS = SEARCH.collection
VIDEOS = "videos"
SWEEPS = "sweeps"
SEARCH_HITS = "search_hits"
RUNS = "runs"
FAILURES = "failures"
QUARANTINE = "quarantine"
QUARANTINE_PIECES = "quarantine_pieces"
"""Further pieces of bodies that one document cannot hold: a part of `quarantine`, which is read with it."""
HISTORY = "history"
PENDING = "history_pending"
"""The field of a document with what is not yet in `history`: spells that have ended, and late answers."""
SPELLS = "spells"
"""The view of ended and current spells."""
META = "meta"
"""The version of the dataset, and leases."""
DATASET_VERSION = 2
"""The version of the dataset that this code reads and writes: raised when documents are stored in another way."""
DAILY_CALLS = "daily_calls"
PLANNED_PAGES = "planned_pages"
"""Pages that `scrapy plan` has paid for; they belong to the dataset once a crawl takes them over."""

WRITTEN_FIRST = frozenset({VIDEOS, QUARANTINE})
"""Collections written before the detail document: after a crash, that document would mark the answer as complete."""


def entities() -> list[str]:
    """Return the collections whose documents have a history."""
    return [AUTHORS, *(endpoint.collection for endpoint in DETAILS.values()), VIDEOS]


def indexes() -> dict[str, list[IndexModel]]:
    """Return the indexes of every collection; a comment names the query that each serves."""
    by_star_id = IndexModel([("star_id", ASCENDING)])
    # Stale details, oldest first; it covers the query, so that no document is read.
    by_age = IndexModel([("crawl.fetched_at", ASCENDING), ("_id", ASCENDING)])
    # The few documents with something to be moved into `history`.
    by_pending = IndexModel([(f"{PENDING}.spell", ASCENDING)], sparse=True)
    return {
        AUTHORS: [by_pending],
        **{endpoint.collection: [by_star_id, by_age, by_pending] for endpoint in DETAILS.values()},
        VIDEOS: [by_star_id, by_pending],
        # The newest sweep of a query.
        SWEEPS: [IndexModel([("query_key", ASCENDING), ("started_at", DESCENDING)])],
        # The authors that a sweep found, and the sweeps that found an author.
        SEARCH_HITS: [IndexModel([("sweep", ASCENDING), ("page", ASCENDING), ("rank", ASCENDING)]), by_star_id],
        HISTORY: [
            # The spells of one entity in order; what was true at a time.
            IndexModel([("entity", ASCENDING), ("key", ASCENDING), ("valid_from", ASCENDING)]),
            by_star_id,
        ],
        RUNS: [IndexModel([("started_at", DESCENDING)])],
        FAILURES: [by_star_id, IndexModel([("endpoint", ASCENDING), ("code", ASCENDING)])],
        QUARANTINE: [by_star_id, IndexModel([("reason", ASCENDING)])],
    }


def names() -> list[str]:
    """Return the name of every collection."""
    return [*indexes(), QUARANTINE_PIECES, DAILY_CALLS, PLANNED_PAGES, META]


async def create_indexes(database: AsyncDatabase[dict[str, Any]]) -> None:
    """Create the indexes that do not exist yet."""
    for collection, models in indexes().items():
        await database[collection].create_indexes(models)
