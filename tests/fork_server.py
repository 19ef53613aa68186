"""Starts `python -m scrapy` and sandboxes in milliseconds, in processes forked from one with all imports done.

A new interpreter spends two seconds on imports, which is most of the time of a small crawl. A forked process has its
own pid, environment, working directory and standard streams, receives signals and ends as an interpreter does; only
the imported modules are not its own. `Popen` has the interface of `subprocess.Popen` and uses a fork server for the
commands that it can start; it starts all others normally. The server's program is this file too.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_OF_CRAWLS = (
    *("scrapy.cmdline", "scrapy.commands", "scrapy.dupefilters", "scrapy.pqueues", "scrapy.squeues"),
    *("scrapy.downloadermiddlewares", "scrapy.extensions", "scrapy.spidermiddlewares"),
    *("tldextract", "uvloop", "xingtu_crawler"),
)
_MODULES = {
    "scrapy": _OF_CRAWLS,
    "tests.script": _OF_CRAWLS,
    "xingtu_crawler": _OF_CRAWLS,
    "xingtu_crawler.sandbox": ("xingtu_crawler.sandbox",),
}
"""Modules run with `python -m`, each with the packages that its server imports."""
_LEFT_OUT = ("xingtu_crawler.settings", "scrapy.extensions.statsmailer")
"""Modules that a server does not import: the settings read the environment at import; the other one is deprecated."""
_INTERPRETER = ("COVERAGE_", "LANG", "LC_", "LD_", "PYTHON", "TZ")
"""Prefixes of variables that only a new interpreter reads; each set of their values has its own server."""
_LENGTH = 4
_STREAMS = 4
"""Each command comes with its standard streams and a pipe for its pid and exit code."""


NewPopen = subprocess.Popen
"""Starts a new interpreter for every command."""


class Popen(subprocess.Popen[Any]):
    """A `subprocess.Popen` that starts a command with a fork server where it can."""

    _status: _Status | None = None

    def _execute_child(self, args: Sequence[str], executable: object, *more: Any) -> None:
        (preexec_fn, close_fds, pass_fds, cwd, env, _, _, shell, *pipes, _, gid, gids, uid, umask) = more[:-2]
        session, group = more[-2:]
        variables = dict(os.environ if env is None else env)
        is_special = executable or preexec_fn or pass_fds or shell or not close_fds
        is_special = is_special or (gid, gids, uid, umask, group) != (None, None, None, -1, -1)
        folder = str(cwd or Path.cwd())
        if is_special or not _is_forkable(args, folder, variables):
            super()._execute_child(args, executable, *more)  # type: ignore[misc]
            return
        command = {"module": args[2], "argv": list(args[3:]), "cwd": folder, "env": variables, "session": bool(session)}
        child_streams = pipes[0], pipes[3], pipes[5]
        streams = [own if given == -1 else given for own, given in enumerate(child_streams)]
        self._status = _server(args[2], variables).start(command, streams)
        self.pid = self._status.pid
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _internal_poll(self, *more: Any, **named: Any) -> int | None:
        if self._status is None:
            return super()._internal_poll(*more, **named)  # type: ignore[misc, no-any-return]
        if self.returncode is None:
            self.returncode = self._status.within(0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self._status is None:
            return super()._wait(timeout)  # type: ignore[misc, no-any-return]
        if self.returncode is None:
            self.returncode = self._status.within(timeout)
        if self.returncode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode


def _is_forkable(args: Sequence[str], folder: str, env: Mapping[str, str]) -> bool:
    is_module = not isinstance(args, str | bytes | os.PathLike) and args[:2] == [sys.executable, "-m"]
    paths, ours = (set(each.get("PYTHONPATH", "").split(os.pathsep)) for each in (env, os.environ))
    # It imports the same modules as this process, and this project from where the server has it.
    return is_module and args[2] in _MODULES and paths <= {*ours, str(ROOT), ""} and str(ROOT) in {folder, *paths}


class _Status:
    """The pid and the exit code of a forked process, as its server reports them."""

    def __init__(self, pipe: int) -> None:
        self._pipe = os.fdopen(pipe, "r", encoding="ascii")
        self._lock = threading.Lock()
        self._code: int | None = None
        self.pid = int(self._pipe.readline())

    def within(self, seconds: float | None) -> int | None:
        """Return the exit code, or None if the process still runs after `seconds`."""
        with self._lock:
            if self._code is None and select.select([self._pipe], [], [], seconds)[0]:
                self._code = int(self._pipe.readline())
                self._pipe.close()
            return self._code


class _Client:
    """One running fork server."""

    def __init__(self, packages: Sequence[str], env: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self._process = NewPopen(
                [sys.executable, __file__, str(theirs.fileno()), *packages],
                env=env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(self, command: Mapping[str, Any], streams: Sequence[int]) -> _Status:
        """Start one process and return when it has a pid."""
        body = json.dumps(command).encode()
        pipe, theirs = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._control, [len(body).to_bytes(_LENGTH)], [*streams, theirs])
                self._control.sendall(body)
        finally:
            os.close(theirs)
        return _Status(pipe)

    def stop(self) -> None:
        """End the server; the processes that it started continue."""
        self._control.close()
        self._process.wait()


_clients: dict[tuple[str, ...], _Client] = {}
_clients_lock = threading.Lock()


def _server(module: str, env: Mapping[str, str]) -> _Client:
    packages = _MODULES[module]
    fixed = sorted(f"{name}={value}" for name, value in env.items() if name.startswith(_INTERPRETER))
    key = (*packages, *fixed)
    with _clients_lock:
        if key not in _clients:
            _clients[key] = _Client(packages, env)
        return _clients[key]


def stop() -> None:
    """End every server of this process."""
    with _clients_lock:
        while _clients:
            _clients.popitem()[1].stop()


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork for each command; return the command in the new process, and None once the client has left."""
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the client, and that ends this server
    running: dict[int, int] = {}
    gc.collect()
    gc.freeze()  # so that a collection in a forked process does not copy every page
    while True:
        if woken in select.select([control, woken], [], [])[0]:
            woken.recv(1024)
            for pid, code in _ended(running):
                _report(running.pop(pid), code, last=True)
            continue
        length, fds, _, _ = socket.recv_fds(control, _LENGTH, _STREAMS)
        if not length:
            return None
        command: dict[str, Any] = json.loads(control.recv(int.from_bytes(length), socket.MSG_WAITALL))
        *streams, status = fds
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for number, fd in enumerate(streams):
                os.dup2(fd, number)
            for fd in (*fds, *running.values(), *(each.detach() for each in (control, woken, wake))):
                os.close(fd)
            return command
        running[pid] = status
        _report(status, pid)
        for fd in streams:
            os.close(fd)


def _ended(running: Mapping[int, int]) -> list[tuple[int, int]]:
    found = []
    for each in running:
        pid, status = os.waitpid(each, os.WNOHANG)
        if pid:
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def _report(pipe: int, number: int, *, last: bool = False) -> None:
    with contextlib.suppress(BrokenPipeError):  # the test has ended without waiting
        os.write(pipe, f"{number}\n".encode())
    if last:
        os.close(pipe)


def _import(packages: Sequence[str]) -> None:
    for name in packages:
        package = import_module(name)
        for each in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{name}."):
            if each.name not in _LEFT_OUT and not each.name.endswith("__main__"):
                import_module(each.name)
    assert "twisted.internet.reactor" not in sys.modules  # installed once per process


def _become(command: Mapping[str, Any]) -> None:
    """Run the command in this process, as `python -m MODULE` does."""
    os.environ.clear()
    os.environ.update(command["env"])
    time.tzset()
    os.chdir(command["cwd"])
    if command["session"]:
        os.setsid()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # The old objects remember properties of the old files.
        old = getattr(sys, name)
        binary = open(old.fileno(), f"{mode}b", closefd=False)  # noqa: SIM115
        is_line = name == "stderr" or binary.isatty()
        new = io.TextIOWrapper(binary, encoding=old.encoding, errors=old.errors, line_buffering=is_line)
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    module = command["module"]
    sys.argv = [module, *command["argv"]]
    sys.path[0] = str(Path.cwd())
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    _import(sys.argv[2:])
    todo = _serve(socket.socket(fileno=int(sys.argv[1])))
    if todo is not None:
        _become(todo)
