"""The projection of spells from the documents into `history`, as aggregation expressions.

Knows what documents and spells look like; sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from xingtu_crawler.storage.collections import HISTORY, PENDING

WhenMatched = Literal["fail"] | list[dict[str, Any]]
"""What `$merge` does with a spell that is there."""
Spells = list[dict[str, Any]] | dict[str, Any]
"""The expression of some spells of a document."""

OF_DOCUMENT: dict[str, Any] = {
    "spell": "$crawl.spell",
    "valid_from": "$crawl.changed_at",
    "last_observed_at": "$crawl.fetched_at",
    "observations": "$crawl.observations",
    "content_hash": "$crawl.content_hash",
    "data": "$data",
    "unparsed": "$crawl.unparsed",
}
"""The spell that a document holds; what is not there is left out."""
CURRENT: Spells = [{**OF_DOCUMENT, "current": True}]
"""The spell that goes on."""


KEEP_NEWER: list[dict[str, Any]] = [
    {
        "$replaceWith": {
            "$cond": [
                {
                    "$and": [
                        {"$gte": ["$$new.last_observed_at", "$last_observed_at"]},
                        {"$or": ["$current", {"$not": "$$new.current"}]},
                    ]
                },
                "$$new",
                "$$ROOT",
            ]
        }
    }
]
"""Of two states of one spell the one observed later stands, and what has ended stays so."""


def without(done: Sequence[int | str]) -> dict[str, Any]:
    """Return the expression of what still waits: exactly what was read is done, another crawl may have ended more."""
    waiting = {"$ifNull": [f"${PENDING}", []]}
    left = {"$filter": {"input": waiting, "cond": {"$not": {"$in": ["$$this.spell", list(done)]}}}}
    return {"$let": {"vars": {"left": left}, "in": {"$cond": [{"$eq": ["$$left", []]}, "$$REMOVE", "$$left"]}}}


def others(new_since: datetime) -> Spells:
    """Return the spells that have ended, and the current one where it had begun before."""
    is_new = {"$gte": ["$crawl.changed_at", new_since]}
    is_kept = {"$ne": [{"$type": "$$this.valid_from"}, "missing"]}
    ended = {"$filter": {"input": {"$ifNull": [f"${PENDING}", []]}, "cond": is_kept}}
    return {"$concatArrays": [ended, {"$cond": [is_new, [], CURRENT]}]}


def projection(
    collection: str, match: dict[str, Any], spells: Spells, when_matched: WhenMatched
) -> list[dict[str, Any]]:
    """Return the pipeline that writes these spells of the documents that match into `history`."""
    return [
        {"$match": match},
        {"$project": {"star_id": 1, "spells": spells}},
        {"$unwind": "$spells"},
        {
            "$replaceWith": {
                "$mergeObjects": [
                    {"current": False},
                    "$spells",
                    {
                        "_id": {"$concat": [f"{collection}:", "$_id", ":", {"$toString": "$spells.spell"}]},
                        "entity": collection,
                        "key": "$_id",
                        "star_id": "$star_id",
                    },
                ]
            }
        },
        {"$merge": {"into": HISTORY, "on": "_id", "whenMatched": when_matched, "whenNotMatched": "insert"}},
    ]
