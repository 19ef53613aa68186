"""When an outage of MongoDB begins and ends, with operations that answer, fail and hang, in virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from tests.virtual_time import in_virtual_time
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.outages import AWAY, Outages

SILENCE = 3.0
"""Seconds of silence that count as an outage."""


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def counts(log: pytest.LogCaptureFixture) -> tuple[int, int]:
    return log.text.count("MongoDB is away"), log.text.count("MongoDB is back")


def answer_after(seconds: float) -> Callable[[], Awaitable[None]]:
    return lambda: asyncio.sleep(seconds)


def failing(times: int) -> Callable[[], Awaitable[None]]:
    """Return an operation that fails this many times."""
    left = times

    async def operation() -> None:
        nonlocal left
        await asyncio.sleep(0)
        if left:
            left -= 1
            raise AutoReconnect("connection closed")

    return operation


@in_virtual_time
async def test_operations_answered_one_after_another_when_the_server_resumes_are_one_outage(
    log: pytest.LogCaptureFixture,
) -> None:
    outages = Outages(60)

    async def later(pause: float, operation: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(pause)
        await outages.retry_while_away(operation, swift=True)

    # The server is silent for 6 s and then answers slowly; the last operations start shortly before it resumes.
    await asyncio.gather(
        later(0, answer_after(6.0)),
        later(0, answer_after(7.2)),
        later(5.4, answer_after(3.3)),
        later(5.7, answer_after(3.9)),
    )
    assert counts(log) == (1, 1)
    assert not outages.is_waiting


@in_virtual_time
async def test_a_swift_operation_is_silent_for_3_seconds_before_mongodb_is_away(log: pytest.LogCaptureFixture) -> None:
    outages = Outages(60)
    await outages.retry_while_away(answer_after(SILENCE - 0.1), swift=True)
    await outages.retry_while_away(answer_after(10 * SILENCE))
    assert counts(log) == (0, 0)
    await outages.retry_while_away(answer_after(SILENCE + 0.1), swift=True)
    assert counts(log) == (1, 1)


@in_virtual_time
async def test_a_write_that_pymongo_retries_as_a_retryable_write_is_tried_again(log: pytest.LogCaptureFixture) -> None:
    refusals = [OperationFailure("This MongoDB deployment does not support retryable writes.", 20)]

    async def write() -> None:
        if refusals:
            raise refusals.pop()

    await Outages(60).retry_while_away(write, swift=True)
    assert counts(log) == (1, 1)


@pytest.mark.parametrize("code", sorted(AWAY))
@in_virtual_time
async def test_an_error_of_the_server_is_an_outage(log: pytest.LogCaptureFixture, code: int) -> None:
    errors = [OperationFailure("not now", code)]

    async def operation() -> None:
        if errors:
            raise errors.pop()

    await Outages(60).retry_while_away(operation)
    assert counts(log) == (1, 1)


@in_virtual_time
async def test_answered_reads_do_not_hide_silent_writes(log: pytest.LogCaptureFixture) -> None:
    ended: list[StorageError] = []
    outages = Outages(60, when_over=ended.append)

    async def read_on() -> None:
        while True:
            await outages.retry_while_away(answer_after(0.1))

    reading = asyncio.create_task(read_on())
    with pytest.raises(StorageError, match="has been away for 60 s: start it"):
        await outages.retry_while_away(answer_after(600), swift=True)
    with pytest.raises(StorageError):
        await reading
    assert counts(log) == (1, 0)
    assert len(ended) == 1


@pytest.mark.parametrize(("seconds", "longest"), [(60, 15), (5, 5)])
@in_virtual_time
async def test_a_crawl_that_is_ending_waits_15_seconds_at_most(seconds: float, longest: float) -> None:
    outages = Outages(seconds, hurried=lambda: True)
    now = asyncio.get_running_loop().time
    with pytest.raises(StorageError):
        await outages.retry_while_away(failing(10**6))
    assert longest <= now() < longest + 3
    # It is over for good: the next operation is not tried.
    ended_at = now()
    with pytest.raises(StorageError):
        await outages.retry_while_away(failing(0))
    assert now() == ended_at


@in_virtual_time
async def test_mongodb_is_away_until_the_last_waiting_operation_is_done(log: pytest.LogCaptureFixture) -> None:
    outages = Outages(60)
    slow = asyncio.create_task(outages.retry_while_away(failing(6)))
    await outages.retry_while_away(failing(2))
    assert outages.is_waiting
    assert counts(log) == (1, 0)
    await slow
    assert not outages.is_waiting
    assert counts(log) == (1, 1)


@in_virtual_time
async def test_cancelling_a_waiting_operation_ends_the_outage(log: pytest.LogCaptureFixture) -> None:
    outages = Outages(60)
    waiting = asyncio.create_task(outages.retry_while_away(failing(10**6)))
    await asyncio.sleep(10)
    assert outages.is_waiting
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not outages.is_waiting
    assert counts(log) == (1, 0)


@in_virtual_time
async def test_a_user_without_rights_is_no_outage(log: pytest.LogCaptureFixture) -> None:
    ended: list[StorageError] = []
    outages = Outages(60, when_over=ended.append)

    async def refuse() -> None:
        raise OperationFailure("not authorized on xingtu", 13)

    with pytest.raises(StorageError, match="grant it the role readWrite"):
        await outages.retry_while_away(refuse)
    assert counts(log) == (0, 0)
    assert len(ended) == 1


@in_virtual_time
async def test_an_error_of_the_operation_is_no_outage(log: pytest.LogCaptureFixture) -> None:
    async def refuse() -> None:
        raise OperationFailure("no such thing", 9)

    with pytest.raises(OperationFailure, match="no such thing"):
        await Outages(60).retry_while_away(refuse)
    assert counts(log) == (0, 0)
