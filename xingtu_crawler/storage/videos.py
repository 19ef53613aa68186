"""From the videos in answers to writes of `videos`: one document per video, put together from several lists.

An answer says only part of what is known of a video. A known value replaces an older one, and an unknown one takes
nothing away. Each list has its own count of plays: it is a change only if the same list had another count before. The
search and the details of one run, within `SAME_OBSERVATION`, are one observation: what the second one adds to a spell
that the first one began belongs to that spell.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import UpdateMany, UpdateOne

from xingtu_crawler.items import SCHEMA_VERSION
from xingtu_crawler.items.videos import FIELDS, PLAY_FIELDS, VideoFact, stored
from xingtu_crawler.storage import projection
from xingtu_crawler.storage.collections import PENDING, VIDEOS
from xingtu_crawler.storage.writer import Write

SAME_OBSERVATION = timedelta(minutes=10)
"""A run that sees a video again within this time has observed it once: the search and the details show the same
videos."""
_REMEMBERED = 4096
"""Videos to remember: those of some pages. An author's details follow the author's page by two or three pages."""
_VOLATILE = frozenset({"url", "cover", "video_tag"})
"""Stored but no part of the content: URLs that are signed anew, and the reason why the search shows the video."""
_LASTING = frozenset({"created_at", "published_at"})
"""No part of the content, as they never change: another value is another list's, or a correction."""
_DERIVED = frozenset({"play", "play_from"})
"""No part of the content: one of the counts, which are."""
_CONTENT = tuple(name for name in FIELDS if name not in _VOLATILE | _LASTING | _DERIVED)
_SAME_TIME_MS = 600_000
"""Two lists give one time if they differ by less, in milliseconds."""
_EXACT_LIST = "search.last_10_items"
"""The list whose `created_at` is preferred."""
_BLANK = stored(dict.fromkeys(FIELDS))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def content_of(data: Mapping[str, Any]) -> Hashable:
    """Return what must be equal for two states of a video to be the same content."""
    return tuple(data.get(name) for name in _CONTENT)


def with_first_counts(states: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the states of a video in the order of time, in which a list's first count also holds before it."""
    first: dict[str, Any] = {}
    for state in states:
        for name in PLAY_FIELDS:
            if name not in first and state.get(name) is not None:
                first[name] = state[name]
    return [{**first, **{name: value for name, value in state.items() if value is not None}} for state in states]


@dataclass(frozen=True, slots=True)
class _Stored:
    """What this run has stored of a video: its known values, its lists, and the time of the observation."""

    known: dict[str, Any]
    sources: frozenset[str]
    fetched_at: datetime

    def covers(self, fact: VideoFact, fetched_at: datetime) -> bool:
        """Return whether an answer is the same observation: at about the same time, with no new value."""
        return abs(fetched_at - self.fetched_at) < SAME_OBSERVATION and all(
            value is None or (self.known.get(name) == value if name in _CONTENT else name in self.known)
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
    same = {f"data.{name}": value for name, value in known.items() if name in _CONTENT}
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
    content_known = [name for name in _CONTENT if name in known]
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
    values = {name: {"$literal": known[name]} if name in known else f"$data.{name}" for name in _CONTENT}
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
    for name in _DERIVED.intersection(known) if "play_from" in known else ():
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
