"""The keeper: a process that keeps the embedded mongod running while it has users, and stops it cleanly after the last.

Theory of operation (for the locks, see `embedded.py`). The keeper polls:

    what it finds                              what it does
    no user is left, or SIGTERM came           stops mongod and ends
    the data directory was deleted             kills mongod and ends
    mongod ended before it served              reports why, and ends
    mongod ended later                         starts it again, after longer and longer pauses
    mongod serves for the first time           reports that it is ready
    the socket was deleted                     stops mongod, which is then started again

It runs detached (`python -I -S`) with the standard library alone, and imports nothing of the crawler.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

USERS_LOCK = "users.lock"
"""Held shared by each user; the keeper, which alone takes it exclusively, then knows that no user is left."""
KEEPER_LOCK = "keeper.lock"
"""Held exclusively by the keeper for its whole life, and before that by the user that starts it."""
DB_DIRECTORY = "db"
MONGOD_LOG = "mongod.log"
MONGOD_PID = "mongod.pid"
OUTPUT_LOG = "keeper.log"
"""What mongod prints outside its log, as for a missing shared library, and the lines of the keeper."""

CACHE_GB = 0.25
LOG_LIMIT_BYTES = 10_000_000
START_POLL_S = 0.005
WATCH_POLL_S = 0.1
STOP_LIMIT_S = 60.0
LONGEST_RESTART_DELAY_S = 30.0
STEADY_AFTER_S = 10.0
"""A mongod that served for this long has started: its next end does not count as a failed start."""


def open_lock(path: Path) -> int:
    """Open (and create, readable by this user alone) a lock file; the descriptor is not inherited by children."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def try_lock(descriptor: int, *, exclusive: bool) -> bool:
    """Take a `flock` without waiting; return False if another process holds it."""
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Release a `flock`, also when a forked child still has a copy of the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def answers(socket_path: Path) -> bool:
    """Return whether a server listens on the socket; mongod does so only after its recovery."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(socket_path))
        except OSError:
            return False
        return True


def is_private(directory: Path) -> bool:
    """Return whether it is a directory of this user, and no link, that no other user can access."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


class StartError(Exception):
    """mongod cannot be started; raised before there is a process with a log."""


class Server:
    """One mongod on one data directory: a child of this process, or an orphan of a killed keeper."""

    def __init__(self, mongod: str, data_dir: Path, socket_path: Path) -> None:
        self._mongod = mongod
        self._data_dir = data_dir
        self._db = data_dir / DB_DIRECTORY
        self._log = data_dir / MONGOD_LOG
        self.socket_path = socket_path
        self._child: subprocess.Popen[bytes] | None = None
        self._orphan: int | None = None
        self.log_offsets = (0, 0)

    def _lock_held(self) -> bool:
        """Return whether a mongod has the data files open. Do not call it while a child starts: it needs the lock."""
        try:
            descriptor = os.open(self._db / "mongod.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not try_lock(descriptor, exclusive=True)
        finally:
            os.close(descriptor)

    def adopt(self) -> bool:
        """Take over an orphan that serves on our socket; stop one that does not.

        Raises:
            StartError: a mongod that no keeper started has the data files open.
        """
        patience = time.monotonic() + 2.0
        while self._lock_held():
            pid = _pid_in(self._data_dir / MONGOD_PID)
            if pid is not None and pid == _pid_in(self._db / "mongod.lock") and _runs_on(self._db, pid):
                self._orphan = pid
                if answers(self.socket_path):
                    return True
                self.stop()
            elif time.monotonic() > patience:  # mongod writes its pid a moment after it locks
                raise StartError(f"its data files are open in another MongoDB, see {self._db / 'mongod.lock'}")
            time.sleep(START_POLL_S)
        return False

    def start(self) -> None:
        """Start mongod and return at once; see `alive`, and `answers` of its socket.

        Raises:
            StartError: it cannot be executed, or a directory cannot be used.
        """
        try:
            with contextlib.suppress(FileExistsError):
                self.socket_path.parent.mkdir(mode=0o700)
            if not is_private(self.socket_path.parent):
                raise StartError(f"{self.socket_path.parent} is not a private directory of this user")
            self._db.mkdir(mode=0o700, exist_ok=True)
            self._rotate()
            with (self._data_dir / OUTPUT_LOG).open("ab") as output:
                self.log_offsets = (_size(self._log), output.tell())
                self._child = subprocess.Popen(  # noqa: S603 - a list, no shell; the path was chosen by the user
                    self._arguments(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self._data_dir
                )
        except OSError as error:
            raise StartError(f"{error.filename or self._mongod} cannot be used ({error.strerror})") from error

    def _arguments(self) -> list[str]:
        return [
            self._mongod,
            *("--dbpath", str(self._db), "--pidfilepath", str(self._data_dir / MONGOD_PID)),
            # The socket is the only address: no TCP port, no default socket in /tmp.
            *("--bind_ip", str(self.socket_path), "--nounixsocket", "--filePermissions", "0700"),
            *("--logpath", str(self._log), "--logappend", "--logRotate", "reopen", "--quiet", "--slowms", "1000"),
            *("--wiredTigerCacheSizeGB", str(CACHE_GB)),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        ]

    @property
    def alive(self) -> bool:
        """Whether mongod is running."""
        if self._child is not None:
            return self._child.poll() is None
        return self._orphan is not None and self._lock_held()

    @property
    def exit_status(self) -> int | None:
        """The exit status of a child that has ended (negative: the signal), else None."""
        return self._child.returncode if self._child is not None else None

    def _rotate(self) -> bool:
        if _size(self._log) <= LOG_LIMIT_BYTES:
            return False
        self._log.replace(self._log.with_name(f"{MONGOD_LOG}.1"))
        return True

    def keep_log_small(self) -> None:
        """Start a new log if it is too long; the previous one is kept."""
        if self._rotate():
            self._signal(signal.SIGUSR1)

    def _signal(self, number: int) -> None:
        pid = self._child.pid if self._child is not None else self._orphan
        if pid is not None and self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop mongod and wait until it has ended; after `STOP_LIMIT_S` kill it, which its journal makes safe."""
        deadline = time.monotonic() + STOP_LIMIT_S
        self._signal(number)
        while self.alive:
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            time.sleep(START_POLL_S)
        self._child = self._orphan = None


def _runs_on(db: Path, pid: int) -> bool:
    """Return whether a process is a mongod on these data files, not one of the same pid in another container."""
    try:
        return os.fsencode(db) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return not Path("/proc/self").exists()  # without procfs (macOS), the equal pids in both files decide


class Keeper:
    """Watches one server and its users."""

    def __init__(self, server: Server, data_dir: Path, keeper_lock: int, report: IO[str]) -> None:
        self._server = server
        self._users = open_lock(data_dir / USERS_LOCK)
        self._keeper_lock = keeper_lock
        self._lock_path = data_dir / KEEPER_LOCK
        self._report: IO[str] | None = report
        self._stopping = False
        self._failures = 0
        self._start_at = 0.0
        self._serving_since = 0.0

    def run(self) -> None:
        """Keep the server running; return once it has stopped because no user was left or SIGTERM came."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        try:
            if not self._server.adopt():
                self._server.start()
        except StartError as error:
            self._send_report(error=str(error))
            return
        ready = False
        # Once taken, the lock is held until this process ends: a user that arrives now waits for that.
        while not self._stopping and not try_lock(self._users, exclusive=True):
            if self._directory_gone():
                self._server.stop(signal.SIGKILL)
                return
            if not self._server.alive:
                if self._report is not None:
                    self._send_report(exit_status=self._server.exit_status, log_offsets=self._server.log_offsets)
                    return
                ready = False
                self._restart()
            elif not ready:
                ready = answers(self._server.socket_path)
                if ready:
                    self._serving_since = time.monotonic()
                    self._send_report(ready=True)
            elif not self._server.socket_path.exists():  # as when the temporary directory is cleaned up
                _note("the socket was deleted: restarting mongod")
                self._server.stop()
            else:
                self._server.keep_log_small()
            time.sleep(WATCH_POLL_S if ready else START_POLL_S)
        self._server.stop()

    def _on_sigterm(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _restart(self) -> None:
        """Start mongod again, after longer and longer pauses while it keeps failing; the users wait for it."""
        if self._start_at == 0.0:
            if self._serving_since and time.monotonic() - self._serving_since > STEADY_AFTER_S:
                self._failures = 0
            self._serving_since = 0.0
            delay = min(LONGEST_RESTART_DELAY_S, 0.5 * 2**self._failures) if self._failures else 0.0
            self._start_at = time.monotonic() + delay
            _note(f"mongod ended (status {self._server.exit_status}): starting it again in {delay:.1f} s")
        if time.monotonic() < self._start_at:
            time.sleep(WATCH_POLL_S)
            return
        self._start_at = 0.0
        self._failures += 1
        try:
            self._server.start()
        except StartError as error:
            _note(str(error))

    def _directory_gone(self) -> bool:
        """Return whether the data directory was deleted or replaced, so that another keeper may own the new one."""
        try:
            return not os.path.samestat(self._lock_path.stat(), os.fstat(self._keeper_lock))
        except FileNotFoundError:
            return True

    def _send_report(self, **outcome: object) -> None:
        """Report the outcome to the user that waits for the start, once, and close the pipe."""
        if self._report is not None:
            with contextlib.suppress(OSError), self._report as pipe:  # the user may have ended
                pipe.write(json.dumps(outcome))
            self._report = None


def _note(line: str) -> None:
    """Write a line to `keeper.log`, which is this process's standard error."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n")
    sys.stderr.flush()


def main(mongod: str, data_dir: str, socket_path: str, keeper_lock: str) -> None:
    """Detach, then run the keeper. `keeper_lock` is the inherited descriptor of the locked `keeper.lock`."""
    if os.fork():
        os._exit(0)  # the user waits for this process only, so the keeper is never its child
    os.setsid()
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(int(keeper_lock), False)
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    directory = Path(data_dir)
    Keeper(Server(mongod, directory, Path(socket_path)), directory, int(keeper_lock), report).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
