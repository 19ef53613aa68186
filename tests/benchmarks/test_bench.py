"""`make bench`: its tables, its ratios, and crawls that store too little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from benchmarks.bench import runs_table, verdicts_table
from benchmarks.contest import OURS, TUNED, TUTORIAL, BenchmarkError, Contest, Run
from benchmarks.figure import Figure
from benchmarks.storage_cost import stored_table
from xingtu_crawler.sandbox.process import SandboxProcess

RUN = Run(
    OURS,
    authors=10,
    calls=50,
    answered=41,
    complete=10,
    in_flight=64,
    seconds=4.1,
    cpu=1.5,
    start_cpu=0.5,
    mongod_cpu=0.05,
    peak=120,
    early=100,
    stored={"videos": 200_000, "authors": 100_000},
)


def _printed(table: Table) -> list[str]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return captured.get().splitlines()


def test_table_has_every_scenario_and_crawler_with_the_ratio_to_ours() -> None:
    fast = replace(RUN, crawler=TUNED, seconds=2.05)
    lines = _printed(runs_table([("speed", [RUN, fast]), ("limit", [RUN])]))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if OURS in line or TUNED in line]
    assert [row[0] for row in rows] == ["speed, 10 authors", "", "limit, 10 authors"]
    assert [(row[3], row[5]) for row in rows] == [("10", "1.00"), ("20", "2.00"), ("10", "1.00")]


def test_growth_that_was_not_measured_is_not_zero() -> None:
    assert RUN.growth == pytest.approx(0.2)
    with pytest.raises(BenchmarkError, match="too fast to measure"):
        _ = replace(RUN, early=None).growth


def test_cpu_time_per_call_leaves_the_start_of_the_process_out() -> None:
    assert RUN.cpu_per_call == pytest.approx(20)
    assert RUN.process_cpu_per_call == pytest.approx(30)


def test_storage_counts_every_collection() -> None:
    assert RUN.stored_per_author == pytest.approx(30)
    assert RUN.mongod_per_author == pytest.approx(5)
    lines = _printed(stored_table(RUN.stored, 10, sent=20_000))
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells == [["videos", "20.00", "100%"], ["authors", "10.00", "50%"], ["all", "30.00", "150%"]]


@pytest.mark.parametrize("crawler", [OURS, TUTORIAL])
def test_crawl_with_missing_authors_is_no_measurement(
    mongo_uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], crawler: str
) -> None:
    with SandboxProcess.start(["--authors", "5"]) as sandbox:
        place = Contest(sandbox, mongo_uri, tmp_path, authors=10)
        with pytest.raises(BenchmarkError, match="5 of 10 authors are complete"):
            place.crawl(crawler)
    assert "INFO" in capsys.readouterr().err


@pytest.mark.usefixtures("new_processes")  # measured as a child process
def test_crawl_is_measured_from_its_first_call(mongo_uri: str, tmp_path: Path) -> None:
    with SandboxProcess.start(["--authors", "20"]) as sandbox:
        run = Contest(sandbox, mongo_uri, tmp_path, authors=20).crawl(OURS)
    assert (run.calls, run.complete) == (1 + 20 * 4, 20)
    assert 0 < run.start_cpu < run.cpu
    assert run.mongod_cpu > 0
    assert run.stored["author_base_info"] > 0


def test_figure_is_printed_with_what_it_reaches() -> None:
    figures = [Figure("growth", value, 15.0, 5.0, at_most=True) for value in (4.0, 10.0, 16.0)]
    lines = _printed(verdicts_table([("memory", figure) for figure in figures]))
    reached = [line.split("│")[-2].strip() for line in lines if "growth" in line]
    assert reached == ["aim", "floor", "NO"]
