"""The budget: `max_calls` calls and not one more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api.budget import Budget


@given(st.integers(0, 50), st.integers(0, 100))
def test_a_budget_allows_its_number_of_calls_and_no_more(max_calls: int, attempts: int) -> None:
    budget = Budget(max_calls)
    granted = [budget.take() for _ in range(attempts)]
    assert budget.is_used_up == (attempts >= max_calls)
    assert granted == [number < max_calls for number in range(attempts)]
    assert budget.calls == min(attempts, max_calls)


def test_calls_are_counted_without_a_limit() -> None:
    budget = Budget(None)
    assert all(budget.take() for _ in range(1000))
    assert budget.calls == 1000
