"""API calls of all runs and processes, counted in MongoDB by day (Asia/Shanghai), and the daily cap on them.

With a cap, a process reserves calls in MongoDB before it makes them, a few at a time. The cap is therefore never
exceeded; a killed process leaves at most one reservation unused. Without a cap, calls are counted after they are
made, so that a cap set later that day includes them; a killed process leaves the calls since its last `count` out.
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
_RESERVED_AT_ONCE = 16
"""Number of calls in one reservation. A killed process leaves at most this many of the day's calls unused."""


class DailyCalls:
    """Counts the calls of each day and enforces a daily cap.

    Args:
        database: the database of the dataset; all its users share one count.
        outages: waits for MongoDB where it is away.
        cap: maximum number of calls per day; None for no maximum.
    """

    def __init__(self, database: AsyncDatabase[dict[str, Any]], outages: Outages, cap: int | None) -> None:
        self._days = database[DAILY_CALLS]
        self._outages = outages
        self._cap = cap
        self._reserved = 0
        self._day = ""
        """The day of the reserved calls, as MongoDB has it."""
        self._uncounted: Counter[str] = Counter()
        """Calls made without a cap and not yet in MongoDB, by day."""
        self._counting: asyncio.Task[None] | None = None
        self._known_day = (datetime.fromtimestamp(0, QUOTA_ZONE), "")
        self._lock = asyncio.Lock()

    async def take(self, now: datetime) -> bool:
        """Return whether one more call may be made today, and count it. `now` is timezone-aware.

        Raises `StorageError` where MongoDB stays away for longer than the patience.
        """
        if self._cap is None:
            self._uncounted[self._day_of(now)] += 1
            return True
        async with self._lock:
            # A caller that waited for the lock over midnight still has the time of the day before.
            if (day := self._day_of(now)) > self._day:
                self._day, self._reserved = day, 0
            if self._reserved == 0:
                reserved = await self._reserve(self._day, self._cap)
                self._reserved += reserved  # a call may have been put back meanwhile
            if self._reserved == 0:
                return False
            self._reserved -= 1
            return True

    def put_back(self, taken_at: datetime) -> None:
        """Return one call that was taken and not made."""
        day = self._day_of(taken_at)
        if self._cap is None:
            self._uncounted[day] -= 1
        elif day == self._day:
            self._reserved += 1

    def _day_of(self, moment: datetime) -> str:
        """Return the day as it is written in MongoDB; computed once a day, because every call needs it."""
        begin, name = self._known_day
        if not begin <= moment < begin + _DAY:
            local = moment.astimezone(QUOTA_ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
            begin, name = self._known_day = local, local.date().isoformat()
        return name

    async def count(self) -> None:
        """Add the calls that were made without a cap to MongoDB.

        Cancelling this does not stop an update on its way: MongoDB may have applied it, and sending it again would
        count its calls twice. The next `count` or `settle` waits for it. An update whose reply is lost with its
        connection is sent again: a cap of that day may then count too many calls, never too few.
        """
        if self._counting is not None:
            await asyncio.wait({self._counting})
        self._counting = asyncio.create_task(self._add_uncounted())
        await asyncio.shield(self._counting)

    async def _add_uncounted(self) -> None:
        for day in list(self._uncounted):
            calls = self._uncounted.pop(day)
            try:
                await self._outages.retry_while_away(partial(self._add_to, day, calls), swift=True)
            except BaseException:
                self._uncounted[day] += calls
                raise

    async def settle(self) -> None:
        """Count the remaining calls, and return those that were reserved and not made.

        The return is tried once: if its reply is lost, a second try could return calls that others have reserved.
        """
        await self.count()
        reserved, self._reserved = self._reserved, 0
        if reserved:
            with contextlib.suppress(PyMongoError):
                await self._days.update_one({"_id": self._day}, {"$inc": {"calls": -reserved}})

    async def _reserve(self, day: str, cap: int) -> int:
        """Reserve calls of a day; return their number, 0 where none is left."""
        for size in (_RESERVED_AT_ONCE, 1):  # one by one near the cap
            if size > cap:
                continue
            below_cap = {"_id": day, "calls": {"$lte": cap - size}}
            try:
                await self._outages.retry_while_away(partial(self._add, below_cap, size), swift=True)
            except DuplicateKeyError:
                continue  # the day's document exists and has fewer than `size` calls left
            return size
        return 0

    async def _add_to(self, day: str, calls: int) -> None:
        try:
            await self._add({"_id": day}, calls)
        except DuplicateKeyError:  # another process inserted the day at the same moment
            await self._add({"_id": day}, calls)

    async def _add(self, condition: dict[str, Any], calls: int) -> None:
        await self._days.update_one(condition, {"$inc": {"calls": calls}}, upsert=True)
