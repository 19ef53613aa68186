"""The fixture `start` of the sandbox's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.sandbox.client import Start, starter


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """A function that starts a sandbox with command-line arguments in the test's event loop."""
    async with starter() as begin:
        yield begin
