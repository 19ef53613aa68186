"""What `make bench` prints and calls reached."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from benchmarks.bench import runs_table, verdicts_table
from benchmarks.contest import OURS, TUNED, BenchmarkError, Run
from benchmarks.figure import Figure

RUN = Run(OURS, 10, 50, 41, 10, 64, seconds=4.1, wall=5, cpu=1, peak=120, early=100)


def _printed(table: Table) -> list[str]:
    console = Console(width=140)
    with console.capture() as captured:
        console.print(table)
    return captured.get().splitlines()


def test_one_table_has_every_scenario_and_crawler_with_the_ratio_to_ours() -> None:
    fast = replace(RUN, crawler=TUNED, seconds=2.05)
    lines = _printed(runs_table([("speed", [RUN, fast]), ("limit", [RUN])]))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if OURS in line or TUNED in line]
    assert [row[0] for row in rows] == ["speed, 10 authors", "", "limit, 10 authors"]
    assert [(row[3], row[5]) for row in rows] == [("10", "1.00"), ("20", "2.00"), ("10", "1.00")]


def test_growth_that_was_not_measured_is_no_growth_of_zero() -> None:
    assert RUN.growth == pytest.approx(0.2)
    with pytest.raises(BenchmarkError, match="too fast to be measured"):
        _ = replace(RUN, early=None).growth


def test_a_figure_is_told_with_what_it_reaches() -> None:
    figures = [Figure("growth", value, 15.0, 5.0, at_most=True) for value in (4.0, 10.0, 16.0)]
    lines = _printed(verdicts_table([("memory", figure) for figure in figures]))
    told = [line.split("│")[-2].strip() for line in lines if "growth" in line]
    assert told == ["aim", "floor", "NO"]
