"""Runs: one document per crawl, there from its first moment, complete when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import DATASET_VERSION, RUNS
from xingtu_crawler.storage.writer import BulkWriter, Write
from xingtu_crawler.verdict import Findings, Verdict

HEARTBEAT_S = 10.0
"""Seconds between two updates of the record of a running crawl."""
DEAD_AFTER = timedelta(seconds=6 * HEARTBEAT_S)
"""A run that has not updated its record for this long counts as crashed."""
CRASHED = Verdict.INCOMPLETE
"""The verdict on a run that crashed."""


class Runs:
    """The runs of one database."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], writer: BulkWriter, outages: Outages) -> None:
        self._runs = database[RUNS]
        self._writer = writer
        self._outages = outages

    async def start(self, run_id: str, facts: Mapping[str, Any], *, started_at: datetime) -> None:
        """Record that a crawl has begun."""
        begun = {
            "state": "running",
            "started_at": started_at,
            "ended_at": None,
            "close_reason": None,
            "verdict": None,
            "findings": [],
        }
        await self._update(run_id, {**begun, "dataset_version": DATASET_VERSION, **facts}, at=started_at)

    async def beat(self, run_id: str, figures: Mapping[str, Any], *, at: datetime) -> None:
        """Update the figures, so that a killed crawl leaves its last ones.

        A run that was marked as crashed, because it was silent for too long, is running again.
        """
        update = {"$set": {"verdict": None, **figures, "state": "running", "updated_at": at}}
        await self._writer.insist([Write(RUNS, UpdateOne({"_id": run_id, "state": {"$ne": "ended"}}, update))])

    async def end(self, run_id: str, figures: Mapping[str, Any], *, close_reason: str, at: datetime) -> None:
        """Record how the crawl ended."""
        await self._update(run_id, {**figures, "state": "ended", "ended_at": at, "close_reason": close_reason}, at=at)

    async def _update(self, run_id: str, fields: Mapping[str, Any], *, at: datetime) -> None:
        update = {"$set": {**fields, "updated_at": at}}
        await self._writer.insist([Write(RUNS, UpdateOne({"_id": run_id}, update, upsert=True))])

    async def mark_crashed(self, *, now: datetime) -> None:
        """Mark the runs without a heartbeat for a minute as crashed, and give them their verdict."""
        silent = {"state": "running", "updated_at": {"$lt": now - DEAD_AFTER}}
        findings = {"$concatArrays": [{"$ifNull": ["$findings", []]}, [{"$literal": _crash()}]]}
        crashed = {"state": "crashed", "verdict": str(CRASHED), "findings": findings}
        await self._outages.retry_while_away(lambda: self._runs.update_many(silent, [{"$set": crashed}]))


def _crash() -> dict[str, Any]:
    """Return the finding of a run that has recorded no end."""
    findings = Findings()
    findings.add("crashed", "the process ended without recording how")
    (found,) = findings
    return found.as_document()
