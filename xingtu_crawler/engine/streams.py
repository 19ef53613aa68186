"""The standard streams of a process: there even if its parent has closed them, and safe to write any text to."""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import suppress

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def secure_streams() -> None:
    """Open what the parent has closed (`2>&-`), and escape what a stream's encoding lacks.

    A closed descriptor would be given to the next file or socket, and messages would be written into that.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    _escape(sys.stdout)
    _escape(sys.stderr)
    logging.raiseExceptions = False  # no tracebacks about the log itself; see `secure_log`


def secure_log() -> None:
    """Escape what the encoding of the log lacks, and report a log that cannot be written once, in one line."""
    for handler in logging.root.handlers:
        if isinstance(handler, logging.StreamHandler):
            _escape(handler.stream)
            handler.handleError = _Report()  # type: ignore[method-assign]


def discard_output() -> None:
    """Write what is still to come on standard output nowhere: its reader has read enough (`| head`)."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Report:
    """Takes the errors of a log handler, for which Python prints a traceback at every record."""

    def __init__(self) -> None:
        self._has_reported = False

    def __call__(self, record: logging.LogRecord) -> None:
        if self._has_reported:
            return
        self._has_reported = True
        error = sys.exc_info()[1]
        reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        with suppress(OSError, ValueError):
            sys.stderr.write(f"The log cannot be written ({reason}): the crawl goes on without it.\n")


def _escape(stream: object) -> None:
    if isinstance(stream, io.TextIOWrapper):
        with suppress(OSError):  # a full disk
            stream.reconfigure(errors="backslashreplace")
