"""Text files that users provide: opens them, and reports in one line why one cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from xingtu_crawler.arguments.wording import shown
from xingtu_crawler.exceptions import ArgumentError


def name_of(path: Path) -> str:
    """Return a file's name as messages show it."""
    return shown(str(path), 1000)


@contextmanager
def open_text(path: Path, what: str) -> Iterator[TextIO]:
    """Open a UTF-8 file that holds one `what` per line.

    Raises `ArgumentError`, with the file's name, if it cannot be opened or, inside the block, read.
    """
    name = name_of(path)
    try:
        if path.is_dir():
            raise ArgumentError(f"{name} is a directory: give a text file with one {what} per line.")
        if path.exists() and not path.is_file():
            raise ArgumentError(f"{name} is not a regular file: it is read twice, so write the lines to a file.")
        with path.open(encoding="utf-8-sig") as file:
            yield file
    except FileNotFoundError:
        raise ArgumentError(f"{name} does not exist.") from None
    except UnicodeDecodeError:
        raise ArgumentError(f"{name} is not UTF-8 text: save it as UTF-8.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ArgumentError(f"{name} cannot be read: {shown(str(reason))}.") from None
