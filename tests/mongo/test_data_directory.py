"""The directory of the embedded MongoDB: created private, and refused where that is impossible."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.data_directory import prepare

NOBODY = 65534
OTHER = "choose another directory, or set MONGO_URI."


def refusal(directory: Path, min_free_bytes: int = 0) -> str:
    with pytest.raises(StorageError) as raised:
        prepare(directory, min_free_bytes)
    return str(raised.value)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """An open directory, and a user for whom modes count (root becomes nobody during the test)."""
    directory = Path(tempfile.mkdtemp(prefix="open"))
    root = os.geteuid() == 0
    if root:
        os.chown(directory, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield directory
    if root:
        os.seteuid(0)
    directory.chmod(0o700)
    shutil.rmtree(directory)


def test_it_is_created_private_with_its_parents(tmp_path: Path) -> None:
    directory = tmp_path / ".data" / "mongo"
    assert prepare(directory, 0) == directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert prepare(directory, 0) == directory


def test_the_real_path_is_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    assert prepare(Path("link"), 0) == tmp_path / "real"


@pytest.mark.parametrize("below", [(), ("mongo",), ("x", "mongo")])
def test_a_file_in_its_place(tmp_path: Path, below: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    directory = tmp_path.joinpath("file", *below)
    assert refusal(directory) == f"{directory} cannot hold MongoDB's data because it is a file: {OTHER}"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o500])
def test_a_mode_that_is_not_private(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    assert refusal(tmp_path) == (
        f"Other users may access {tmp_path} (mode {mode:04o}): run `chmod 700 {tmp_path}`, or {OTHER}"
    )
    tmp_path.chmod(0o700)


def test_a_parent_that_is_not_writable(unprivileged: Path) -> None:
    unprivileged.chmod(0o555)
    directory = unprivileged / "mongo"
    assert refusal(directory) == f"{directory} cannot be created (Permission denied): {OTHER}"


def test_the_directory_of_another_user() -> None:
    theirs = Path("/proc/1") if os.geteuid() else Path(tempfile.mkdtemp(prefix="theirs"))
    if not os.geteuid():
        os.chown(theirs, NOBODY, NOBODY)
    uid = theirs.stat().st_uid
    assert refusal(theirs) == f"{theirs} belongs to another user (uid {uid}): {OTHER}"
    if not os.geteuid():
        theirs.rmdir()


def test_a_full_disk(tmp_path: Path) -> None:
    directory = tmp_path / "mongo"
    text = refusal(directory, 10**18)
    start, end = f"Not enough disk space for MongoDB in {directory} (", " MB free, 1,000,000,000,000 MB required): "
    assert text.startswith(start)
    free, _, advice = text.removeprefix(start).partition(end)
    assert advice == "free some space, or set MONGO_URI."
    assert int(free.replace(",", "")) == pytest.approx(shutil.disk_usage(directory).free / 1e6, rel=0.2)
