"""A lease in MongoDB: what only one process does at a time. One that dies loses its lease after a while.

Times are the server's, so that the clocks of several machines do not matter.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import META

LENGTH_S = 15.0
"""Seconds after which a holder that has not renewed its lease counts as dead."""
_POLL_S = 0.1


class Lease:
    """The lease `name` of one database, for this process.

    Args:
        database: its collection `meta` has the lease.
        outages: waits for MongoDB where it is away.
        name: what is leased, in words.
        length: seconds after which another process may take it over, unless it is renewed.
    """

    def __init__(
        self, database: AsyncDatabase[dict[str, Any]], outages: Outages, name: str, *, length: float = LENGTH_S
    ) -> None:
        self._meta = database[META]
        self._outages = outages
        self._id = f"lease: {name}"
        self._length = length
        self._holder = secrets.token_hex(8)
        self._lock = asyncio.Lock()

    async def take(self) -> bool:
        """Take the lease or renew it; return whether this process holds it now."""
        mine = {"$literal": self._holder}
        # Without a lease, `until` is missing, which is less than any time.
        is_free = {"$or": [{"$eq": ["$holder", mine]}, {"$lt": ["$until", "$$NOW"]}]}
        until = {"$add": ["$$NOW", round(self._length * 1000)]}
        update: list[dict[str, Any]] = [
            {"$set": {"is_free": is_free}},
            {"$set": {"holder": {"$cond": ["$is_free", mine, "$holder"]}}},
            {"$set": {"until": {"$cond": ["$is_free", until, "$until"]}}},
            {"$unset": "is_free"},
        ]
        try:
            lease = await self._outages.retry_while_away(
                lambda: self._meta.find_one_and_update(
                    {"_id": self._id}, update, upsert=True, return_document=ReturnDocument.AFTER
                ),
                swift=True,
            )
        except DuplicateKeyError:  # two of them met
            return False
        return lease is not None and bool(lease["holder"] == self._holder)

    async def give_back(self) -> None:
        """Let another process take the lease at once."""
        await self._outages.retry_while_away(
            lambda: self._meta.delete_one({"_id": self._id, "holder": self._holder}), swift=True
        )

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Wait for the lease and hold it; within this process, too, one holder at a time.

        Raises `StorageError` where another process holds it for longer than two of its lengths.
        """
        async with self._lock:
            deadline = asyncio.get_running_loop().time() + 2 * self._length
            while not await self.take():
                if asyncio.get_running_loop().time() > deadline:
                    raise StorageError(f"Another process does not give back the {self._id} in meta.")
                await asyncio.sleep(_POLL_S)
            try:
                yield
            finally:
                await self.give_back()
