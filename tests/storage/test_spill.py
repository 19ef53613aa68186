"""Spill files: nothing in them is lost, whoever loads them while they are written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from xingtu_crawler.items.answers import DetailAnswer, FailedQuestion, SearchAnswer, Stop
from xingtu_crawler.storage.spill import Answer, Spill, build_answer, load, run_id_of, spilled, take

AT = datetime(2026, 3, 8, 9, 30, 0, 123000, tzinfo=UTC)
BODY = json.dumps({"code": "0", "data": {"id": "1", "name": "小\ud800"}}).encode()


def detail(star_id: str = "1", body: bytes = BODY) -> DetailAnswer:
    asked = {"endpoint": "base_info", "star_id": star_id, "platform": "SHORT_VIDEO"}
    answer = build_answer(asked, body, fetched_at=AT)
    assert isinstance(answer, DetailAnswer)
    return answer


def page(stop: Stop | None = None) -> SearchAnswer:
    answer = build_answer({"sweep": "s", "page": 7}, BODY, fetched_at=AT)
    assert isinstance(answer, SearchAnswer)
    answer.stop = stop
    return answer


def failure(body: bytes | None) -> FailedQuestion:
    return FailedQuestion(
        endpoint="search",
        code=None,
        reason="malformed",
        message="not JSON",
        request_id=None,
        attempts=8,
        terminal=False,
        failed_at=AT,
        sweep="s",
        page=2,
        body=body,
        stop=Stop("pages_unreadable", 2) if body else None,
    )


@pytest.mark.parametrize(
    "answer",
    [detail(), page(), page(Stop("max_pages", 8)), page(Stop("empty_page")), failure(b"\xff<html>"), failure(None)],
    ids=str,
)
def test_what_is_loaded_is_what_was_spilled(tmp_path: Path, answer: Answer) -> None:
    spill = Spill(tmp_path / "deep" / "er", "run")
    spill.add(answer)
    assert list(load(spill.path)) == [answer]
    assert spill.count == 1


def test_a_run_without_spilled_answers_leaves_no_file(tmp_path: Path) -> None:
    Spill(tmp_path / "spill", "run")
    assert spilled(tmp_path / "spill") == []
    assert list(tmp_path.iterdir()) == []


def test_a_broken_line_is_told_from_an_answer(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "run")
    spill.add(detail("1"))
    spill.path.write_bytes(spill.path.read_bytes() + b'{"endpoint": "base\xff\n[]\n')
    spill.add(detail("2"))
    assert list(load(spill.path)) == [detail("1"), None, None, detail("2")]


def test_a_file_is_taken_by_one_and_found_again_after_a_crash(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "20260308T093000-5f2c1a")
    spill.add(detail())
    taken = take(spill.path)
    assert taken is not None
    assert take(spill.path) is None  # somebody else was first
    # Whoever took it may have died: it waits like any other, under the name of its run.
    assert spilled(tmp_path) == [taken]
    again = take(taken)
    assert again is not None
    assert run_id_of(again) == run_id_of(taken) == "20260308T093000-5f2c1a"
    assert list(load(again)) == [detail()]


def test_a_run_that_goes_on_spilling_begins_a_new_file(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "run")
    spill.add(detail("1"))
    taken = take(spill.path)
    assert taken is not None
    spill.add(detail("2"))
    assert list(load(taken)) == [detail("1")]
    assert list(load(spill.path)) == [detail("2")]


def test_an_answer_whose_file_is_taken_under_it_is_written_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spill = Spill(tmp_path, "run")
    real = Path.open
    taken: list[Path | None] = []

    def open_then_lose(path: Path, *args: str, **kwargs: str) -> object:
        file = real(path, *args, **kwargs)  # type: ignore[call-overload]  # passed on as they came
        if not taken:
            taken.append(take(path))
        return file

    monkeypatch.setattr(Path, "open", open_then_lose)
    spill.add(detail())
    monkeypatch.undo()
    assert spill.count == 1
    # Whoever took the file may have read it before the line was there; twice is as good as once.
    assert list(load(spill.path)) == [detail()]
