"""Runs a sandbox as a process: event loop, socket, signals, the ready line, the watch on the parent process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TextIO

from aiohttp import web

from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox.options import Config
from xingtu_crawler.sandbox.server import Sandbox

READY = "Sandbox ready at "
"""The beginning of the ready line; the base URL follows."""

_HANG_UP_SECONDS = 0.2


def main(make_config: Callable[[], Config]) -> int:
    """Run a sandbox until it is stopped and return the exit code; an error is one line on standard error."""
    try:
        # The ready line contains Chinese characters, which not every terminal can show.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        run(make_config())
    except SandboxError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def run(config: Config) -> None:
    """Serve until SIGINT, SIGTERM or, with `parent_pipe`, the end of standard input.

    Writes one line to standard output when the sandbox is ready. Raises `SandboxError` if it cannot listen.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(config, sys.stdout))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - optional, and faster
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(config: Config, out: TextIO) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if config.parent_pipe:
        watch = threading.Thread(target=_watch_parent, args=(loop, stop), daemon=True)
        watch.start()
    # The server cancels the handler when its client disconnects; this ends calls that never get a response.
    handler = web.Server(Sandbox(config).handle, access_log=None, handler_cancellation=True)
    try:
        server = await loop.create_server(handler, config.host, config.port, backlog=1024)
    except OSError as error:
        raise SandboxError(_why_not(error, config)) from error
    port = server.sockets[0].getsockname()[1]
    out.write(_ready_line(config, port))
    out.flush()
    await stop.wait()
    server.close()
    await handler.shutdown(_HANG_UP_SECONDS)


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # The pipe ends with the parent process, even after kill -9.
    while os.read(0, 1024):
        pass
    # The loop may have ended for another reason.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(stop.set)


def _ready_line(config: Config, port: int) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    url = f"http://{host}:{port}"
    return (
        f"{READY}{url} ({config.authors} authors, seed {config.seed}, day {config.day}). Crawl it: "
        f"JUSTONEAPI_ENV=sandbox JUSTONEAPI_BASE_URL={url} "
        "scrapy crawl author_square -a keyword=美食\n"
    )


def _why_not(error: OSError, config: Config) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {config.port} on {config.host} is in use: choose another one with --port (0: any free port)."
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return f"cannot listen on {config.host} port {config.port} ({reason}): choose others with --host and --port."
