"""The room for further details."""

from __future__ import annotations

import asyncio

from xingtu_crawler.spiders.backlog import Backlog


def test_there_is_room_below_the_limit() -> None:
    backlog = Backlog(3)
    backlog.add(2)
    assert backlog.has_room
    backlog.add(1)
    assert not backlog.has_room
    backlog.remove(1)
    assert backlog.has_room


async def test_a_waiter_goes_on_when_there_is_room_and_not_before() -> None:
    backlog = Backlog(2)
    await backlog.wait_for_room()
    backlog.add(4)
    waiting = asyncio.create_task(backlog.wait_for_room())
    for _ in range(2):
        backlog.remove(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    backlog.remove(1)
    await asyncio.wait_for(waiting, 5)


async def test_a_waiter_that_is_woken_too_late_waits_on() -> None:
    backlog = Backlog(1)
    backlog.add(1)
    waiting = asyncio.create_task(backlog.wait_for_room())
    await asyncio.sleep(0)
    backlog.remove(1)
    backlog.add(1)  # the room is gone when the waiter runs
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    backlog.remove(1)
    await asyncio.wait_for(waiting, 5)
