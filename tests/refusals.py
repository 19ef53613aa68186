"""Checks the one line with which an argument is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from xingtu_crawler.exceptions import ArgumentError

T = TypeVar("T")


def refusal(read: Callable[[T], object], argument: T) -> str:
    """Return the message of the `ArgumentError` that `read(argument)` raises: one line, encodable as UTF-8."""
    with pytest.raises(ArgumentError) as caught:
        read(argument)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    message.encode()
    return message
