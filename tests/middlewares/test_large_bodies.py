"""Large bodies: only a few are in memory at once, and each gives its room back when it is freed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from xingtu_crawler.middlewares import large_bodies
from xingtu_crawler.middlewares.large_bodies import MOST_AT_ONCE, CountedBody, LargeBodies


async def bodies(room: LargeBodies, count: int) -> list[CountedBody]:
    return [CountedBody.of(b"x", await room.wait_for_room()) for _ in range(count)]


async def until_waiting(task: asyncio.Task[Callable[[], None]]) -> bool:
    """Return whether a task still waits after the event loop has turned some times."""
    for _ in range(20):
        await asyncio.sleep(0)
    return not task.done()


async def test_another_body_waits_until_one_is_freed() -> None:
    room = LargeBodies()
    held = await bodies(room, MOST_AT_ONCE)
    task = asyncio.create_task(room.wait_for_room())
    assert await until_waiting(task)
    assert held.pop() == b"x"
    (await task)()


async def test_a_body_in_a_circle_of_references_is_freed() -> None:
    room = LargeBodies()
    circle: list[object] = list(await bodies(room, MOST_AT_ONCE))
    circle.append(circle)
    del circle
    (await room.wait_for_room())()


async def test_after_a_while_a_body_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_bodies, "_PATIENCE_S", 0.1)
    room = LargeBodies()
    held = await bodies(room, MOST_AT_ONCE + 1)
    assert len(held) == MOST_AT_ONCE + 1
