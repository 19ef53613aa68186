"""The benchmark measures what it says it does; how fast anything is, no test asserts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.tutorial import OURS, QUIET_TUTORIAL, TUTORIAL, Bench, BenchmarkError, Run, compare, ratios, render
from xingtu_crawler.sandbox.process import SandboxProcess


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    """A sandbox with fewer authors than are asked for."""
    with SandboxProcess.start(["--authors", "5"]) as process:
        yield process


def test_both_crawlers_make_the_same_calls_and_store_every_author() -> None:
    runs = list(compare(authors=20, rounds=2))
    assert [run.crawler for run in runs] == [OURS, TUTORIAL, QUIET_TUTORIAL, QUIET_TUTORIAL, TUTORIAL, OURS]
    # A crawl that stored less would have raised.
    assert {run.calls for run in runs} == {1 + 20 * 4}
    assert all(0 < run.crawl_s < run.process_s for run in runs)
    assert all(run.cpu_s > 0 for run in runs)


@pytest.mark.parametrize("crawler", [OURS, TUTORIAL])
def test_a_crawl_without_every_author_is_no_measurement(
    sandbox: SandboxProcess, mongo_uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], crawler: str
) -> None:
    with pytest.raises(BenchmarkError, match=r"'authors': 5.*10 each expected"):
        Bench(sandbox, mongo_uri, tmp_path, authors=10).measure(crawler)
    assert "INFO" in capsys.readouterr().err


def test_the_ratio_is_that_of_the_medians() -> None:
    ours = [Run(OURS, 100, crawl_s, crawl_s * 2, 1.0) for crawl_s in (1.0, 2.0, 50.0)]
    tutorial = [Run(TUTORIAL, 100, crawl_s, crawl_s + 2, 1.0) for crawl_s in (0.1, 6.0, 8.0)]
    crawl, process = ratios([*tutorial, *ours])
    assert crawl == pytest.approx(3.0)
    assert process == pytest.approx(2.0)
    console = Console(width=120)
    with console.capture() as printed:
        console.print(render([*tutorial, *ours]))
    assert printed.get().count(OURS) == printed.get().count(TUTORIAL) == 3
