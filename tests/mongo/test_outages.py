"""When an outage of MongoDB begins and ends, with operations that answer, fail and hang on command."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo import outages as module
from xingtu_crawler.mongo.outages import Outages

SILENCE = 0.2


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log; an outage begins after a shorter silence than in a crawl."""
    monkeypatch.setattr(module, "_SILENCE_S", SILENCE)
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.01)
    caplog.set_level(logging.INFO)
    return caplog


def counts(log: pytest.LogCaptureFixture) -> tuple[int, int]:
    return log.text.count("MongoDB is away"), log.text.count("MongoDB is back")


def answer_after(seconds: float) -> Callable[[], Awaitable[None]]:
    return lambda: asyncio.sleep(seconds)


def failing(times: int, after: float = 0.0) -> Callable[[], Awaitable[None]]:
    """Return an operation that fails this many times, each time `after` this many seconds."""
    left = times

    async def operation() -> None:
        nonlocal left
        await asyncio.sleep(after)
        if left:
            left -= 1
            raise AutoReconnect("connection closed")

    return operation


async def test_operations_answered_one_after_another_when_the_server_resumes_are_one_outage(
    log: pytest.LogCaptureFixture,
) -> None:
    outages = Outages(60)

    async def later(pause: float, operation: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(pause)
        await outages.retry_while_away(operation, swift=True)

    # The server is silent for 2 units and then answers slowly; the last operation starts shortly before it resumes.
    unit = SILENCE
    await asyncio.gather(
        later(0, answer_after(2.0 * unit)),
        later(0, answer_after(2.4 * unit)),
        later(1.8 * unit, answer_after(1.1 * unit)),
        later(1.9 * unit, answer_after(1.3 * unit)),
    )
    assert counts(log) == (1, 1)
    assert not outages.is_waiting


async def test_a_write_that_pymongo_retries_as_a_retryable_write_is_tried_again(
    log: pytest.LogCaptureFixture,
) -> None:
    refusals = [OperationFailure("This MongoDB deployment does not support retryable writes.", 20)]

    async def write() -> None:
        if refusals:
            raise refusals.pop()

    await Outages(60).retry_while_away(write, swift=True)
    assert counts(log) == (1, 1)


async def test_answered_reads_do_not_hide_silent_writes(log: pytest.LogCaptureFixture) -> None:
    outages = Outages(3 * SILENCE)
    ended: list[StorageError] = []
    outages.when_over = ended.append

    async def read_on() -> None:
        while True:
            await outages.retry_while_away(answer_after(0.01))

    reading = asyncio.create_task(read_on())
    with pytest.raises(StorageError, match="start it"):
        await outages.retry_while_away(answer_after(60), swift=True)
    with pytest.raises(StorageError):
        await reading
    assert counts(log) == (1, 0)
    assert len(ended) == 1


async def test_mongodb_is_away_until_the_last_waiting_operation_is_done(log: pytest.LogCaptureFixture) -> None:
    outages = Outages(60)
    slow = asyncio.create_task(outages.retry_while_away(failing(6)))
    await outages.retry_while_away(failing(2))
    assert outages.is_waiting
    assert counts(log) == (1, 0)
    await slow
    assert not outages.is_waiting
    assert counts(log) == (1, 1)


async def test_cancelling_a_waiting_operation_ends_the_outage(log: pytest.LogCaptureFixture) -> None:
    outages = Outages(60)
    waiting = asyncio.create_task(outages.retry_while_away(failing(10**6)))
    while not outages.is_waiting:
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not outages.is_waiting
    assert counts(log) == (1, 0)


async def test_an_error_of_the_operation_is_no_outage(log: pytest.LogCaptureFixture) -> None:
    async def refuse() -> None:
        raise OperationFailure("no such thing", 9)

    with pytest.raises(OperationFailure, match="no such thing"):
        await Outages(60).retry_while_away(refuse)
    assert counts(log) == (0, 0)
