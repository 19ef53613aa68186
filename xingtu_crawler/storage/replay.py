"""Stores paid answers that a crawl could not store: those in spill files and those in quarantine.

Each answer is parsed with the current models and makes no API call. The documents are those that the crawl would have
written: `crawl.fetched_at` is the time of the answer, `crawl.run_id` the run that fetched it.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.codes import Action, rule
from xingtu_crawler.api.endpoints import SEARCH
from xingtu_crawler.api.envelope import Envelope
from xingtu_crawler.exceptions import IdentityError, MalformedBodyError, RefusedWriteError, StorageError
from xingtu_crawler.items import MODELS
from xingtu_crawler.items.answers import HOLLOW, DetailAnswer, FailedRequest, SearchAnswer
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.items.parsing import parse
from xingtu_crawler.items.search import star_id_of
from xingtu_crawler.items.validation import ValidDetail, ValidPage, reason_of, validate_detail, validate_page
from xingtu_crawler.storage.collections import QUARANTINE
from xingtu_crawler.storage.quarantine import remove, whole_body
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.spill import (
    BROKEN,
    REFUSED,
    Answer,
    build_answer,
    discard,
    line_of,
    load,
    refused,
    run_id_of,
    spilled,
    take,
)

logger = logging.getLogger(__name__)

_BATCH = 100
"""Number of quarantined answers that are stored before they are removed from quarantine together."""
_REFUSED = "MongoDB refuses the document"


@dataclass(slots=True)
class Replayed:
    """The result of a replay: numbers of recovered answers by endpoint, of rejected ones by reason."""

    recovered: Counter[str] = field(default_factory=Counter)
    unfit: Counter[str] = field(default_factory=Counter)
    broken: list[Path] = field(default_factory=list)
    """Files with lines that are no answer; they are kept."""
    refused: Counter[str] = field(default_factory=Counter)
    """Numbers of answers that MongoDB refuses even in quarantine, by reason; they are kept in `.refused` files."""


async def load_spilled(directory: Path, recorder: Recorder, *, again: bool = False) -> Replayed:
    """Store the answers of earlier runs' spill files; delete each file once all of its answers are stored.

    An answer that cannot be a document goes to quarantine, as in a crawl. One that MongoDB refuses even there is set
    aside in a file. Interrupting this loses nothing: the next call loads the file again, and storing an answer twice
    equals storing it once.

    Args:
        directory: the spill directory of the dataset.
        recorder: stores the answers.
        again: whether to try the answers again that were set aside.

    Raises:
        StorageError: MongoDB is away; the files stay.
    """
    result = Replayed()
    waiting = [*spilled(directory), *(refused(directory) if again else ())]
    for path in filter(None, map(take, waiting)):
        of_run = recorder.of_run(run_id_of(path))
        unreadable, aside = 0, _Aside(path)
        with aside:
            for answer, valid in _read(path, result):
                if answer is None:
                    unreadable += 1
                elif reason := await _load(answer, valid, of_run, result):
                    aside.add(answer)
                    result.refused[reason] += 1
            await recorder.settle()
        if unreadable:
            result.broken.append(path.with_suffix(BROKEN))
            logger.error("%d lines of a spill file cannot be read: they are kept in %s", unreadable, result.broken[-1])
            with suppress(FileNotFoundError):  # another crawl took the file and loads it too
                path.rename(result.broken[-1])
        if aside.count:
            logger.error("%d answers that MongoDB refuses are set aside in %s", aside.count, aside.path)
        discard(path)
        logger.info("Loaded the spilled answers of %s", path.stem)
    return result


async def _load(answer: Answer, valid: _Valid, recorder: Recorder, result: Replayed) -> str | None:
    """Store a spilled answer, or put it into quarantine; return why it cannot be kept in MongoDB at all, else None."""
    reason = valid if isinstance(valid, str) else None
    if not isinstance(valid, str):
        try:
            _count(result, valid, stored=await _store(valid, recorder))
        except Exception as error:
            _raise_if_away(error)
            if not isinstance(error, RefusedWriteError):
                logger.exception("Could not store %s: kept as it came", answer)
            reason = reason_of(error)
            _count(result, valid, stored=False)
    if reason is None:
        return None
    try:
        await recorder.set_aside(answer, reason)
    except Exception as error:  # noqa: BLE001 - neither MongoDB nor a defect must keep crawls from starting
        _raise_if_away(error)
        logger.error("Could not keep %s in MongoDB: %s", answer, refusal := reason_of(error))
        return refusal
    return None


def _raise_if_away(error: Exception) -> None:
    """Raise an error again if the same write may succeed later."""
    if isinstance(error, StorageError) and not isinstance(error, RefusedWriteError):
        raise error


class _Aside:
    """The file of the answers of one spill file that MongoDB refuses: it gets its name once all are in it."""

    def __init__(self, spill_file: Path) -> None:
        self.path = spill_file.with_suffix(REFUSED)
        self.count = 0
        self._part = spill_file.with_suffix(f"{REFUSED}.part")

    def add(self, answer: Answer) -> None:
        """Append an answer and flush it to the disk."""
        with self._part.open("ab" if self.count else "wb") as file:
            file.write(line_of(answer))
            file.flush()
            os.fsync(file.fileno())
        self.count += 1

    def __enter__(self) -> None:
        """Begin; nothing is created before the first answer."""

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        if kind is None and self.count:
            self._part.rename(self.path)
        else:
            self._part.unlink(missing_ok=True)


def examine_spilled(directory: Path) -> Replayed:
    """Return the result that `load_spilled` would have if MongoDB refused nothing, and change nothing."""
    result = Replayed()
    for path in [*spilled(directory), *refused(directory)]:
        for answer, valid in _read(path, result):
            if answer is None and path not in result.broken:
                result.broken.append(path)
            elif not isinstance(valid, str):
                _count(result, valid, stored=True)
    return result


_Valid = ValidDetail | ValidPage | str
_Read = tuple[None, str] | tuple[Answer, _Valid]


def _read(path: Path, result: Replayed) -> Iterator[_Read]:
    """Yield each answer of a spill file with its parsed form, or with the reason why it has none.

    Yields None instead of an answer for a broken line. Counts the answers that the models reject.
    """
    for answer in load(path):
        if answer is None or _endpoint(answer) not in MODELS:
            yield None, "broken"
        elif isinstance(answer, FailedRequest):
            yield answer, answer.reason
        elif isinstance(answer, DetailAnswer) and answer.is_put_aside:
            yield answer, HOLLOW
        else:
            try:
                yield answer, _validate(answer)
            except Exception as error:  # noqa: BLE001 - a defect of a model must not keep crawls from starting
                reason = reason_of(error)
                result.unfit[reason] += 1
                yield answer, reason


async def replay_quarantine(database: AsyncDatabase[dict[str, Any]], recorder: Recorder | None) -> Replayed:
    """Store the quarantined answers that the current models can parse; the others stay in quarantine.

    Hollow answers stay there: the API has been asked once more for each. Without a recorder, return the result and
    change nothing.
    """
    result = Replayed()
    quarantine = database[QUARANTINE]
    # All ids first, because storing may quarantine again. Oldest first, so that spells begin in their order.
    found = quarantine.find(
        {"reason": {"$ne": HOLLOW}}, {"_id": 1}, sort=[("quarantined_at", ASCENDING)], allow_disk_use=True
    )
    ids = [kept["_id"] async for kept in found]
    for batch in _batches(ids):
        recovered = []
        for key in batch:
            kept = await quarantine.find_one({"_id": key})
            if kept is None:
                continue
            kept["body"] = await whole_body(database, kept)
            try:
                valid = _revive(kept)
            except (IdentityError, MalformedBodyError, KeyError, ValueError, TypeError) as error:
                result.unfit[str(error) if isinstance(error, IdentityError | MalformedBodyError) else repr(error)] += 1
                continue
            try:
                stored = recorder is None or await _store(
                    valid, recorder.of_run(kept["run_id"]), one_author="rank" in kept["request"]
                )
            except RefusedWriteError as error:
                logger.warning("An answer stays in quarantine: %s", error)
                stored = False
            _count(result, valid, stored=stored)
            if stored:
                recovered.append(key)
        if recorder is not None and recovered:
            await recorder.settle()
            await remove(database, recovered)
    return result


def _validate(answer: DetailAnswer | SearchAnswer) -> ValidDetail | ValidPage:
    """Parse an answer; raise `IdentityError` where it is no success or belongs to another request."""
    verdict = rule(answer.envelope.code, answer.envelope.inner_status)
    if verdict.action is not Action.USE:
        raise IdentityError(f"code {verdict.code}, {verdict.meaning}")
    return validate_detail(answer) if isinstance(answer, DetailAnswer) else validate_page(answer)


async def _store(valid: ValidDetail | ValidPage, recorder: Recorder, *, one_author: bool = False) -> bool:
    """Store a detail answer, a page or `one_author` of a page.

    Returns False where MongoDB refuses it; the recorder has put it into quarantine then.
    """
    if isinstance(valid, ValidDetail):
        return await recorder.detail(valid)
    if one_author:
        return await recorder.authors(valid)
    await recorder.page(valid)  # it quarantines refused authors one by one
    return True


def _revive(kept: dict[str, Any]) -> ValidDetail | ValidPage:
    """Turn a document of `quarantine` into a parsed answer.

    Raises `IdentityError` or `MalformedBodyError` where the models reject it, `KeyError`, `ValueError` or `TypeError`
    where no crawl wrote the document.
    """
    request, at = kept["request"], kept["quarantined_at"]
    if "rank" not in request:
        if request["endpoint"] not in MODELS:
            raise IdentityError(f"no model for the endpoint {request['endpoint']}")
        return _validate(build_answer(request, kept["body"], fetched_at=at))
    element = json.loads(kept["body"])
    answer = SearchAnswer(
        request["sweep"], request["page"], Envelope(0, None, None, None, kept["request_id"], 0), kept["body"], at
    )
    star_id = star_id_of(element)
    parsed = parse(SEARCH.name, element, star_id=star_id)
    assert star_id is not None  # parse refuses an author without one
    page = SearchPage(None, None, None, None, [None] * (request["rank"] - 1) + [element], {})
    return ValidPage(answer, page, {request["rank"]: (star_id, parsed)})


def _count(result: Replayed, valid: ValidDetail | ValidPage, *, stored: bool) -> None:
    if stored:
        result.recovered[_endpoint(valid.answer)] += 1
    else:
        result.unfit[_REFUSED] += 1


def _endpoint(answer: Answer) -> str:
    return SEARCH.name if isinstance(answer, SearchAnswer) else answer.endpoint


def _batches(ids: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (ids[at : at + _BATCH] for at in range(0, len(ids), _BATCH))
