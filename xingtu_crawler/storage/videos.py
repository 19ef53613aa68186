"""From the videos in answers to writes of `videos`: one document per video, put together from several lists.

An answer says only part of what is known of a video. A known value replaces an older one, and an unknown one takes
nothing away. Each list has its own count of plays: it is a change only if the same list had another count before. The
search and the details of one run, within `SAME_OBSERVATION`, are one observation: what the second one adds to a spell
that the first one began belongs to that spell.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import UpdateMany, UpdateOne

from xingtu_crawler.items import SCHEMA_VERSION
from xingtu_crawler.items.videos import FIELDS, PLAY_FIELDS, VideoFact, stored
from xingtu_crawler.storage import projection
from xingtu_crawler.storage.collections import PENDING, VIDEOS
from xingtu_crawler.storage.video_content import CONTENT, DERIVED, text_expression
from xingtu_crawler.storage.video_content import text as content_text
from xingtu_crawler.storage.writer import Write

SAME_OBSERVATION = timedelta(minutes=10)
"""A run that sees a video again within this time has observed it once: the search and the details show the same
videos."""
_REMEMBERED = 4096
"""Videos to remember: those of some pages. An author's details follow the author's page by two or three pages."""
_SAME_TIME_MS = 600_000
"""Two lists give one time if they differ by less, in milliseconds."""
_EXACT_LIST = "search.last_10_items"
"""The list whose `created_at` is preferred."""
_BLANK = stored(dict.fromkeys(FIELDS))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What this run has stored of a video: its known values, its lists, and the time of the observation.

    `document` is the whole document, if this run has created it and not written it otherwise since.
    """

    known: dict[str, Any]
    sources: frozenset[str]
    fetched_at: datetime
    document: dict[str, Any] | None = None

    def covers(self, fact: VideoFact, fetched_at: datetime) -> bool:
        """Return whether an answer is the same observation: at about the same time, with no new value."""
        return abs(fetched_at - self.fetched_at) < SAME_OBSERVATION and all(
            value is None or (self.known.get(name) == value if name in CONTENT else name in self.known)
            for name, value in fact.data.items()
        )

    def and_also(self, fact: VideoFact, fetched_at: datetime) -> _Stored:
        """Return what is stored after another answer."""
        sources = self.sources.union(fact.sources)
        if self.covers(fact, fetched_at):
            return replace(self, sources=sources)
        if fetched_at < self.fetched_at:  # late: it only adds
            return _Stored({**_known(fact), **self.known}, sources, self.fetched_at)
        return _Stored({**self.known, **_known(fact)}, sources, fetched_at)


class Videos:
    """Makes the writes for the videos in the answers of one run; `history`: whether spells are kept.

    It remembers the latest videos, so that one that comes again with nothing new costs no write, and what the details
    add to a video that the search has just created costs a replacement instead of an expression.
    """

    def __init__(self, run_id: str, *, history: bool) -> None:
        self._run_id = run_id
        self._history = history
        self._stored: dict[str, _Stored] = {}
        self._written: dict[str, dict[str, Any]] = {}
        """Whole documents that are on their way into MongoDB."""

    def writes(self, facts: Iterable[VideoFact], fetched_at: datetime) -> list[tuple[Write, str]]:
        """Return the writes for the videos of one answer, each with the author of a video that it writes."""
        writes: list[tuple[Write, str]] = []
        listed: defaultdict[frozenset[str], list[VideoFact]] = defaultdict(list)
        for fact in facts:
            stored = self._stored.get(fact.item_id)
            if stored is None or not stored.covers(fact, fetched_at):
                is_stored = stored is not None
                write = video(fact, fetched_at, run_id=self._run_id, is_stored=is_stored, history=self._history)
                if stored and stored.document and (document := completed(stored.document, fact, fetched_at)):
                    write = replace(write, new=document, replaces=_as_created(stored.document))
                if write.new:
                    self._written[fact.item_id] = write.new
                writes.append((write, fact.star_id))
            elif lists := frozenset(fact.sources) - stored.sources:
                listed[lists].append(fact)
        for sources, again in listed.items():
            writes.append((_add_sources([fact.item_id for fact in again], sources), again[0].star_id))
        return writes

    def remember(self, facts: Iterable[VideoFact], fetched_at: datetime) -> None:
        """Remember what is stored; call it when MongoDB has acknowledged the writes."""
        for fact in facts:
            stored = self._stored.pop(fact.item_id, None)
            first = _Stored(_known(fact), frozenset(fact.sources), fetched_at)
            now = stored.and_also(fact, fetched_at) if stored else first
            self._stored[fact.item_id] = replace(now, document=self._written.pop(fact.item_id, None))
        while len(self._stored) > _REMEMBERED:
            del self._stored[next(iter(self._stored))]


def completed(document: Mapping[str, Any], fact: VideoFact, fetched_at: datetime) -> dict[str, Any] | None:
    """Return the document of a video that this run has created, with what another endpoint adds to its first spell.

    It is what the expression of `video` makes of it; None where the expression has to decide.
    """
    before, data, known = document["crawl"], document["data"], _known(fact)
    if before["endpoint"] == _endpoint(fact) or not timedelta() < fetched_at - before["fetched_at"] < SAME_OBSERVATION:
        return None
    if any(data.get(name) not in (None, known[name]) for name in CONTENT if name in known and name not in PLAY_FIELDS):
        return None  # a change
    new = {**data, **known}
    if "play_from" in known and not _is_better(known["play_from"], data.get("play_from")):
        new |= {name: data[name] for name in DERIVED if name in data}
    created, dated = known.get("created_at"), data.get("created_at")
    is_exact = _EXACT_LIST in fact.sources
    if created and dated and not is_exact and abs(dated - created) < timedelta(milliseconds=_SAME_TIME_MS):
        new["created_at"] = dated
    if (content_hash := content_text(new)) is None:
        return None
    sources = sorted({*before["sources"], *fact.sources})
    crawl = {**before, "schema_version": SCHEMA_VERSION, "content_hash": content_hash, "sources": sources}
    return {**document, "data": new, "crawl": crawl}


def _is_better(field: str, than: str | None) -> bool:
    """Return whether a count of plays is preferred to another one, or is the same list's."""
    return than is None or PLAY_FIELDS.index(field) <= PLAY_FIELDS.index(than)


def _as_created(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter for a document that is still as this run has created it; no other run's answer is in it."""
    crawl = document["crawl"]
    unchanged = {f"crawl.{name}": crawl[name] for name in ("run_id", "first_seen_at", "fetched_at", "content_hash")}
    return {"_id": document["_id"], **unchanged, "crawl.observations": 1, PENDING: None}


def _add_sources(item_ids: list[str], sources: frozenset[str]) -> Write:
    update = {"$addToSet": {"crawl.sources": {"$each": sorted(sources)}}}
    return Write(VIDEOS, UpdateMany({"_id": {"$in": item_ids}}, update))


def video(
    fact: VideoFact, fetched_at: datetime, *, run_id: str, is_stored: bool = False, history: bool = True
) -> Write:
    """Return the write of what one answer says of a video; `is_stored`: the video is known to have a document.

    In the order of time, an answer begins a new spell where it brings a new value. One that arrives late waits in
    `history_pending`, or, without `history`, only fills in what is unknown.
    """
    known = _known(fact)

    def upsert() -> UpdateOne:
        update = [{"$replaceWith": _replaced(fact, known, fetched_at, run_id=run_id, history=history)}]
        return UpdateOne(_older_or_equal(fact.item_id, known, fetched_at), update, upsert=True)

    def late() -> UpdateOne:
        return UpdateOne({"_id": fact.item_id}, {"$addToSet": {PENDING: _late_answer(fact, known, fetched_at)}})

    def fill() -> UpdateOne:
        return UpdateOne({"_id": fact.item_id}, _filled(fact, known))

    new = None
    if not is_stored and (text := content_text(known)) is not None:
        crawl = {
            "run_id": run_id,
            "endpoint": _endpoint(fact),
            "fetched_at": fetched_at,
            "schema_version": SCHEMA_VERSION,
            "content_hash": text,
            "sources": sorted(fact.sources),
            **projection.first_bookkeeping(fetched_at),
        }
        identity = {"_id": fact.item_id, "item_id": fact.item_id, "star_id": fact.star_id}
        new = {**identity, "data": stored(fact.data), "crawl": crawl}
    return Write(VIDEOS, upsert, late if history else fill, new)


def _older_or_equal(item_id: str, known: Mapping[str, Any], fetched_at: datetime) -> dict[str, Any]:
    """Return the filter for a document that is older than an answer, or has its values of the same time already."""
    same = {f"data.{name}": value for name, value in known.items() if name in CONTENT}
    older: dict[str, Any] = {"crawl.fetched_at": {"$lt": fetched_at}}
    return {"_id": item_id, "$or": [older, {"crawl.fetched_at": fetched_at, **same}]}


def _replaced(
    fact: VideoFact, known: Mapping[str, Any], fetched_at: datetime, *, run_id: str, history: bool
) -> dict[str, Any]:
    """Return the expression of the document after an answer; it reads the document before it."""
    of_this_run = {
        "$and": [
            {"$eq": ["$crawl.run_id", run_id]},
            {"$gt": ["$crawl.fetched_at", fetched_at - SAME_OBSERVATION]},
        ]
    }
    # Another endpoint has begun this spell just now: its counts stay, so that the spell differs from the one before.
    began_now = {
        "$and": [
            of_this_run,
            {"$eq": ["$crawl.changed_at", "$crawl.fetched_at"]},
            {"$ne": ["$crawl.endpoint", _endpoint(fact)]},
        ]
    }
    content_known = [name for name in CONTENT if name in known]
    added = [_is_new_or_equal(name, known[name]) for name in content_known if name not in PLAY_FIELDS]
    equal = [_is_same(name, known[name]) for name in content_known]
    same = {
        "$and": [
            {"$ne": [{"$type": "$crawl.fetched_at"}, "missing"]},  # a new video has nothing that could be the same
            {"$or": [{"$and": equal}, {"$and": [began_now, *added]}]},
        ]
    }
    again = {"$and": ["$$same", of_this_run]}
    sources = {"$setUnion": [{"$ifNull": ["$crawl.sources", []]}, list(fact.sources)]}
    values = {name: {"$literal": known[name]} if name in known else f"$data.{name}" for name in CONTENT}
    content = {"schema_version": SCHEMA_VERSION, "content_hash": "$$text", "sources": sources}
    crawl = {
        "run_id": run_id,
        "endpoint": _endpoint(fact),
        "fetched_at": fetched_at,
        **content,
        **projection.bookkeeping(same="$$same", fetched_at=fetched_at),
    }
    preferred = _preferred(fact, known)
    plain = {name: value for name, value in known.items() if name not in preferred}
    fields: dict[str, Any] = {
        "item_id": {"$literal": fact.item_id},
        "star_id": {"$ifNull": ["$star_id", {"$literal": fact.star_id}]},
        "data": {"$mergeObjects": [_BLANK, "$data", {"$literal": plain}, preferred]},
        "crawl": {"$cond": [again, {"$mergeObjects": ["$crawl", content]}, crawl]},
    }
    if history:
        fields[PENDING] = projection.ending(same="$$same")
    # What is used more than once is sent once: it costs on the way and on the server.
    shared = {"same": same, "text": text_expression(values), "takes": _takes_play(known, of_this_run)}
    return {"$let": {"vars": shared, "in": {"$mergeObjects": ["$$ROOT", fields]}}}


def _is_same(name: str, value: object) -> dict[str, Any]:
    """Return the condition that a known value is no change; the first count of a list is none."""
    if name in PLAY_FIELDS:
        return _is_new_or_equal(name, value)
    return {"$eq": [f"$data.{name}", {"$literal": value}]}


def _is_new_or_equal(name: str, value: object) -> dict[str, Any]:
    """Return the condition that the document does not say otherwise."""
    return {"$or": [{"$eq": [f"$data.{name}", {"$literal": value}]}, {"$lte": [f"$data.{name}", None]}]}


def _takes_play(known: Mapping[str, Any], of_this_run: dict[str, Any]) -> Any:
    """Return the condition that `play` is taken from this answer.

    Within one observation the preferred list has it. After that, the first list whose own count has changed.
    """
    if "play_from" not in known:
        return False
    no_better = list(PLAY_FIELDS[PLAY_FIELDS.index(known["play_from"]) :])
    unchanged = [_is_same(name, known[name]) for name in PLAY_FIELDS if name in known]
    return {
        "$or": [
            {"$lte": ["$data.play_from", None]},
            {"$cond": [of_this_run, {"$in": ["$data.play_from", no_better]}, {"$not": {"$and": unchanged}}]},
        ]
    }


def _preferred(fact: VideoFact, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the expressions of the fields in which lists disagree, without a change."""
    fields: dict[str, Any] = {}
    for name in DERIVED.intersection(known) if "play_from" in known else ():
        fields[name] = {"$cond": ["$$takes", {"$literal": known[name]}, f"$data.{name}"]}
    if (created := known.get("created_at")) is not None:
        distance = {"$abs": {"$subtract": [{"$ifNull": ["$data.created_at", _EPOCH]}, created]}}
        is_near = {"$lt": [distance, _SAME_TIME_MS]}
        is_exact = _EXACT_LIST in fact.sources
        fields["created_at"] = created if is_exact else {"$cond": [is_near, "$data.created_at", created]}
    return fields


def _late_answer(fact: VideoFact, known: Mapping[str, Any], fetched_at: datetime) -> dict[str, Any]:
    digest = hashlib.blake2b(repr(sorted(known.items())).encode(), digest_size=4).hexdigest()
    answer = projection.late_answer(fetched_at, digest)
    return {**answer, "data": known, "sources": sorted(fact.sources)}


def _filled(fact: VideoFact, known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the update that fills in what is unknown, and nothing else."""
    values = {name: {"$ifNull": [f"$data.{name}", {"$literal": value}]} for name, value in known.items()}
    sources = {"$setUnion": [{"$ifNull": ["$crawl.sources", []]}, list(fact.sources)]}
    filled = {"crawl.sources": sources, **{f"data.{name}": value for name, value in values.items()}}
    return [{"$set": filled}, {"$set": {"crawl.content_hash": text_expression()}}]


def _endpoint(fact: VideoFact) -> str:
    """Return the name of the endpoint that an answer is of: its lists are `<endpoint>.<list>`."""
    return fact.sources[0].partition(".")[0]


def _known(fact: VideoFact) -> dict[str, Any]:
    return {name: value for name, value in fact.data.items() if value is not None}
