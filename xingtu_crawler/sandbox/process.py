"""A sandbox as a child process, for demos, tests and benchmarks. It ends with its parent.

Knows only the sandbox's command line, its ready line and its own pages.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox.serve import READY

_ROOT = Path(__file__).resolve().parents[2]
_SECRETS = "JUSTONEAPI_TOKEN"
_GRACE_SECONDS = 5.0
_REQUEST_SECONDS = 30.0
_CALLS_PER_REQUEST = 10_000


class SandboxProcess:
    """A running sandbox; `base_url` is the value for `JUSTONEAPI_BASE_URL`. Use it as a context manager."""

    def __init__(self, child: subprocess.Popen[bytes], base_url: str) -> None:
        self._child = child
        self.base_url = base_url

    @classmethod
    def start(cls, arguments: Sequence[str] = (), *, timeout: float = 15.0) -> SandboxProcess:
        """Start a sandbox on a free port with these command-line arguments and wait until it is ready.

        Raises `SandboxError` with one line if it does not start within `timeout` seconds.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), environment.get("PYTHONPATH"))))
        environment["PYTHONIOENCODING"] = "utf-8"
        command = [sys.executable, "-m", "xingtu_crawler.sandbox", "--port", "0", *arguments, "--parent-pipe"]
        with tempfile.TemporaryFile() as errors:
            child = subprocess.Popen(  # noqa: S603 - this program, with the caller's options as separate arguments
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                # After Ctrl-C the crawl still finishes its calls in flight, so the sandbox must not get the signal.
                start_new_session=True,
            )
            line = _first_line(child, timeout)
            if line is not None and line.startswith(READY):
                return cls(child, line.removeprefix(READY).split()[0])
            if line == "":
                # The child has closed its output, so it is ending.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(_GRACE_SECONDS)
            _end(child)
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
        if line is None:
            raise SandboxError(f"the sandbox was not ready within {timeout:g} seconds: run the same command again.")
        why = said[-1].removeprefix("error: ") if said else f"exit code {child.returncode}"
        raise SandboxError(f"the sandbox did not start: {why}")

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    def stop(self) -> None:
        """Stop the child and wait until it has ended; a second call does nothing."""
        _end(self._child)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ledger(self) -> dict[str, Any]:
        """Return the ledger's counts."""
        counts: dict[str, Any] = self._ask("GET", "/__ledger")
        return counts

    def calls(self) -> list[dict[str, Any]]:
        """Return the single calls that the ledger keeps, in the order in which they ended."""
        calls: list[dict[str, Any]] = []
        while True:
            after = calls[-1]["n"] if calls else 0
            more = self._ask("GET", f"/__ledger/calls?after={after}&limit={_CALLS_PER_REQUEST}")
            calls += more
            if len(more) < _CALLS_PER_REQUEST:
                return calls

    def control(self, **changes: Any) -> dict[str, Any]:
        """Change the running sandbox (`day`, `faults`, `rate`, `latency`, `jitter`, `tokens`, `reset_ledger`).

        Returns its state; raises `SandboxError` if a change is refused.
        """
        state: dict[str, Any] = self._ask("POST", "/__control", json.dumps(changes).encode())
        return state

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        # urllib.request would use the proxy of the environment.
        connection = http.client.HTTPConnection(urlsplit(self.base_url).netloc, timeout=_REQUEST_SECONDS)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SandboxError(f"the sandbox at {self.base_url} does not respond ({type(error).__name__}).") from error
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise SandboxError(str(answer["error"]))
        return answer


def _first_line(child: subprocess.Popen[bytes], timeout: float) -> str | None:
    """Return the first line of the child's output, "" if the output ends before it, None after `timeout` seconds."""
    lines: queue.Queue[bytes] = queue.Queue()
    assert child.stdout is not None
    out = child.stdout
    threading.Thread(target=lambda: lines.put(out.readline()), daemon=True).start()
    try:
        return lines.get(timeout=timeout).decode(errors="replace")
    except queue.Empty:
        return None


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.close()
    for stop in (child.terminate, child.kill):
        # Closing the pipe asks the child to end. These signals follow if it does not.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=_GRACE_SECONDS)
            break
        stop()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()
