"""Runs: one document per crawl, there from its first moment, complete when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import RUNS
from xingtu_crawler.storage.writer import BulkWriter, Write

HISTORY_UNTIL = "history_until"
"""The field that says what the next start need not look at again, should the run be killed."""
HEARTBEAT_S = 10.0
"""How often a running crawl brings its record up to date, in seconds."""
DEAD_AFTER = timedelta(seconds=6 * HEARTBEAT_S)
"""How long a run that shows no sign of life counts as running."""


class Runs:
    """The runs of one database."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], writer: BulkWriter, outages: Outages) -> None:
        self._runs = database[RUNS]
        self._writer = writer
        self._outages = outages

    async def start(self, run_id: str, facts: Mapping[str, Any], *, started_at: datetime) -> None:
        """Record that a crawl has begun."""
        begun = {"state": "running", "started_at": started_at, "ended_at": None, "close_reason": None}
        await self._update(run_id, {**begun, **facts}, at=started_at)

    async def beat(self, run_id: str, figures: Mapping[str, Any], *, at: datetime) -> None:
        """Bring the figures up to date, so that a crawl that is killed leaves its last ones.

        A run that was silent for so long that somebody took it for dead is running again.
        """
        update = {"$set": {**figures, "state": "running", "updated_at": at}}
        await self._writer.insist([Write(RUNS, UpdateOne({"_id": run_id, "state": {"$ne": "ended"}}, update))])

    async def end(self, run_id: str, figures: Mapping[str, Any], *, close_reason: str, at: datetime) -> None:
        """Record how the crawl ended."""
        await self._update(run_id, {**figures, "state": "ended", "ended_at": at, "close_reason": close_reason}, at=at)

    async def _update(self, run_id: str, fields: Mapping[str, Any], *, at: datetime) -> None:
        update = {"$set": {**fields, "updated_at": at}}
        await self._writer.insist([Write(RUNS, UpdateOne({"_id": run_id}, update, upsert=True))])

    async def mark_crashed(self, *, now: datetime) -> None:
        """Mark the runs that have shown no sign of life for a minute as crashed, once what they left is made good."""
        silent = {"state": "running", "updated_at": {"$lt": now - DEAD_AFTER}}
        await self._outages.retry_while_away(lambda: self._runs.update_many(silent, {"$set": {"state": "crashed"}}))

    async def oldest_unended(self) -> datetime | None:
        """Return from when on what runs that have not recorded their end have fetched may be missing in `history`."""
        fields = {"started_at": 1, HISTORY_UNTIL: 1}
        unended = await self._outages.retry_while_away(lambda: self._runs.find({"state": "running"}, fields).to_list())
        return min((run.get(HISTORY_UNTIL) or run["started_at"] for run in unended), default=None)
