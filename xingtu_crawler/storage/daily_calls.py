"""The calls of all runs and processes together, counted in MongoDB by day (Asia/Shanghai), and their daily cap.

Under a cap, calls are claimed a few at a time before they are made, so that it is never exceeded, and a crash can
only leave some of it unused. Without one they are counted all the same, for a cap that is set later that day.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError

from xingtu_crawler.api.tokens import QUOTA_ZONE
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import DAILY_CALLS

_DAY = timedelta(days=1)
_CLAIM = 16
"""How many calls are claimed at once: a crash can leave so many of the day's calls unused."""


class DailyCalls:
    """The calls of each day; `cap` of them at most, where there is one."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], outages: Outages, cap: int | None) -> None:
        self._days = database[DAILY_CALLS]
        self._outages = outages
        self._cap = cap
        self._claimed = 0
        self._day = ""
        self._made: Counter[str] = Counter()
        self._known = (datetime.fromtimestamp(0, QUOTA_ZONE), "")
        self._lock = asyncio.Lock()

    async def take(self, now: datetime) -> bool:
        """Claim one call; False where the day's calls are used up. `now` is timezone-aware.

        Raises `StorageError` where MongoDB stayed away for longer than the patience.
        """
        if self._cap is None:
            self._made[self._day_of(now)] += 1
            return True
        async with self._lock:
            # Who has waited since before midnight takes of the new day.
            if (day := self._day_of(now)) > self._day:
                self._day, self._claimed = day, 0
            if self._claimed == 0:
                self._claimed = await self._claim(self._day, self._cap)
            if self._claimed == 0:
                return False
            self._claimed -= 1
            return True

    def put_back(self, taken_at: datetime) -> None:
        """Return one call that was taken and not made."""
        day = self._day_of(taken_at)
        if self._cap is None:
            self._made[day] -= 1
        elif day == self._day:
            self._claimed += 1

    def _day_of(self, moment: datetime) -> str:
        """Return the day as it is written in MongoDB; asked at every call, so that it is worked out once a day."""
        begin, name = self._known
        if not begin <= moment < begin + _DAY:
            local = moment.astimezone(QUOTA_ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
            begin, name = self._known = local, local.date().isoformat()
        return name

    async def count(self) -> None:
        """Add the calls that were made without a cap: now and then, for nobody waits for it.

        Where an answer is lost they are added again: a cap of later that day may count too many, never too few.
        """
        for day in list(self._made):
            calls = self._made.pop(day)
            try:
                await self._outages.retry_while_away(partial(self._add_all, day, calls), swift=True)
            except BaseException:
                self._made[day] += calls
                raise

    async def settle(self) -> None:
        """Count what is left, and return what was claimed and not used.

        Tried once: where the answer is lost, a second try could give back what others have claimed since.
        """
        await self.count()
        claimed, self._claimed = self._claimed, 0
        if claimed:
            with contextlib.suppress(PyMongoError):
                await self._days.update_one({"_id": self._day}, {"$inc": {"calls": -claimed}})

    async def _claim(self, day: str, cap: int) -> int:
        for size in (_CLAIM, 1):  # near the cap, one by one
            if size > cap:
                continue
            room = {"_id": day, "calls": {"$lte": cap - size}}
            try:
                await self._outages.retry_while_away(partial(self._add, room, size), swift=True)
            except DuplicateKeyError:
                continue  # the day is there, and has fewer calls left
            return size
        return 0

    async def _add_all(self, day: str, calls: int) -> None:
        try:
            await self._add({"_id": day}, calls)
        except DuplicateKeyError:  # another process has begun the day at the same moment
            await self._add({"_id": day}, calls)

    async def _add(self, condition: dict[str, Any], calls: int) -> None:
        await self._days.update_one(condition, {"$inc": {"calls": calls}}, upsert=True)
