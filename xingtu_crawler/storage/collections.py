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
HISTORY = "history"
PENDING = "history_pending"
"""The field of a document that holds spells which have ended and are not yet in `history`."""
DAILY_CALLS = "daily_calls"

WRITTEN_FIRST = frozenset({VIDEOS, QUARANTINE})
"""What is taken out of an answer, before the document that says that the answer is there: after a crash nobody would
look for it any more."""


def indexes() -> dict[str, list[IndexModel]]:
    """Return the indexes of every collection; each says which question it serves."""
    by_star_id = IndexModel([("star_id", ASCENDING)])
    # What is stale, in the order in which it became so; with the key in it, no document is read for that.
    by_age = IndexModel([("crawl.fetched_at", ASCENDING), ("_id", ASCENDING)])
    # The few documents with spells that wait for their projection.
    by_pending = IndexModel([(f"{PENDING}.spell", ASCENDING)], sparse=True)
    return {
        AUTHORS: [by_age, by_pending],
        **{endpoint.collection: [by_star_id, by_age, by_pending] for endpoint in DETAILS.values()},
        VIDEOS: [by_star_id, by_age, by_pending],
        # The newest sweep of a query.
        SWEEPS: [IndexModel([("query_key", ASCENDING), ("started_at", DESCENDING)])],
        # Who was found by a sweep, and which sweeps found an author.
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
    return [*indexes(), DAILY_CALLS]


async def create_indexes(database: AsyncDatabase[dict[str, Any]]) -> None:
    """Create the indexes that are not there yet."""
    for collection, models in indexes().items():
        await database[collection].create_indexes(models)
