"""`scrapy status`: runs, sweeps, coverage, failures and cost of a dataset, in seconds even for a million authors.

Knows collections and their indexes, nothing of command lines and tables.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pymongo import DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.api.tokens import QUOTA_ZONE
from xingtu_crawler.items.validation import without_ids
from xingtu_crawler.storage.collections import (
    AUTHORS,
    DAILY_CALLS,
    FAILURES,
    HISTORY,
    PLANNED_PAGES,
    QUARANTINE,
    RUNS,
    SEARCH_HITS,
    SWEEPS,
    names,
)
from xingtu_crawler.storage.runs import CRASHED, DEAD_AFTER
from xingtu_crawler.storage.spill import broken, count_lines, refused, spilled

Database = AsyncDatabase[dict[str, Any]]

EXACT_UP_TO = 100_000
"""Number of documents up to which a collection is counted. Of a larger one, its metadata and a sample are read."""
RECENT_RUNS = 10
RECENT_DAYS = 14
MAX_SWEEPS = 20
AGES = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_SAMPLE = 2000
_DAY = {"$dateToString": {"date": "$started_at", "format": "%Y-%m-%d", "timezone": "+08:00"}}
_NO_PLAN: dict[str, Any] = {"plan": {"$ne": True}}
"""The runs of the dataset: what `scrapy plan` has fetched belongs to it once a crawl takes it over. Its cost counts."""
_DECIMALS = 4
"""Places of a cost that is divided among days: as many as a balance has."""


async def read(
    database: Database, *, now: datetime, spill: Path, daily_cap: int, exact_up_to: int = EXACT_UP_TO
) -> dict[str, Any]:
    """Return the state of a dataset; the keys are documented in docs/commands.md and stay.

    A count that is an estimate has `"estimate": true`.

    Args:
        database: the dataset; it is only read.
        now: the time from which ages are counted, timezone-aware.
        spill: the folder of its spill files.
        daily_cap: the maximum number of calls per day, 0 for no limit.
        exact_up_to: the number of documents up to which a collection is counted.
    """
    known = [name for name in names() if name != PLANNED_PAGES]
    counted = await asyncio.gather(*(_count(database[name], exact_up_to) for name in known))
    documents = dict(zip(known, counted, strict=True))
    details = await asyncio.gather(*(_coverage(database, endpoint, now, documents) for endpoint in DETAILS))
    daily = await database[DAILY_CALLS].find(sort=[("_id", DESCENDING)], limit=RECENT_DAYS).to_list()
    return {
        "database": database.name,
        "at": now,
        "runs": await _runs(database, now),
        "open_sweeps": await _open_sweeps(database),
        "coverage": {"authors": documents[AUTHORS], "details": [row for rows in details for row in rows]},
        "failures": await _failures(database),
        "quarantine": await _quarantine(database),
        "spill": _spill(spill),
        "days": await _days(database),
        "daily_calls": {
            "cap": daily_cap or None,
            "today": now.astimezone(QUOTA_ZONE).date().isoformat(),
            "days": [{"day": each["_id"], "calls": each["calls"]} for each in daily],
        },
        "documents": documents,
        "history": await _history(database, documents[HISTORY]),
    }


async def _count(collection: AsyncCollection[dict[str, Any]], exact_up_to: int) -> dict[str, Any]:
    estimate = await collection.estimated_document_count()
    if estimate > exact_up_to:
        return {"count": estimate, "estimate": True}
    # By the index on _id: a scan would read every document.
    return {"count": await collection.count_documents({}, hint="_id_"), "estimate": False}


async def _runs(database: Database, now: datetime) -> list[dict[str, Any]]:
    shown = ("spider", "state", "close_reason", "verdict", "findings", "started_at", "updated_at", "seconds", "authors")
    fields = dict.fromkeys((*shown, "calls.total"), 1)
    found = await database[RUNS].find(_NO_PLAN, fields, sort=[("started_at", DESCENDING)], limit=RECENT_RUNS).to_list()
    return [_run(run, now) for run in found]


def _run(run: dict[str, Any], now: datetime) -> dict[str, Any]:
    # The next crawl marks it in the database; a reader writes nothing.
    has_crashed = run["state"] == "running" and run["updated_at"] < now - DEAD_AFTER
    return {
        "run_id": run["_id"],
        "spider": run.get("spider"),
        "state": "crashed" if has_crashed else run["state"],
        "close_reason": run["close_reason"],
        "verdict": str(CRASHED) if has_crashed else run.get("verdict"),
        "findings": run.get("findings") or [],
        "started_at": run["started_at"],
        "seconds": run.get("seconds"),
        "calls": run.get("calls", {}).get("total"),
        "authors": run.get("authors"),
    }


async def _open_sweeps(database: Database) -> list[dict[str, Any]]:
    """Return the newest sweep of each query if it is unfinished; an older one is never resumed."""
    fields = ("filters", "state", "started_at", "pages_read", "next_page", "holes", "total_count", "capped")
    newest: list[dict[str, Any]] = [
        {"$sort": {"query_key": 1, "started_at": -1}},
        {
            "$group": {
                "_id": "$query_key",
                "sweep": {"$first": "$_id"},
                **{name: {"$first": f"${name}"} for name in fields},
            }
        },
        {"$match": {"state": {"$ne": "finished"}}},
        {"$sort": {"started_at": -1}},
        {"$limit": MAX_SWEEPS},
    ]
    sweeps = await (await database[SWEEPS].aggregate(newest)).to_list()
    authors = await asyncio.gather(
        *(database[SEARCH_HITS].distinct("star_id", {"sweep": sweep["sweep"]}) for sweep in sweeps)
    )
    return [
        {
            "sweep": sweep["sweep"],
            "filters": sweep["filters"],
            "started_at": sweep["started_at"],
            "pages_read": sweep["pages_read"],
            "next_page": sweep["next_page"],
            "holes": sorted(sweep["holes"]),
            "authors": len(found),
            "total_count": sweep["total_count"],
            "capped": sweep["capped"],
        }
        for sweep, found in zip(sweeps, authors, strict=True)
    ]


async def _coverage(
    database: Database, endpoint: str, now: datetime, documents: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return by platform the number of authors with details from an endpoint, and of those older than `AGES`."""
    name = DETAILS[endpoint].collection
    total, begins = documents[name], {age: now - span for age, span in AGES.items()}
    if total["estimate"]:
        rows = await _sampled(database, name, total["count"], begins)
    else:
        # In the order of an index that covers the pipeline, so that MongoDB reads no document.
        rows = await _grouped(database[name], {"$sort": {"crawl.fetched_at": 1, "_id": 1}}, begins)
    return [
        {"endpoint": endpoint, "platform": platform, **row, "estimate": total["estimate"]}
        for platform, row in sorted(rows.items())
    ]


async def _grouped(
    collection: AsyncCollection[dict[str, Any]], source: dict[str, Any], begins: dict[str, datetime]
) -> dict[str, dict[str, Any]]:
    """Return by platform the number of documents from a pipeline stage, and of those older than each of `begins`."""
    older = {
        f"older_{age}": {"$sum": {"$cond": [{"$lt": ["$crawl.fetched_at", begin]}, 1, 0]}}
        for age, begin in begins.items()
    }
    platform = {"$arrayElemAt": [{"$split": ["$_id", ":"]}, 1]}
    found = await collection.aggregate([source, {"$group": {"_id": platform, "authors": {"$sum": 1}, **older}}])
    return {
        row["_id"]: {"authors": row["authors"], "older_than": {age: row[f"older_{age}"] for age in begins}}
        async for row in found
    }


async def _sampled(database: Database, name: str, count: int, begins: dict[str, datetime]) -> dict[str, dict[str, Any]]:
    """Return the same for a large collection, scaled up from a sample; what a sample would miss is counted."""
    rows = await _grouped(database[name], {"$sample": {"size": _SAMPLE}}, begins)
    scale = count / sum(row["authors"] for row in rows.values())
    scaled = {
        platform: {
            "authors": round(row["authors"] * scale),
            "older_than": {age: round(older * scale) for age, older in row["older_than"].items()},
        }
        for platform, row in rows.items()
    }
    if len(rows) == 1:
        (row,) = scaled.values()
        for age, begin in begins.items():
            query = {"crawl.fetched_at": {"$lt": begin}}
            older = (await database.command("count", name, query=query, limit=EXACT_UP_TO))["n"]
            if older < EXACT_UP_TO:
                row["older_than"][age] = older
    return scaled


async def _failures(database: Database) -> list[dict[str, Any]]:
    names = ("endpoint", "code", "reason", "terminal")
    groups: list[dict[str, Any]] = [
        {"$group": {"_id": {name: f"${name}" for name in names}, "count": {"$sum": 1}}},
        {"$sort": {"count": -1, "_id": 1}},
    ]
    found = await (await database[FAILURES].aggregate(groups)).to_list()
    return [{**{name: each["_id"].get(name) for name in names}, "count": each["count"]} for each in found]


async def _quarantine(database: Database) -> list[dict[str, Any]]:
    # In the order of the index on the reason, so that MongoDB reads no body.
    groups: list[dict[str, Any]] = [{"$sort": {"reason": 1}}, {"$group": {"_id": "$reason", "count": {"$sum": 1}}}]
    reasons: Counter[str] = Counter()
    async for each in await database[QUARANTINE].aggregate(groups):
        reasons[without_ids(each["_id"])] += each["count"]
    return [{"reason": reason, "count": count} for reason, count in reasons.most_common()]


def _spill(directory: Path) -> dict[str, Any]:
    waiting, aside = spilled(directory), refused(directory)
    return {
        "directory": str(directory),
        "files": len(waiting),
        "answers": count_lines(waiting),
        "refused_files": len(aside),
        "refused_answers": count_lines(aside),
        "broken_files": len(broken(directory)),
    }


async def _days(database: Database) -> dict[str, Any]:
    """Return calls and cost by the day (Asia/Shanghai) of the calls, the last day first, and in total."""
    read = {
        "spent": {"$convert": {"input": "$cost.spent", "to": "decimal", "onError": None, "onNull": None}},
        "calls": "$calls.total",
        "billed": "$calls.billed",
        "own": {"$cond": [{"$eq": ["$plan", True]}, 0, 1]},
        "days": {"$objectToArray": {"$ifNull": ["$calls.by_day", {}]}},
    }
    # A run with calls on one day, or on none, belongs to one day as a whole.
    began = [{"k": _DAY, "v": {"calls": "$calls.total", "billed": "$calls.billed"}}]
    several = {"$gt": [{"$size": "$days"}, 1]}
    part = {"$divide": [{"$multiply": ["$spent", "$day.v.billed"]}, {"$max": ["$billed", 1]}]}
    of_day = {
        "calls": "$day.v.calls",
        "billed": "$day.v.billed",
        "spent": {"$cond": [several, {"$round": [part, _DECIMALS]}, "$spent"]},
    }
    is_priced = {"$gt": ["$spent", None]}
    sums = {
        "runs": {"$sum": "$own"},
        "calls": {"$sum": "$calls"},
        "billed": {"$sum": "$billed"},
        "cost": {"$sum": "$spent"},
        "runs_with_cost": {"$sum": {"$cond": [is_priced, "$own", 0]}},
        "priced": {"$sum": {"$cond": [is_priced, 1, 0]}},
    }
    by_day: list[dict[str, Any]] = [
        {"$project": {**read, "began": began}},
        {"$set": {"day": {"$cond": [{"$eq": ["$days", []]}, "$began", "$days"]}}},
        {"$unwind": "$day"},
        {"$set": of_day},
        {"$group": {"_id": "$day.k", **sums}},
        {"$sort": {"_id": -1}},
        {"$limit": RECENT_DAYS},
    ]
    in_all: list[dict[str, Any]] = [{"$project": read}, {"$group": {"_id": None, **sums}}]
    days = await (await database[RUNS].aggregate(by_day)).to_list()
    total = await (await database[RUNS].aggregate(in_all)).to_list()
    return {
        "recent": [{"day": day["_id"], **_sums(day)} for day in days],
        "total": _sums(total[0]) if total else {"runs": 0, "calls": 0, "billed": 0, "cost": None, "runs_with_cost": 0},
    }


def _sums(found: dict[str, Any]) -> dict[str, Any]:
    cost = Decimal(str(found["cost"])) if found["priced"] else None
    return {
        "runs": found["runs"],
        "calls": found["calls"],
        "billed": found["billed"],
        "cost": None if cost is None else str(cost),
        "runs_with_cost": found["runs_with_cost"],
    }


async def _history(database: Database, spells: dict[str, Any]) -> dict[str, Any]:
    """Return the number of spells and, if they can be counted quickly, the number by collection."""
    if spells["estimate"]:
        return {"spells": spells, "by_entity": None}
    groups: list[dict[str, Any]] = [{"$sort": {"entity": 1}}, {"$group": {"_id": "$entity", "count": {"$sum": 1}}}]
    found = await (await database[HISTORY].aggregate(groups)).to_list()
    return {
        "spells": spells,
        "by_entity": {each["_id"]: each["count"] for each in sorted(found, key=lambda e: e["_id"])},
    }
