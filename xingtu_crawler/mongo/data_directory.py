"""Create or check the directory of the embedded MongoDB. Knows files and modes, nothing of servers."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from xingtu_crawler.exceptions import StorageError

_OTHER = "choose another directory, or set MONGO_URI."


def prepare(directory: Path, min_free_bytes: int) -> Path:
    """Create the directory with mode 0700 if it is not there, and return its real path.

    Args:
        directory: where it is or shall be; its parents are created too.
        min_free_bytes: free room that its disk must have.

    Raises:
        StorageError: it cannot be created, is a file, belongs to or is open to other users, or has no room.
    """
    path = directory.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        path = path.resolve(strict=True)
        found = path.stat()
    except (FileExistsError, NotADirectoryError):
        raise StorageError(f"{directory} cannot hold MongoDB's data, a file is in its place: {_OTHER}") from None
    except OSError as error:
        raise StorageError(f"{directory} cannot be created ({error.strerror}): {_OTHER}") from error
    if not path.is_dir():
        raise StorageError(f"{directory} cannot hold MongoDB's data, a file is in its place: {_OTHER}")
    if found.st_uid != os.geteuid():
        raise StorageError(f"{directory} belongs to another user (uid {found.st_uid}): {_OTHER}")
    mode = found.st_mode & 0o777
    if mode != 0o700:
        raise StorageError(
            f"{directory} has mode {mode:04o} and must be this user's alone: type `chmod 700 {directory}`, or {_OTHER}"
        )
    free = shutil.disk_usage(path).free
    if free < min_free_bytes:
        raise StorageError(
            f"Not enough room for MongoDB in {directory}: {free / 1e6:,.0f} MB are free, "
            f"{min_free_bytes / 1e6:,.0f} MB are needed: free some, or set MONGO_URI."
        )
    return path
