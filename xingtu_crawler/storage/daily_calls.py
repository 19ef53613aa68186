"""The daily cap: calls of all runs and processes together, counted in MongoDB by day (Asia/Shanghai).

Calls are claimed a few at a time before they are made, so that the cap is never exceeded, and a crash can
only leave some of it unused.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from functools import partial
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError

from xingtu_crawler.api.tokens import QUOTA_ZONE
from xingtu_crawler.storage.collections import DAILY_CALLS
from xingtu_crawler.storage.patience import Patience

_CLAIM = 16
"""How many calls are claimed at once: a crash can leave so many of the day's calls unused."""


class DailyCalls:
    """The calls of one day, `cap` of them at most."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], patience: Patience, cap: int) -> None:
        self._days = database[DAILY_CALLS]
        self._patience = patience
        self._cap = cap
        self._claimed = 0
        self._day = ""
        self._lock = asyncio.Lock()

    async def take(self, now: datetime) -> bool:
        """Claim one call; False where the day's calls are used up. `now` is timezone-aware.

        Raises `StorageError` where MongoDB stayed away for longer than the patience.
        """
        async with self._lock:
            day = now.astimezone(QUOTA_ZONE).date().isoformat()
            if day != self._day:
                self._day, self._claimed = day, 0
            if self._claimed == 0:
                self._claimed = await self._claim(day)
            if self._claimed == 0:
                return False
            self._claimed -= 1
            return True

    def put_back(self, taken_at: datetime) -> None:
        """Return one call that was taken and not made."""
        if taken_at.astimezone(QUOTA_ZONE).date().isoformat() == self._day:
            self._claimed += 1

    async def give_back(self) -> None:
        """Return what was claimed and not used.

        Tried once: where the answer is lost, a second try could give back what others have claimed since.
        """
        claimed, self._claimed = self._claimed, 0
        if claimed:
            with contextlib.suppress(PyMongoError):
                await self._days.update_one({"_id": self._day}, {"$inc": {"calls": -claimed}})

    async def _claim(self, day: str) -> int:
        for size in (_CLAIM, 1):  # near the cap, one by one
            if size > self._cap:
                continue
            try:
                await self._patience.outlast(partial(self._add, day, size), swift=True)
            except DuplicateKeyError:
                continue  # the day is there, and has fewer calls left
            return size
        return 0

    async def _add(self, day: str, size: int) -> None:
        room = {"_id": day, "calls": {"$lte": self._cap - size}}
        await self._days.update_one(room, {"$inc": {"calls": size}}, upsert=True)
