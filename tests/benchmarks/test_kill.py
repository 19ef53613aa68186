"""What the benchmark of kills reports as broken."""

from __future__ import annotations

import pytest

from benchmarks.crawling import IN_FLIGHT, DetailKey
from benchmarks.dataset_check import Dataset
from benchmarks.kill import Kill, Tally, explain

WHOLE = Dataset(10, complete=10, videos=30)


def _detail(number: int) -> DetailKey:
    return "base_info", str(number), "SHORT_VIDEO"


def _kill(lost: set[DetailKey] | None = None, *, made: int = 5, answers_before: int = 5) -> Kill:
    return Kill(made=made, unanswered=IN_FLIGHT - 10, lost=lost or set(), answers_before=answers_before)


def test_a_tally_of_kills_without_a_fault() -> None:
    assert Tally(2, WHOLE, [_kill(), _kill()], exit_code=0).broken() == []


@pytest.mark.parametrize("kills", [[], [_kill()], [_kill(), _kill(made=0)]])
def test_kills_that_came_too_late_or_too_early_do_not_count(kills: list[Kill]) -> None:
    assert any("2 kills hit a running crawl" in claim for claim in Tally(2, WHOLE, kills, exit_code=0).broken())


def test_more_lost_answers_than_can_be_in_flight_are_broken() -> None:
    many = {_detail(number) for number in range(IN_FLIGHT + 1)}  # and 54 without an answer
    assert Tally(1, WHOLE, [_kill(many)], exit_code=0).broken() == ["at most 80 were in flight"]


def test_each_lost_answer_explains_one_repeated_call() -> None:
    tally = Tally(2, WHOLE, [_kill({_detail(1)}, answers_before=2), _kill({_detail(2)}, answers_before=4)])
    # 1 and 2 before the first kill, 1 again and 3 before the second, then both a second and a third time.
    explain([_detail(number) for number in (1, 2, 1, 3, 2, 1)], tally)
    assert (tally.answered_twice, [kill.repeated for kill in tally.kills], tally.unexplained) == (3, [1, 1], 1)
    assert "only what was in flight at a kill is asked again" in tally.broken()


def test_a_call_repeated_before_the_kill_is_not_explained_by_it() -> None:
    tally = Tally(1, WHOLE, [_kill({_detail(1)}, answers_before=2)])
    explain([_detail(1), _detail(1)], tally)
    assert tally.unexplained == 1


@pytest.mark.parametrize(
    "dataset",
    [
        Dataset(10, complete=9, videos=30),
        Dataset(10, complete=10, videos=30, unstored=1),
        Dataset(10, complete=10, videos=30, duplicates=1),
        Dataset(10, complete=10, videos=30, videos_missing=1),
        Dataset(10, complete=10),
    ],
)
def test_a_dataset_with_a_fault_is_broken(dataset: Dataset) -> None:
    assert len(Tally(1, dataset, [_kill()], exit_code=0).broken()) == 1
