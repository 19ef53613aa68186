"""Where spill files are: the dataset's spill directory, and private temporary ones that stand in for it.

Knows directories, nothing of what the files hold.
"""

from __future__ import annotations

import os
import tempfile
from hashlib import blake2b
from pathlib import Path

from xingtu_crawler.mongo.keeper import is_private

_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - only private directories of this user are read
"""Where an earlier run with another TMPDIR may have put its directory."""
_EMBEDDED = "@embedded"
_NAME = "xingtu-spill-"


def make_temporary(directory: Path) -> Path:
    """Create a private temporary directory for the spill files that do not fit into `directory`, and return it."""
    return Path(tempfile.mkdtemp(prefix=_prefix(directory)))


def places(directory: Path) -> list[Path]:
    """Return the directories that may hold spill files of one dataset: `directory`, then temporary ones."""
    parents = dict.fromkeys([Path(tempfile.gettempdir()), *_TEMPORARY])
    found = [place for parent in parents for place in files(parent, f"{_prefix(directory)}*") if is_private(place)]
    return [directory, *found]


def is_temporary(directory: Path) -> bool:
    """Return whether `make_temporary` has created a directory."""
    return directory.name.startswith(_NAME)


def files(directory: Path, pattern: str) -> list[Path]:
    """Return the entries of a directory that match; none where it does not exist or cannot be read."""
    try:
        return sorted(directory.glob(pattern))
    except OSError:
        return []


def why_unreadable(directory: Path) -> str | None:
    """Return why a directory cannot be read; None if it can, or does not exist."""
    try:
        with os.scandir(directory):
            return None
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.strerror or type(error).__name__


def _prefix(directory: Path) -> str:
    """Return how the names of the temporary directories of one dataset begin.

    A MongoDB server is named by `directory.name`, wherever a crawl runs; an embedded one by its place.
    """
    dataset = str(directory.absolute()) if directory.name.endswith(_EMBEDDED) else directory.name
    return f"{_NAME}{blake2b(os.fsencode(dataset), digest_size=8).hexdigest()}-"
