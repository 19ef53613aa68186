"""The details that are open, and the room for more: it bounds what waits, and keeps work ready."""

from __future__ import annotations

import asyncio


class Backlog:
    """Counts the details that are requested, or about to be, and not answered yet; there is room below `limit`."""

    def __init__(self, limit: int) -> None:
        self.open = 0
        self._limit = limit
        self._room = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether so few details are open that more should be found."""
        return self.open < self._limit

    def add(self, details: int) -> None:
        """Record that this many details are about to be requested."""
        self.open += details

    def remove(self, details: int) -> None:
        """Record that this many details are answered, or turned out to be up to date."""
        self.open -= details
        if self.has_room:
            self._room.set()

    async def wait_for_room(self) -> None:
        """Return when there is room."""
        while not self.has_room:
            self._room.clear()
            await self._room.wait()
