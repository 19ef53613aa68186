"""From the videos in answers to writes of `videos`: one document per video, put together from several lists.

An answer says only part of what is known of a video. A known value replaces an older one, and an unknown one takes
nothing away.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import UpdateMany, UpdateOne

from xingtu_crawler.items import SCHEMA_VERSION
from xingtu_crawler.items.videos import FIELDS, VideoFact
from xingtu_crawler.storage import projection
from xingtu_crawler.storage.collections import PENDING, VIDEOS
from xingtu_crawler.storage.writer import Write

SAME_OBSERVATION = timedelta(minutes=10)
"""A run that sees a video again within this time, with nothing new, has observed it once: the search and the details
show the same videos."""
_REMEMBERED = 4096
"""Videos to remember: those of some pages. An author's details follow the author's page by two or three pages."""
_VOLATILE = frozenset({"url", "cover", "video_tag"})
"""Stored but no part of the content: URLs that are signed anew, and the reason why the search shows the video."""
_CONTENT = tuple(name for name in FIELDS if name not in _VOLATILE)


def content_of(data: Mapping[str, Any]) -> Hashable:
    """Return what must be equal for two states of a video to be the same content."""
    return tuple(data.get(name) for name in _CONTENT)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What this run has stored of a video: its known values, its lists, and the time of the observation."""

    known: dict[str, Any]
    sources: frozenset[str]
    fetched_at: datetime

    def covers(self, fact: VideoFact, fetched_at: datetime) -> bool:
        """Return whether an answer is the same observation: at about the same time, with no new value."""
        return abs(fetched_at - self.fetched_at) < SAME_OBSERVATION and all(
            value is None or (name in self.known if name in _VOLATILE else self.known.get(name) == value)
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

    It remembers the latest videos, so that one that comes again with nothing new costs no write.
    """

    def __init__(self, run_id: str, *, history: bool) -> None:
        self._run_id = run_id
        self._history = history
        self._stored: dict[str, _Stored] = {}

    def writes(self, facts: Iterable[VideoFact], fetched_at: datetime) -> list[tuple[Write, str]]:
        """Return the writes for the videos of one answer, each with the author of a video that it writes."""
        writes: list[tuple[Write, str]] = []
        listed: defaultdict[frozenset[str], list[VideoFact]] = defaultdict(list)
        for fact in facts:
            stored = self._stored.get(fact.item_id)
            if stored is None or not stored.covers(fact, fetched_at):
                is_stored = stored is not None
                write = video(fact, fetched_at, run_id=self._run_id, is_stored=is_stored, history=self._history)
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
            self._stored[fact.item_id] = (
                stored.and_also(fact, fetched_at)
                if stored
                else _Stored(_known(fact), frozenset(fact.sources), fetched_at)
            )
        while len(self._stored) > _REMEMBERED:
            del self._stored[next(iter(self._stored))]


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
    if not is_stored and (text := _text(known)) is not None:
        crawl = {
            "run_id": run_id,
            "fetched_at": fetched_at,
            "schema_version": SCHEMA_VERSION,
            "content_hash": text,
            "sources": sorted(fact.sources),
            **projection.first_bookkeeping(fetched_at),
        }
        identity = {"_id": fact.item_id, "item_id": fact.item_id, "star_id": fact.star_id}
        new = {**identity, "data": fact.data, "crawl": crawl}
    return Write(VIDEOS, upsert, late if history else fill, new)


def _older_or_equal(item_id: str, known: Mapping[str, Any], fetched_at: datetime) -> dict[str, Any]:
    """Return the filter for a document that is older than an answer, or has its values of the same time already."""
    same = {f"data.{name}": value for name, value in known.items() if name in _CONTENT}
    older: dict[str, Any] = {"crawl.fetched_at": {"$lt": fetched_at}}
    return {"_id": item_id, "$or": [older, {"crawl.fetched_at": fetched_at, **same}]}


def _replaced(
    fact: VideoFact, known: Mapping[str, Any], fetched_at: datetime, *, run_id: str, history: bool
) -> dict[str, Any]:
    """Return the expression of the document after an answer; it reads the document before it."""
    same = {
        "$and": [
            {"$ne": [{"$type": "$crawl.fetched_at"}, "missing"]},  # a new video has nothing that could be the same
            *({"$eq": [f"$data.{name}", {"$literal": known[name]}]} for name in _CONTENT if name in known),
        ]
    }
    recent = {"$gt": ["$crawl.fetched_at", fetched_at - SAME_OBSERVATION]}
    again = {"$and": ["$$same", {"$eq": ["$crawl.run_id", run_id]}, recent]}
    sources = {"$setUnion": [{"$ifNull": ["$crawl.sources", []]}, list(fact.sources)]}
    values = {name: {"$literal": known[name]} if name in known else f"$data.{name}" for name in _CONTENT}
    crawl = {
        "run_id": run_id,
        "fetched_at": fetched_at,
        "schema_version": SCHEMA_VERSION,
        "content_hash": text_expression(values),
        "sources": sources,
        **projection.bookkeeping(same="$$same", fetched_at=fetched_at),
    }
    fields: dict[str, Any] = {
        "item_id": {"$literal": fact.item_id},
        "star_id": {"$ifNull": ["$star_id", {"$literal": fact.star_id}]},
        "data": {"$mergeObjects": [dict.fromkeys(fact.data), "$data", {"$literal": known}]},
        "crawl": {"$cond": [again, {"$mergeObjects": ["$crawl", {"sources": sources}]}, crawl]},
    }
    if history:
        fields[PENDING] = projection.ending(same="$$same")
    # The comparison is sent once: it costs on the way and on the server.
    return {"$let": {"vars": {"same": same}, "in": {"$mergeObjects": ["$$ROOT", fields]}}}


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


def _known(fact: VideoFact) -> dict[str, Any]:
    return {name: value for name, value in fact.data.items() if value is not None}


def text_expression(values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the expression of a video's `content_hash` over `data`, or over expressions for its fields.

    It is the values as one text, because only the server knows those that an answer leaves out, and it has no hash.
    """
    values = values or {name: f"$data.{name}" for name in _CONTENT}
    parts = [{"$toString": {"$ifNull": [values[name], ""]}} for name in _CONTENT]
    return {"$concat": [part for word in parts for part in (word, "|")]}


def _text(known: Mapping[str, Any]) -> str | None:
    """Return `content_hash` as the server computes it; None where servers may differ, as with long fractions."""
    words = [_word(known.get(name)) for name in _CONTENT]
    return None if None in words else "".join(f"{word}|" for word in words)


def _word(value: object) -> str | None:
    """Return `$toString` of a value, "" for null; None where servers may differ in it."""
    write = _WORDS.get(value.__class__)
    return None if write is None else write(value)


def _float(value: float) -> str | None:
    word = f"{value:g}"
    return word if 0.001 < value < 1e6 and float(word) == value else None


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_WORDS: dict[type, Callable[[Any], str | None]] = {
    type(None): lambda _none: "",
    str: lambda text: text,
    bool: lambda flag: "true" if flag else "false",
    int: str,
    float: _float,
    datetime: _time,
}
