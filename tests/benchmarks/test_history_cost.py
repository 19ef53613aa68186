"""The cost of history is the median of the rounds, measured until everything is stored."""

from __future__ import annotations

from benchmarks.history_cost import KINDS, Run, ratios


def test_the_end_of_the_process_counts_and_one_odd_round_does_not() -> None:
    runs = [
        Run(number, kind, history, stored_s, 10.0, 1.0, 1.0, 100)
        for number, with_history in enumerate((12.0, 11.0, 99.0))
        for kind in KINDS
        for history, stored_s in ((True, with_history), (False, 10.0))
    ]
    assert ratios(runs) == {"stored": 1.2, "asked": 1.0, "computing": 1.0}
    assert ratios(runs, ["again"])["stored"] == 1.2
