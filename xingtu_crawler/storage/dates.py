"""Documents that are dated in the future, because the clock of the machine that wrote them was wrong.

They would count as fresh, and as newer than every answer, until that time comes. Their dates become the time of the
correction, and a mark (`dated_ahead`, the first wrong date) makes `claims` fetch them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import FAILURES, RUNS, SWEEPS, entities

AHEAD = timedelta(minutes=5)
"""How far the clocks of two machines may differ."""
DATED_AHEAD = "dated_ahead"
"""The name of the mark."""
_OF_CRAWL = ("fetched_at", "run_started_at", "changed_at", "first_seen_at")
_DATES: dict[str, tuple[str, ...]] = {
    RUNS: ("started_at", "ended_at", "updated_at"),
    SWEEPS: ("started_at", "finished_at"),
    FAILURES: ("failed_at", "first_failed_at"),
}
"""The dates of the collections without a `crawl`, the one that decides first."""

Database = AsyncDatabase[dict[str, Any]]


async def correct_dates(database: Database, outages: Outages, *, now: datetime) -> int:
    """Correct the dates that lie more than `AHEAD` after `now` (UTC); return the number of details and authors.

    Where no run and no detail is dated in the future, indexes show that, and nothing else is read.
    """
    if not await _has_any(database, outages, now):
        return 0
    corrected = 0
    for collection in entities():
        dates = [f"crawl.{name}" for name in _OF_CRAWL]
        corrected += await _correct(database, outages, collection, dates, mark=f"crawl.{DATED_AHEAD}", now=now)
    for collection, dates_of in _DATES.items():
        await _correct(database, outages, collection, dates_of, mark=DATED_AHEAD, now=now)
    return corrected


async def _has_any(database: Database, outages: Outages, now: datetime) -> bool:
    indexed = {RUNS: "started_at"} | {each.collection: "crawl.fetched_at" for each in DETAILS.values()}
    for collection, date in indexed.items():
        ahead = {date: {"$gt": now + AHEAD}}
        found = await outages.retry_while_away(
            lambda name=collection, ahead=ahead: database[name].find_one(ahead, {"_id": 1})  # type: ignore[misc]
        )
        if found is not None:
            return True
    return False


async def _correct(
    database: Database, outages: Outages, collection: str, dates: Sequence[str], *, mark: str, now: datetime
) -> int:
    # Before `now`: what is dated at the start of a run counts as fetched, or failed, by that run.
    then = now - timedelta(milliseconds=1)
    first = dates[0]
    fields: dict[str, Any] = {mark: f"${first}"}
    for date in dates:
        fields[date] = {"$cond": [{"$gt": [f"${date}", then]}, then, f"${date}"]}
    if first.startswith("crawl."):
        kept = {"$filter": {"input": "$crawl.observed_between", "cond": {"$lt": ["$$this", then]}}}
        fields["crawl.observed_between"] = {"$cond": [{"$isArray": "$crawl.observed_between"}, kept, "$$REMOVE"]}
    ahead = {first: {"$gt": now + AHEAD}}
    result = await outages.retry_while_away(lambda: database[collection].update_many(ahead, [{"$set": fields}]))
    return result.modified_count
