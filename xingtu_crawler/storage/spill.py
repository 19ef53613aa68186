"""The spill: answers that were paid for while MongoDB was gone for good, in a file until it is back.

One JSON object per line: what was asked, when it was answered, the raw body. The next start loads it first, and
may do so while the run that writes it is still ending: a file is taken away before it is read.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from xingtu_crawler.api import envelope
from xingtu_crawler.exceptions import MalformedBodyError
from xingtu_crawler.items.answers import DetailAnswer, FailedRequest, SearchAnswer, Stop

logger = logging.getLogger(__name__)

Answer = DetailAnswer | SearchAnswer | FailedRequest
"""What may have been paid for: an answer, or the word that there is none to be had."""

_TAKEN = "+"
"""Stands between the run's id and a random name in the name of a file that somebody loads, or began to load."""


class Spill:
    """The spill file of one run; it exists from its first answer on.

    Where `directory` cannot be written to, the rest goes into a new directory of this user under the system's temporary
    one: an answer that was paid for is worth a second try.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        self.directory = directory
        self.path = directory / f"{run_id}.jsonl"
        self.counts: Counter[Path] = Counter()
        """How many answers are in which file."""

    def add(self, answer: Answer) -> None:
        """Append an answer and see it to the disk before returning; raise `OSError` where no disk takes it."""
        line = (json.dumps(_record(answer), ensure_ascii=True) + "\n").encode("ascii")
        try:
            self._add(line)
        except OSError as error:
            if self.path.parent != self.directory:
                raise
            self.path = Path(tempfile.mkdtemp(prefix="xingtu-spill-")) / self.path.name
            self._add(line)
            logger.error(
                "Answers cannot be kept in %s (%s), they are in %s: move that file there, and the next crawl loads it",
                self.directory,
                error.strerror,
                self.path,
            )
        self.counts[self.path] += 1

    def _add(self, line: bytes) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A file that was taken away while it was written to may have been read already: once more, into a new one.
        while not self._append(line):
            pass

    def _append(self, line: bytes) -> bool:
        """Write a line; return whether the file is still there after that."""
        with self.path.open("ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                rest = line
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)  # or the next answer would go on in the middle of this one, and be lost with it
                raise
            try:
                return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
            except FileNotFoundError:
                return False


def directory_for(data_dir: Path, database: str, server: str) -> Path:
    """Return where the spill files of a database are; another server's database of the same name has others."""
    return data_dir / "spill" / f"{database}@{server}"


def spilled(directory: Path) -> list[Path]:
    """Return the spill files that wait to be loaded, oldest first; also those whose directory names no server yet."""
    older = directory.with_name(directory.name.partition("@")[0])
    found = {path for place in (older, directory) if place.is_dir() for path in place.glob("*.jsonl")}
    return sorted(found, key=lambda path: path.name)


def spilled_elsewhere(directory: Path) -> list[Path]:
    """Return the directories with spill files of the same database on other servers."""
    database = directory.name.partition("@")[0]
    places = directory.parent.iterdir() if directory.parent.is_dir() else ()
    return sorted(
        place for place in places if place.name.startswith(f"{database}@") and place != directory and spilled(place)
    )


def run_id_of(path: Path) -> str:
    """Return the run that wrote a spill file."""
    return path.stem.partition(_TAKEN)[0]


def take(path: Path) -> Path | None:
    """Take a spill file away from whoever else may write to it or read it; None where somebody else was first.

    It keeps its ending: if this process dies before it is done with it, the next one finds it.
    """
    taken = path.with_name(f"{run_id_of(path)}{_TAKEN}{secrets.token_hex(4)}.jsonl")
    try:
        return path.rename(taken)
    except FileNotFoundError:
        return None


def load(path: Path) -> Iterator[Answer | None]:
    """Yield the answers of a spill file; None for a line that is broken (cut by a crash while it was written)."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield _answer(json.loads(line))
            except (ValueError, KeyError, TypeError, MalformedBodyError):
                yield None


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
        return {"endpoint": answer.endpoint, "star_id": answer.star_id, "platform": answer.platform, **common}
    stop = None if answer.stop is None else asdict(answer.stop)
    return {"endpoint": "search", "sweep": answer.sweep, "page": answer.page, "stop": stop, **common}


def _answer(record: dict[str, Any]) -> Answer:
    body = None if record["body"] is None else base64.b64decode(record["body"])
    if "failed_at" in record:
        failed_at = datetime.fromisoformat(record["failed_at"])
        return FailedRequest(**{**record, "failed_at": failed_at, "body": body, "stop": _stop(record)})
    if body is None:
        raise ValueError("an answer without a body")
    return build_answer(record, body, fetched_at=datetime.fromisoformat(record["fetched_at"]))


def build_answer(asked: dict[str, Any], body: bytes, *, fetched_at: datetime) -> DetailAnswer | SearchAnswer:
    """Return the answer to a question (`endpoint` and `star_id`, `platform`, or `sweep`, `page`) from its raw body.

    Raises `MalformedBodyError` where the body is no envelope, `KeyError` where the question is incomplete.
    """
    read = envelope.parse(body)
    if "star_id" in asked:
        return DetailAnswer(
            endpoint=asked["endpoint"],
            star_id=asked["star_id"],
            platform=asked["platform"],
            envelope=read,
            body=body,
            fetched_at=fetched_at,
            had_failed=True,
        )
    return SearchAnswer(
        sweep=asked["sweep"], page=asked["page"], envelope=read, body=body, fetched_at=fetched_at, stop=_stop(asked)
    )


def _stop(asked: dict[str, Any]) -> Stop | None:
    return Stop(**stop) if (stop := asked.get("stop")) else None
