"""What earlier crawls say of the next one: pace, cost of a call, share of retries, how far counts are off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from pymongo import DESCENDING
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.tokens import QUOTA_ZONE
from xingtu_crawler.storage.collections import DAILY_CALLS, RUNS, SWEEPS

FEWEST_CALLS = 20
"""Minimum number of calls of a run whose pace and retries count: a shorter one takes most of its time to start."""
RECENT_RUNS, RECENT_SWEEPS = 3, 20
"""Number of runs, and of sweeps, that are looked at."""


@dataclass(frozen=True, slots=True)
class Experience:
    """What earlier runs and sweeps say; the ids are those of the runs."""

    rate: float | None = None
    """Calls per second."""
    rate_from: str | None = None
    cost_per_call: Decimal | None = None
    cost_from: str | None = None
    retries: float = 0.0
    """Retries per call that is no retry, at most."""
    fewer: float = 0.0
    """Share of the counted authors that a search did not show, at most."""
    more: float = 0.0
    """Share by which a search showed more authors than it counted, at most."""

    def retries_of(self, calls: int) -> int:
        """Return how many retries this many calls may need."""
        return math.ceil(calls * self.retries)


async def experience(database: AsyncDatabase[dict[str, Any]]) -> Experience:
    """Return what the last runs and sweeps say; a figure that none of them has stays at its default."""
    newest = [("started_at", DESCENDING)]
    ended = {"state": {"$ne": "running"}, "calls.total": {"$gte": FEWEST_CALLS}, "seconds": {"$gt": 0}}
    recent = await database[RUNS].find(ended, {"calls": 1, "seconds": 1}, sort=newest, limit=RECENT_RUNS).to_list()
    paced = recent[0] if recent else None
    cost, cost_from = await _cost(database)
    fewer, more = await _deviation(database)
    return Experience(
        rate=paced["calls"]["total"] / paced["seconds"] if paced else None,
        rate_from=paced["_id"] if paced else None,
        cost_per_call=cost,
        cost_from=cost_from,
        retries=_share(recent),
        fewer=fewer,
        more=more,
    )


def _share(runs: list[dict[str, Any]]) -> float:
    """Return the retries per other call, with the room that a count of random events needs; 0 if there were none."""
    retries = sum(run["calls"].get("retries") or 0 for run in runs)
    others = sum(run["calls"]["total"] for run in runs) - retries
    return (retries + 3 * math.sqrt(retries) + 1) / max(1, others) if retries else 0.0


async def _cost(database: AsyncDatabase[dict[str, Any]]) -> tuple[Decimal | None, str | None]:
    """Return the cost of a billed call and the run that it is from: the last one whose cost is known.

    A run that has spent nothing says nothing: its calls were refused, or the account was topped up meanwhile.
    """
    has_spent = {"$gt": [{"$toDecimal": "$cost.spent"}, 0]}
    known = {"cost.per_call": {"$type": "string"}, "calls.total": {"$gt": 0}, "$expr": has_spent}
    priced = None
    # The one call of a plan is a search; the cost of a crawl includes details.
    for condition in ({**known, "close_reason": {"$ne": "planned"}}, known):
        priced = priced or await database[RUNS].find_one(
            condition, {"cost": 1, "calls": 1}, sort=[("started_at", DESCENDING)]
        )
    if priced is None:
        return None, None
    cost = Decimal(priced["cost"]["spent"]) / (priced["calls"].get("billed") or priced["calls"]["total"])
    return cost, priced["_id"]


async def _deviation(database: AsyncDatabase[dict[str, Any]]) -> tuple[float, float]:
    """Return by which share the last complete sweeps found fewer authors, and more authors, than the API counted."""
    counted = {"fewer": {"$type": "number"}, "total_count": {"$gte": FEWEST_CALLS}, "state": "finished"}
    sweeps = await (
        database[SWEEPS]
        .find(counted, {"fewer": 1, "total_count": 1}, sort=[("started_at", DESCENDING)], limit=RECENT_SWEEPS)
        .to_list()
    )
    shares = [sweep["fewer"] / sweep["total_count"] for sweep in sweeps]
    return max([0.0, *shares]), max([0.0, *(-share for share in shares)])


async def left_today(database: AsyncDatabase[dict[str, Any]], cap: int, now: datetime) -> int | None:
    """Return the number of calls left today (`now`, timezone-aware), or None if there is no limit (`cap` 0)."""
    if not cap:
        return None
    day = await database[DAILY_CALLS].find_one({"_id": now.astimezone(QUOTA_ZONE).date().isoformat()})
    return max(0, cap - (day["calls"] if day else 0))


def days_needed(calls: int, *, left: int, cap: int) -> int:
    """Return the number of days on which the crawl must run to make `calls` calls, `left` of them today."""
    return 1 if calls <= left else 1 + -(-(calls - left) // cap)


def cost_of(calls: int, per_call: Decimal) -> Decimal:
    """Return the cost of a number of calls in the account's currency, to four places."""
    return (calls * per_call).quantize(Decimal("0.0001"), ROUND_HALF_UP)
