"""Spells as aggregation expressions: in the document, on the way into `history`, and in the view `spells`.

Knows what documents and spells look like; sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from xingtu_crawler.storage.collections import AUTHORS, HISTORY, PENDING, entities

Expression = dict[str, Any]

MOST_TIMES = 1000
"""The most times in `observed_between`: it grows with every crawl that sees no change, and keeps the newest ones."""

OF_DOCUMENT: dict[str, Any] = {
    "spell": "$crawl.spell",
    "valid_from": "$crawl.changed_at",
    "last_observed_at": "$crawl.fetched_at",
    "observations": "$crawl.observations",
    "observed_between": "$crawl.observed_between",
    "content_hash": "$crawl.content_hash",
    "data": "$data",
    "unparsed": "$crawl.unparsed",
}
"""The current spell, as an expression over its document; absent fields stay absent."""
_IS_NEW: Expression = {"$eq": [{"$type": "$crawl.fetched_at"}, "missing"]}
_WAITING: Expression = {"$ifNull": [f"${PENDING}", []]}
_ENDED: Expression = {"$filter": {"input": _WAITING, "cond": {"$isNumber": "$$this.spell"}}}
"""The spells of a document that have ended and are not yet in `history`; late answers wait beside them."""


def bookkeeping(*, same: Mapping[str, Any] | str, fetched_at: datetime) -> dict[str, Any]:
    """Return the fields of `crawl` that depend on the document that is being replaced.

    `same` is the expression for "the content is unchanged". Every expression reads the document as it was before.
    """
    is_resent = {"$eq": ["$crawl.fetched_at", fetched_at]}  # the same write, sent a second time
    has_one_time = {"$eq": ["$crawl.fetched_at", "$crawl.changed_at"]}
    times = {"$concatArrays": [{"$ifNull": ["$crawl.observed_between", []]}, ["$crawl.fetched_at"]]}
    return {
        "first_seen_at": {"$ifNull": ["$crawl.first_seen_at", fetched_at]},
        "changed_at": {"$cond": [same, "$crawl.changed_at", fetched_at]},
        "spell": {
            "$switch": {
                "branches": [{"case": _IS_NEW, "then": 1}, {"case": same, "then": "$crawl.spell"}],
                "default": {"$add": ["$crawl.spell", 1]},
            }
        },
        "observations": {"$cond": [same, {"$add": ["$crawl.observations", {"$cond": [is_resent, 0, 1]}]}, 1]},
        "observed_between": {
            "$switch": {
                "branches": [
                    {"case": {"$not": same}, "then": "$$REMOVE"},
                    {"case": {"$or": [is_resent, has_one_time]}, "then": "$crawl.observed_between"},
                ],
                "default": {"$slice": [times, -MOST_TIMES]},
            }
        },
    }


def first_bookkeeping(fetched_at: datetime) -> dict[str, Any]:
    """Return the fields that `bookkeeping` computes for a new document."""
    return {"first_seen_at": fetched_at, "changed_at": fetched_at, "spell": 1, "observations": 1}


def ending(*, same: Mapping[str, Any] | str) -> Expression:
    """Return the expression of `history_pending`: what waits there, and the spell that this write ends."""
    waiting = {"$ifNull": [f"${PENDING}", "$$REMOVE"]}
    return {"$cond": [{"$or": [same, _IS_NEW]}, waiting, {"$concatArrays": [_WAITING, [OF_DOCUMENT]]}]}


def late_answer(fetched_at: datetime, digest: str) -> dict[str, Any]:
    """Return what marks an answer that was stored after a newer one, to which its content is added.

    It waits in `history_pending`; `digest` tells apart two answers of one moment.
    """
    return {"spell": f"late-{fetched_at.timestamp():.3f}-{digest}", "valid_from": fetched_at}


def without(done: Sequence[int | str]) -> Expression:
    """Return the expression of `history_pending` without these spells: another crawl may have added more meanwhile."""
    left = {"$filter": {"input": _WAITING, "cond": {"$not": {"$in": ["$$this.spell", list(done)]}}}}
    return {"$let": {"vars": {"left": left}, "in": {"$cond": [{"$eq": ["$$left", []]}, "$$REMOVE", "$$left"]}}}


def spell_id(entity: str, key: str, valid_from: datetime) -> str:
    """Return the `_id` of a spell in `history`; no two spells of an entity begin at the same time."""
    return f"{entity}:{key}:{valid_from:%Y-%m-%dT%H:%M:%S}.{valid_from.microsecond // 1000:03d}Z"


def _identified(entity: str, key: str, spell: str) -> dict[str, Any]:
    begins = {"$dateToString": {"date": f"{spell}.valid_from", "format": "%Y-%m-%dT%H:%M:%S.%LZ"}}
    return {
        "_id": {"$concat": [f"{entity}:", key, ":", begins]},
        "entity": {"$literal": entity},
        "key": key,
        "star_id": "$star_id",
    }


def into_history(entity: str, match: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the pipeline that copies the ended spells of the documents that match into `history`.

    A spell that is there already stays as it is: a late answer may have divided it since.
    """
    return [
        {"$match": match},
        {"$project": {"star_id": 1, "spells": _ENDED}},
        {"$unwind": "$spells"},
        {"$replaceWith": {"$mergeObjects": [_identified(entity, "$_id", "$spells"), "$spells"]}},
        {"$merge": {"into": HISTORY, "on": "_id", "whenMatched": "keepExisting", "whenNotMatched": "insert"}},
    ]


def view() -> list[dict[str, Any]]:
    """Return the pipeline of the view `spells` over `history`: ended and current spells in one shape.

    `key` and `star_id` are plain renames, so that MongoDB moves a condition on them in front of each branch, where it
    finds an index.
    """
    shape = dict.fromkeys((name for name in OF_DOCUMENT if name != "observed_between"), 1)
    ended = {"entity": 1, "key": 1, "star_id": 1, **shape, "current": {"$literal": False}}
    return [{"$project": ended}, *({"$unionWith": {"coll": name, "pipeline": _spells_of(name)}} for name in entities())]


def _spells_of(entity: str) -> list[dict[str, Any]]:
    """Return the branch of one collection: of each document its current spell, and those that wait."""
    current = {name: path for name, path in OF_DOCUMENT.items() if name != "observed_between"}
    spells = {"$concatArrays": [_ENDED, [{**current, "current": True}]]}
    flat = {name: f"$spells.{name}" for name in current}
    is_current = {"$ifNull": ["$spells.current", False]}
    return [
        {"$project": {"star_id": "$_id" if entity == AUTHORS else "$star_id", "spells": spells}},
        {"$unwind": "$spells"},
        {"$project": {**_identified(entity, "$_id", "$spells"), **flat, "current": is_current}},
    ]
