"""Bounds the memory that bodies beyond `DOWNLOAD_MAXSIZE` take: as many as calls in flight would fill it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress
from functools import partial

MOST_AT_ONCE = 2
"""Maximum number of such bodies in memory, from the moment when they are read on until they are stored."""
_PATIENCE_S = 10.0
"""Seconds to wait for room: then a body is read on all the same, before the call times out and is lost."""
_LOOK_S = 0.1
"""Seconds between two looks for bodies that nothing needs any more."""


class LargeBodies:
    """Counts the large bodies of one crawl as long as anything holds them."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._turn = asyncio.Lock()

    async def wait_for_room(self) -> Callable[[], None]:
        """Return when there is room for one more, with what gives the room back; pass that to `CountedBody`."""
        async with self._turn:
            for _ in range(round(_PATIENCE_S / _LOOK_S)):
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._room.acquire()
                        return partial(_give_back, asyncio.get_running_loop(), self._room)
                gc.collect()  # an exception and its traceback hold each other, and a crawl seldom collects
        return lambda: None


def _give_back(loop: asyncio.AbstractEventLoop, room: asyncio.Semaphore) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(room.release)  # an object can be freed in any thread


class CountedBody(bytes):
    """A body that gives its room back when nothing holds it any more."""

    give_back: Callable[[], None]

    @classmethod
    def of(cls, body: bytes, give_back: Callable[[], None]) -> CountedBody:
        """Return a copy of `body` that calls `give_back` when it is freed."""
        counted = cls(body)
        counted.give_back = give_back
        return counted

    def __del__(self) -> None:
        self.give_back()
