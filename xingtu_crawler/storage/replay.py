"""Stores paid answers that a crawl could not store: those in spill files and those in quarantine.

Each answer is parsed with the current models and makes no API call. The documents are those that the crawl would have
written: `crawl.fetched_at` is the time of the answer, `crawl.run_id` the run that fetched it.
"""

from __future__ import annotations

import json
import logging
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
from xingtu_crawler.exceptions import IdentityError, MalformedBodyError, StorageError
from xingtu_crawler.items import MODELS
from xingtu_crawler.items.answers import DetailAnswer, FailedRequest, SearchAnswer
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.items.parsing import parse
from xingtu_crawler.items.search import star_id_of
from xingtu_crawler.items.validation import ValidDetail, ValidPage, reason_of, validate_detail, validate_page
from xingtu_crawler.storage.collections import QUARANTINE
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.spill import Answer, build_answer, load, run_id_of, spilled, take

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


async def load_spilled(directory: Path, recorder: Recorder) -> Replayed:
    """Store the answers of earlier runs' spill files; delete each file once all of its answers are stored.

    An answer that cannot be a document goes to quarantine, as in a crawl. Interrupting this loses nothing: the next
    call loads the file again, and storing an answer twice equals storing it once.
    """
    result = Replayed()
    for path in filter(None, map(take, spilled(directory))):
        of_run = recorder.of_run(run_id_of(path))
        broken = 0
        for answer, valid in _read(path, result):
            if answer is None:
                broken += 1
            elif isinstance(valid, str):
                await of_run.set_aside(answer, valid)
            else:
                try:
                    stored = await _store(valid, of_run)
                except StorageError:
                    raise
                except Exception as error:
                    logger.exception("Could not store %s: kept as it came", answer)
                    await of_run.set_aside(answer, reason_of(error))
                    stored = False
                _count(result, valid, stored=stored)
        await recorder.settle()
        if broken:
            result.broken.append(path.with_suffix(".broken"))
            logger.error("%d lines of a spill file cannot be read: they are kept in %s", broken, result.broken[-1])
        with suppress(FileNotFoundError):  # another crawl took the file and loads it too
            path.rename(result.broken[-1]) if broken else path.unlink()
        logger.info("Loaded the spilled answers of %s", path.stem)
    return result


def examine_spilled(directory: Path) -> Replayed:
    """Return the result that `load_spilled` would have, and change nothing."""
    result = Replayed()
    for path in spilled(directory):
        for answer, valid in _read(path, result):
            if answer is None and path not in result.broken:
                result.broken.append(path)
            elif not isinstance(valid, str):
                _count(result, valid, stored=True)
    return result


_Read = tuple[None, str] | tuple[Answer, ValidDetail | ValidPage | str]


def _read(path: Path, result: Replayed) -> Iterator[_Read]:
    """Yield each answer of a spill file with its parsed form, or with the reason why it has none.

    Yields None instead of an answer for a broken line. Counts the answers that the models reject.
    """
    for answer in load(path):
        if answer is None or _endpoint(answer) not in MODELS:
            yield None, "broken"
        elif isinstance(answer, FailedRequest):
            yield answer, answer.reason
        else:
            try:
                yield answer, _validate(answer)
            except Exception as error:  # noqa: BLE001 - a defect of a model must not keep crawls from starting
                reason = reason_of(error)
                result.unfit[reason] += 1
                yield answer, reason


async def replay_quarantine(database: AsyncDatabase[dict[str, Any]], recorder: Recorder | None) -> Replayed:
    """Store the quarantined answers that the current models can parse; the others stay in quarantine.

    Without a recorder, return the result and change nothing.
    """
    result = Replayed()
    quarantine = database[QUARANTINE]
    # All ids first, because storing may quarantine again. Oldest first, so that spells begin in their order.
    found = quarantine.find({}, {"_id": 1}, sort=[("quarantined_at", ASCENDING)], allow_disk_use=True)
    ids = [kept["_id"] async for kept in found]
    for batch in _batches(ids):
        recovered = []
        for key in batch:
            kept = await quarantine.find_one({"_id": key})
            if kept is None:
                continue
            try:
                valid = _revive(kept)
            except (IdentityError, MalformedBodyError, KeyError, ValueError, TypeError) as error:
                result.unfit[str(error) if isinstance(error, IdentityError | MalformedBodyError) else repr(error)] += 1
                continue
            stored = recorder is None or await _store(
                valid, recorder.of_run(kept["run_id"]), one_author="rank" in kept["request"]
            )
            _count(result, valid, stored=stored)
            if stored:
                recovered.append(key)
        if recorder is not None and recovered:
            await recorder.settle()
            await quarantine.delete_many({"_id": {"$in": recovered}})
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
