"""Spill files: paid answers that MongoDB could not store, kept on disk until the next crawl loads them.

A file has one JSON object per line: the request, the time of its answer, the raw body. The next crawl loads the files
before anything else, possibly while the run that writes one is still ending. It therefore renames a file before it
reads it, and the writer checks after each line that its file still has its name.

    <run id>.jsonl          written by a run
    <run id>+<random>.jsonl taken by a crawl that loads it; another crawl takes it again if that one died
    <run id>+<random>.broken lines that are no answer; kept for the user to look at
    <run id>+<random>.refused answers that MongoDB refuses to store; `scrapy replay` tries them again
"""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from xingtu_crawler.api import envelope
from xingtu_crawler.exceptions import MalformedBodyError
from xingtu_crawler.items.answers import DetailAnswer, FailedRequest, SearchAnswer, Stop
from xingtu_crawler.storage.spill_places import files, is_temporary, make_temporary, places

logger = logging.getLogger(__name__)

Answer = DetailAnswer | SearchAnswer | FailedRequest
"""What may have been paid for: an answer, or the record of a request that failed for good."""

REFUSED, BROKEN = ".refused", ".broken"
_TAKEN = "+"
"""Separates the run id from a random part in the name of a file that a crawl has taken to load."""


class Spill:
    """The spill file of one run, created with its first answer.

    If `directory` cannot be written to, the remaining answers go to a new private directory under the system's
    temporary one, where the next crawl on this machine finds them.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        self.directory = directory
        self.path = directory / f"{run_id}.jsonl"
        self.counts: Counter[Path] = Counter()
        """Number of answers by file."""

    def add(self, answer: Answer) -> None:
        """Append an answer and flush it to the disk.

        Raises `OSError` where neither the directory nor the temporary one can be written to.
        """
        line = line_of(answer)
        try:
            self._add(line)
        except OSError as error:
            if self.path.parent != self.directory:
                raise
            self.path = make_temporary(self.directory) / self.path.name
            self._add(line)
            logger.error(
                "Cannot write answers to %s (%s), they go to %s: make room, and crawl before this machine restarts",
                self.directory,
                error.strerror,
                self.path,
            )
        self.counts[self.path] += 1

    def _add(self, line: bytes) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A crawl that took the file meanwhile may have read past this line: write it again, into a new file.
        while not self._append(line):
            pass

    def _append(self, line: bytes) -> bool:
        """Write a line; return whether the file still has its name after that."""
        with self.path.open("ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                rest = line
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
                if size == 0:
                    _sync_directory(self.path.parent)
            except OSError:
                file.truncate(size)  # the next answer must not continue a line that was cut
                raise
            try:
                return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
            except FileNotFoundError:
                return False


def _sync_directory(directory: Path) -> None:
    """Flush the name of a new file to the disk, where the file system can."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def spilled(directory: Path) -> list[Path]:
    """Return the spill files that wait to be loaded, oldest first, also those in temporary directories."""
    return _in_places(directory, ".jsonl")


def refused(directory: Path) -> list[Path]:
    """Return the files of answers that MongoDB has refused, oldest first."""
    return _in_places(directory, REFUSED)


def broken(directory: Path) -> list[Path]:
    """Return the files with lines that are no answer, oldest first."""
    return _in_places(directory, BROKEN)


def _in_places(directory: Path, suffix: str) -> list[Path]:
    found = (path for place in places(directory) for path in files(place, f"*{suffix}"))
    return sorted(found, key=lambda path: path.name)


def count_lines(paths: Iterable[Path]) -> int:
    """Return the number of answers in spill files; a file that cannot be read counts as empty."""
    count = 0
    for path in paths:
        with suppress(OSError), path.open("rb") as lines:
            count += sum(1 for _ in lines)
    return count


def spilled_elsewhere(directory: Path) -> list[Path]:
    """Return the directories with spill files of a database of the same name on other servers."""
    database = directory.name.partition("@")[0]
    found = (place for place in files(directory.parent, "*") if place.name.startswith(f"{database}@"))
    return [place for place in found if place != directory and files(place, "*.jsonl")]


def run_id_of(path: Path) -> str:
    """Return the run that wrote a spill file."""
    return path.stem.partition(_TAKEN)[0]


def take(path: Path) -> Path | None:
    """Rename a spill file so that its run stops writing to it; None where another crawl was first, or it cannot be.

    The new name is still one of `spilled`: if this process dies before it deletes the file, the next one loads it.
    """
    taken = path.with_name(f"{run_id_of(path)}{_TAKEN}{secrets.token_hex(4)}.jsonl")
    try:
        return path.rename(taken)
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("Cannot load the spilled answers of %s (%s): make it writable", path, error.strerror)
        return None


def load(path: Path) -> Iterator[Answer | None]:
    """Yield the answers of a spill file; None for a line that is none (a crash cut it).

    Yields nothing where another crawl has taken the file meanwhile: that crawl loads it.
    """
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            try:
                yield _answer(json.loads(line))
            except (ValueError, KeyError, TypeError, MalformedBodyError):
                yield None


def line_of(answer: Answer) -> bytes:
    """Return an answer as a line of a spill file."""
    return (json.dumps(_record(answer), ensure_ascii=True) + "\n").encode("ascii")


def discard(path: Path) -> None:
    """Delete a spill file, and with the last one its temporary directory; another crawl may have taken it."""
    path.unlink(missing_ok=True)
    if is_temporary(path.parent):
        with suppress(OSError):
            path.parent.rmdir()


def _record(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, FailedRequest):
        return {
            **asdict(answer),
            "failed_at": answer.failed_at.isoformat(),
            "body": None if answer.body is None else base64.b64encode(answer.body).decode("ascii"),
        }
    common = {
        "fetched_at": answer.fetched_at.isoformat(),
        "body": base64.b64encode(answer.body).decode("ascii"),
    }
    if isinstance(answer, DetailAnswer):
        known = {"endpoint": answer.endpoint, "star_id": answer.star_id, "platform": answer.platform, **common}
        return {**known, "is_put_aside": True} if answer.is_put_aside else known
    stop = None if answer.stop is None else asdict(answer.stop)
    where = {"endpoint": "search", "sweep": answer.sweep, "page": answer.page}
    return {**where, "stop": stop, "is_hole": answer.is_hole, **common}


def _answer(record: dict[str, Any]) -> Answer:
    body = None if record["body"] is None else base64.b64decode(record["body"], validate=True)
    if "failed_at" in record:
        failed_at = datetime.fromisoformat(record["failed_at"])
        return FailedRequest(**{**record, "failed_at": failed_at, "body": body, "stop": _stop(record)})
    if body is None:
        raise ValueError("an answer without a body")
    return build_answer(record, body, fetched_at=datetime.fromisoformat(record["fetched_at"]))


def build_answer(request: dict[str, Any], body: bytes, *, fetched_at: datetime) -> DetailAnswer | SearchAnswer:
    """Return the answer that a raw body is to a request: `endpoint`, `star_id`, `platform`, or `sweep`, `page`.

    Raises `MalformedBodyError` where the body is no envelope, `KeyError` where `request` lacks a key.
    """
    read = envelope.parse(body)
    if "star_id" in request:
        return DetailAnswer(
            endpoint=request["endpoint"],
            star_id=request["star_id"],
            platform=request["platform"],
            envelope=read,
            body=body,
            fetched_at=fetched_at,
            had_failed=True,
            is_put_aside=request.get("is_put_aside", False),
        )
    return SearchAnswer(
        sweep=request["sweep"],
        page=request["page"],
        envelope=read,
        body=body,
        fetched_at=fetched_at,
        stop=_stop(request),
        is_hole=request.get("is_hole", False),
    )


def _stop(request: dict[str, Any]) -> Stop | None:
    return Stop(**stop) if (stop := request.get("stop")) else None
