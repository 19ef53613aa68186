"""Spill files: no answer in them is lost, also when a crawl loads them while another writes them."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from xingtu_crawler.items.answers import DetailAnswer, FailedRequest, SearchAnswer, Stop
from xingtu_crawler.options import Options
from xingtu_crawler.storage.spill import (
    Answer,
    Spill,
    broken,
    build_answer,
    discard,
    load,
    refused,
    run_id_of,
    spilled,
    spilled_elsewhere,
    take,
)
from xingtu_crawler.storage.spill_places import why_unreadable

AT = datetime(2026, 3, 8, 9, 30, 0, 123000, tzinfo=UTC)
BODY = json.dumps({"code": "0", "data": {"id": "1", "name": "小\ud800"}}).encode()


def directory_for(data_dir: Path, **settings: str | None) -> Path:
    return Options.read({"XINGTU_DATA_DIR": data_dir, **settings}).spill_directory


def detail(star_id: str = "1", body: bytes = BODY) -> DetailAnswer:
    request = {"endpoint": "base_info", "star_id": star_id, "platform": "SHORT_VIDEO"}
    answer = build_answer(request, body, fetched_at=AT)
    assert isinstance(answer, DetailAnswer)
    return answer


def page(stop: Stop | None = None) -> SearchAnswer:
    answer = build_answer({"sweep": "s", "page": 7}, BODY, fetched_at=AT)
    assert isinstance(answer, SearchAnswer)
    answer.stop = stop
    return answer


def failure(body: bytes | None) -> FailedRequest:
    return FailedRequest(
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
def test_loading_returns_the_answers_that_were_added(tmp_path: Path, answer: Answer) -> None:
    spill = Spill(tmp_path / "deep" / "er", "run")
    spill.add(answer)
    assert list(load(spill.path)) == [answer]
    assert spill.counts == {spill.path: 1}


def test_a_run_without_spilled_answers_leaves_no_file(tmp_path: Path) -> None:
    Spill(tmp_path / "spill", "run")
    assert spilled(tmp_path / "spill") == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def _little_room() -> Iterator[None]:
    """Limit the files of this process to 500 bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    return directory


@pytest.mark.usefixtures("_little_room")
def test_a_full_disk_sends_answers_to_the_temporary_directory_and_logs_it(
    tmp_path: Path, temporary: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spill = Spill(tmp_path / "home", "run")
    home = spill.path
    for star_id in "1234":
        spill.add(detail(star_id))  # 200 bytes each: the third does not fit
    assert spill.path.is_relative_to(temporary)
    assert spill.path.parent.stat().st_mode & 0o777 == 0o700
    assert spill.counts == {home: 2, spill.path: 2}
    # The answer that was cut leaves nothing behind.
    assert list(load(home)) == [detail("1"), detail("2")]
    assert list(load(spill.path)) == [detail("3"), detail("4")]
    (logged,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert logged == (
        f"Cannot write answers to {home.parent} (File too large), they go to {spill.path}: "
        "make room, and crawl before this machine restarts"
    )
    # The message is right: the next crawl finds both files.
    assert spilled(home.parent) == sorted([home, spill.path])
    assert sum(len(list(load(path))) for path in spilled(home.parent)) == 4


@pytest.mark.usefixtures("_little_room", "temporary")
def test_no_room_anywhere_is_an_error(tmp_path: Path) -> None:
    spill = Spill(tmp_path / "home", "run")
    spill.add(detail("1"))
    with pytest.raises(OSError, match="File too large"):
        spill.add(detail("2", body=BODY + b" " * 1000))
    assert spill.counts.total() == 1


def test_a_file_in_place_of_the_directory_is_no_room(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "home").touch()
    spill = Spill(tmp_path / "home", "run")
    spill.add(detail())
    assert list(load(spill.path)) == [detail()]


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(
    ("uri", "finds_from_another_folder"),
    [(None, False), ("mongodb://db1", True)],
    ids=["embedded", "server"],
)
def test_a_temporary_file_is_found_by_crawls_into_the_same_dataset_alone(
    tmp_path: Path, uri: str | None, finds_from_another_folder: bool
) -> None:
    (tmp_path / "spill").touch()  # no directory can be made here
    here = directory_for(tmp_path, MONGO_URI=uri)
    spill = Spill(here, "run")
    spill.add(detail())
    assert spilled(here) == [spill.path]
    assert [list(load(path)) for path in spilled(here)] == [[detail()]]
    assert bool(spilled(directory_for(tmp_path / "other", MONGO_URI=uri))) == finds_from_another_folder
    assert spilled(directory_for(tmp_path, MONGO_URI=uri, MONGO_DATABASE="xingtu2")) == []
    assert spilled(directory_for(tmp_path, MONGO_URI="mongodb://db2")) == []


def test_a_temporary_directory_of_another_user_is_not_read(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "home").touch()
    spill = Spill(tmp_path / "home", "run")
    spill.add(detail())
    assert spilled(tmp_path / "home") == [spill.path]
    assert spill.path.parent.parent == temporary
    spill.path.parent.chmod(0o755)
    assert spilled(tmp_path / "home") == []


def test_a_temporary_directory_goes_with_its_last_file(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "home").touch()
    spill = Spill(tmp_path / "home", "run")
    spill.add(detail("1"))
    taken = take(spill.path)
    assert taken is not None
    spill.add(detail("2"))
    discard(taken)
    assert spilled(tmp_path / "home") == [spill.path]
    discard(spill.path)
    discard(spill.path)  # by another crawl
    assert list(temporary.iterdir()) == []


def test_a_directory_that_cannot_be_read_has_no_files_and_a_reason(tmp_path: Path) -> None:
    unreadable = tmp_path / ("x" * 300) / "spill" / "xingtu@db1"  # a name that no file system takes
    assert spilled(unreadable) == refused(unreadable) == broken(unreadable) == spilled_elsewhere(unreadable) == []
    assert why_unreadable(unreadable) == "File name too long"
    assert why_unreadable(tmp_path / "none") is None
    assert why_unreadable(tmp_path) is None


def test_each_server_has_its_own_files(tmp_path: Path) -> None:
    here, there = (directory_for(tmp_path, MONGO_URI=uri) for uri in (None, "mongodb://db1"))
    Spill(here, "run").add(detail("1"))
    Spill(there, "run").add(detail("2"))
    Spill(directory_for(tmp_path, MONGO_DATABASE="xingtu2"), "run").add(detail("3"))
    assert [list(load(path)) for path in spilled(here)] == [[detail("1")]]
    assert spilled_elsewhere(here) == [there]
    assert spilled_elsewhere(tmp_path / "none" / "xingtu@embedded") == []


def test_a_broken_line_is_not_an_answer(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "run")
    spill.add(detail("1"))
    whole = spill.path.read_bytes()
    damaged = whole.replace(b'"body": "', b'"body": "!')
    spill.path.write_bytes(whole + b'{"endpoint": "base\xff\n[]\n' + damaged)
    spill.add(detail("2"))
    assert list(load(spill.path)) == [detail("1"), None, None, None, detail("2")]


def test_one_crawl_takes_a_file_and_the_next_finds_it_after_a_crash(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "20260308T093000-5f2c1a")
    spill.add(detail())
    taken = take(spill.path)
    assert taken is not None
    assert take(spill.path) is None  # the other crawl was first
    # The crawl that took it may have died: the file is still found, under the id of its run.
    assert spilled(tmp_path) == [taken]
    again = take(taken)
    assert again is not None
    assert run_id_of(again) == run_id_of(taken) == "20260308T093000-5f2c1a"
    assert list(load(again)) == [detail()]


def test_a_run_whose_file_was_taken_starts_a_new_one(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "run")
    spill.add(detail("1"))
    taken = take(spill.path)
    assert taken is not None
    spill.add(detail("2"))
    assert list(load(taken)) == [detail("1")]
    assert list(load(spill.path)) == [detail("2")]


def test_an_answer_is_written_again_if_its_file_was_taken_meanwhile(
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
    assert spill.counts == {spill.path: 1}
    # The crawl that took the file may have read it before the line was there. Loading an answer twice is harmless.
    assert list(load(spill.path)) == [detail()]


def test_a_file_that_another_crawl_has_taken_yields_nothing(tmp_path: Path) -> None:
    spill = Spill(tmp_path, "run")
    spill.add(detail())
    taken = take(spill.path)
    assert taken is not None
    assert take(taken) is not None  # by another crawl, which takes this one for dead
    assert list(load(taken)) == []


def test_an_answer_is_on_the_disk_before_add_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: dict[int, int] = {}
    real = os.fsync

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced[found.st_ino] = found.st_size
        real(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    spill = Spill(tmp_path / "spill", "run")
    for star_id in "12":
        spill.add(detail(star_id))
        found = spill.path.stat()
        assert synced[found.st_ino] == found.st_size > 0
    assert spill.path.parent.stat().st_ino in synced  # or the file could lose its name
