"""Creates and checks the directory of the embedded MongoDB. Knows files and modes, nothing about servers."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from xingtu_crawler.exceptions import StorageError

_OTHER = "choose another directory, or set MONGO_URI."


def prepare(directory: Path, min_free_bytes: int) -> Path:
    """Create the directory with mode 0700 if it does not exist, and return its real path.

    Args:
        directory: the directory; its parents are created too.
        min_free_bytes: space that must be free on its disk.

    Raises:
        StorageError: it cannot be created, is a file, belongs to or is open to other users, or its disk is full.
    """
    path = directory.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        path = path.resolve(strict=True)
        found = path.stat()
    except (FileExistsError, NotADirectoryError):
        raise StorageError(f"{directory} cannot hold MongoDB's data because it is a file: {_OTHER}") from None
    except OSError as error:
        raise StorageError(f"{directory} cannot be created ({error.strerror}): {_OTHER}") from error
    if not path.is_dir():
        raise StorageError(f"{directory} cannot hold MongoDB's data because it is a file: {_OTHER}")
    if found.st_uid != os.geteuid():
        raise StorageError(f"{directory} belongs to another user (uid {found.st_uid}): {_OTHER}")
    mode = found.st_mode & 0o777
    if mode != 0o700:
        raise StorageError(
            f"Other users may access {directory} (mode {mode:04o}): run `chmod 700 {directory}`, or {_OTHER}"
        )
    free = shutil.disk_usage(path).free
    if free < min_free_bytes:
        raise StorageError(
            f"Not enough disk space for MongoDB in {directory} ({free / 1e6:,.0f} MB free, "
            f"{min_free_bytes / 1e6:,.0f} MB required): free some space, or set MONGO_URI."
        )
    return path
