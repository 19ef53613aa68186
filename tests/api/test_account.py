"""What was spent, by account."""

from __future__ import annotations

from decimal import Decimal

import pytest

from xingtu_crawler.api.account import Change, spent


def change(before: int, after: int) -> Change:
    return Decimal(before), Decimal(after)


@pytest.mark.parametrize(
    ("named", "unnamed", "total"),
    [
        ([], [], 0),
        ([change(10, 8)], [], 2),
        ([], [change(10, 8), change(20, 17)], 5),
        ([], [change(10, 8), change(10, 8)], 2),  # two tokens of one account
        ([], [change(10, 8), change(10, 7)], 5),  # two accounts topped up by as much
        ([change(10, 8), change(10, 8)], [], 4),  # named as two accounts
        ([change(10, 8)], [change(10, 8)], 2),
    ],
)
def test_every_account_counts_once(named: list[Change], unnamed: list[Change], total: int) -> None:
    assert spent(named, unnamed) == total
