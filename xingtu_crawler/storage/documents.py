"""From answers to writes: what each document looks like and how it replaces its predecessor.

Every write is idempotent, so that one whose acknowledgement was lost can be sent again, and none replaces a
newer answer by an older one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pymongo import DeleteMany, DeleteOne, UpdateOne

from xingtu_crawler.api.endpoints import SEARCH
from xingtu_crawler.api.envelope import Envelope
from xingtu_crawler.items import SCHEMA_VERSION, Parsed
from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.items.content_hash import content_hash
from xingtu_crawler.items.videos import FIELDS, VideoFact
from xingtu_crawler.storage import history
from xingtu_crawler.storage.collections import AUTHORS, FAILURES, PENDING, QUARANTINE, SEARCH_HITS, VIDEOS
from xingtu_crawler.storage.writer import Write


def detail_id(star_id: str, platform: str) -> str:
    """Return the `_id` of a detail document."""
    return f"{star_id}:{platform}"


def failure_id(endpoint: str, star_id: str, platform: str) -> str:
    """Return the `_id` of a failure of a detail question."""
    return f"{endpoint}:{star_id}:{platform}"


def page_failure_id(sweep: str, page: int) -> str:
    """Return the `_id` of a failure of a page of the search."""
    return f"{SEARCH.name}:{sweep}:{page}"


def page_failures(of: str) -> dict[str, str]:
    """Return the condition on `_id` for the failures of pages whose sweep and page, as `sweep:page`, begin so."""
    return {"$gte": f"{SEARCH.name}:{of}", "$lt": f"{SEARCH.name}:{of[:-1]}{chr(ord(of[-1]) + 1)}"}


def provenance(
    endpoint: str, envelope: Envelope, parsed: Parsed, *, run_id: str, fetched_at: datetime
) -> dict[str, Any]:
    """Return the `crawl` part of a document, but for the two times that depend on its predecessor."""
    record_time, misfits = _record_time(envelope.record_time)
    crawl: dict[str, Any] = {
        "run_id": run_id,
        "endpoint": endpoint,
        "code": envelope.code,
        "request_id": envelope.request_id,
        "record_time": record_time,
        "fetched_at": fetched_at,
        "content_hash": content_hash(endpoint, parsed.data, parsed.unparsed),
        "schema_version": SCHEMA_VERSION,
    }
    if parsed.unparsed or misfits:
        crawl["unparsed"] = {**parsed.unparsed, **misfits}
    if parsed.unknown_fields:
        crawl["unknown_fields"] = parsed.unknown_fields
    return crawl


def _record_time(text: str | None) -> tuple[datetime | None, dict[str, dict[str, Any]]]:
    """Return the moment that an envelope names, or why it is none: ISO 8601 without a zone could be any of 26."""
    if not text:
        return None, {}
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
            return moment.replace(microsecond=moment.microsecond // 1000 * 1000), {}
    except (ValueError, OverflowError):
        pass
    return None, {"crawl.record_time": {"raw": text, "error": "not a time with its zone (ISO 8601)"}}


def upsert(
    collection: str,
    key: str,
    identity: Mapping[str, str],
    data: Mapping[str, Any],
    crawl: Mapping[str, Any],
    *,
    spells: bool = True,
) -> Write:
    """Return the write that makes `data` the content of the document `key`; `spells`: and keeps what it replaces.

    `first_seen_at` is kept, `changed_at` moves only when the content hash does. The filter lets a newer
    document be: the upsert then collides with it, and the late answer becomes a spell of its own.
    """
    fetched_at, content = crawl["fetched_at"], crawl["content_hash"]

    def replacing() -> UpdateOne:
        same = {"$eq": ["$crawl.content_hash", content]}
        fields: dict[str, Any] = {
            # Literal: keys and values may hold dots and dollars, which would be read as expressions.
            **{name: {"$literal": value} for name, value in identity.items()},
            "data": {"$literal": data},
            "crawl": {"$mergeObjects": [{"$literal": crawl}, history.bookkeeping(same=same, fetched_at=fetched_at)]},
        }
        fields[PENDING] = history.pending(same=same, kept=spells)
        return UpdateOne(_not_newer(key, fetched_at), [{"$set": fields}], upsert=True)

    def late() -> UpdateOne:
        # What the current spell says of that time already needs no spell of its own.
        news = [{"crawl.content_hash": {"$ne": content}}, {"crawl.changed_at": {"$gt": fetched_at}}]
        spell = history.late_spell(data, content, fetched_at, crawl.get("unparsed"))
        return UpdateOne({"_id": key, "$or": news}, {"$addToSet": {PENDING: spell}})

    new = {"_id": key, **identity, "data": data, "crawl": {**crawl, **history.first_bookkeeping(fetched_at)}}
    return Write(collection, replacing, late if spells else None, new, entity=key if spells else None)


def _not_newer(key: str, fetched_at: datetime) -> dict[str, Any]:
    return {"_id": key, "crawl.fetched_at": {"$not": {"$gt": fetched_at}}}


def author(star_id: str, parsed: Parsed, crawl: Mapping[str, Any], *, spells: bool = True) -> Write:
    """Return the write of a search record."""
    return upsert(AUTHORS, star_id, {"star_id": star_id}, parsed.data, crawl, spells=spells)


def detail(
    collection: str, star_id: str, platform: str, parsed: Parsed, crawl: Mapping[str, Any], *, spells: bool = True
) -> Write:
    """Return the write of a detail document."""
    identity = {"star_id": star_id, "platform": platform}
    return upsert(collection, detail_id(star_id, platform), identity, parsed.data, crawl, spells=spells)


_PASSING = frozenset({"url", "cover", "video_tag"})
"""Signed anew now and then, or about the search and not the video: stored, but no change of content."""
_TELLING = tuple(name for name in FIELDS if name not in _PASSING)


@dataclass(frozen=True, slots=True)
class VideoSaid:
    """What has been said of a video so far: its known values, when, and the hash of what they say.

    The hash is the values in a row, as the server makes it: there is where the other values of a video are. None
    where servers may differ in it.
    """

    known: dict[str, Any]
    fetched_at: datetime
    content_hash: str | None

    @classmethod
    def of(cls, known: dict[str, Any], fetched_at: datetime) -> VideoSaid:
        """Put the values in a row."""
        words = [_as_server_writes(known.get(name)) for name in _TELLING]
        return cls(known, fetched_at, None if None in words else "".join(f"{word}|" for word in words))

    def then(self, later: VideoSaid) -> VideoSaid:
        """Return what is known after another answer."""
        if self.is_repeated_by(later):
            return replace(self, fetched_at=later.fetched_at)
        if later.fetched_at < self.fetched_at:  # it may have filled a gap, for which the server makes no new hash
            return replace(self, known={**later.known, **self.known}, content_hash=None)
        return VideoSaid.of({**self.known, **later.known}, later.fetched_at)

    def is_repeated_by(self, later: VideoSaid) -> bool:
        """Tell whether a later answer says nothing that is not known: its images may be signed anew."""
        return later.fetched_at > self.fetched_at and all(
            name in _PASSING or self.known.get(name) == value for name, value in later.known.items()
        )


def said(fact: VideoFact, fetched_at: datetime) -> VideoSaid:
    """Return what one answer says of a video."""
    known = {name: value for name, value in fact.data.items() if value is not None}
    return VideoSaid.of(known, fetched_at)


def video(
    fact: VideoFact, says: VideoSaid, *, run_id: str, before: VideoSaid | None = None, spells: bool = True
) -> Write:
    """Return the write of what one answer says of a video: known values win, unknown ones take nothing away.

    `before` is what this run has stored of the video, if it remembers: its document needs no more than a mark then,
    where nothing is new.
    """
    known, fetched_at = says.known, says.fetched_at
    about = {"run_id": run_id, "fetched_at": fetched_at, "schema_version": SCHEMA_VERSION}
    sources = {"$setUnion": [{"$ifNull": ["$crawl.sources", []]}, list(fact.sources)]}

    def replacing() -> UpdateOne:
        same = {
            "$and": [
                {"$ne": [{"$type": "$crawl.fetched_at"}, "missing"]},  # of a video that is new, nothing is the same
                *({"$eq": [f"$data.{name}", {"$literal": known[name]}]} for name in _TELLING if name in known),
            ]
        }
        values = [{"$literal": known[name]} if name in known else f"$data.{name}" for name in _TELLING]
        fields: dict[str, Any] = {
            "item_id": {"$literal": fact.item_id},
            "star_id": {"$ifNull": ["$star_id", {"$literal": fact.star_id}]},
            "data": {"$mergeObjects": [dict.fromkeys(fact.data), "$data", {"$literal": known}]},
            "crawl": {
                **about,
                "content_hash": {
                    "$concat": [part for value in values for part in ({"$toString": _or_empty(value)}, "|")]
                },
                "sources": sources,
                **history.bookkeeping(same="$$same", fetched_at=fetched_at),
            },
        }
        fields[PENDING] = history.pending(same="$$same", kept=spells)
        # The comparison stands here once: each time costs, on the way and on the server.
        replaced = {"$let": {"vars": {"same": same}, "in": {"$mergeObjects": ["$$ROOT", fields]}}}
        return UpdateOne(_not_newer(fact.item_id, fetched_at), [{"$replaceWith": replaced}], upsert=True)

    def late() -> UpdateOne:
        # A late answer changes nothing that is known; it may know what no newer one said.
        filled = {f"data.{name}": {"$ifNull": [f"$data.{name}", {"$literal": value}]} for name, value in known.items()}
        return UpdateOne({"_id": fact.item_id}, [{"$set": {**filled, "crawl.sources": sources}}])

    new = again = None
    if before is not None:
        if before.content_hash is not None and before.is_repeated_by(says):
            as_written = {
                "crawl.content_hash": before.content_hash,
                "crawl.fetched_at": {"$lt": fetched_at},
            }
            passing = {f"data.{name}": known[name] for name in _PASSING if name in known}
            again = UpdateOne(
                {"_id": fact.item_id, **as_written},
                {
                    "$set": {**{f"crawl.{name}": value for name, value in about.items()}, **passing},
                    "$inc": {"crawl.observations": 1},
                    "$addToSet": {"crawl.sources": {"$each": list(fact.sources)}},
                },
            )
    elif says.content_hash is not None:
        crawl = {**about, "content_hash": says.content_hash, "sources": sorted(fact.sources)}
        new = {
            "_id": fact.item_id,
            "item_id": fact.item_id,
            "star_id": fact.star_id,
            "data": fact.data,
            "crawl": {**crawl, **history.first_bookkeeping(fetched_at)},
        }
    return Write(VIDEOS, replacing, late, new, again, entity=fact.item_id if spells else None)


def _as_server_writes(value: object) -> str | None:
    """Return `$toString` of a value, "" for null; None where servers may differ in it, as with long fractions."""
    write = _WRITTEN.get(value.__class__)
    return None if write is None else write(value)


def _written_float(value: float) -> str | None:
    word = f"{value:g}"
    return word if 0.001 < value < 1e6 and float(word) == value else None


def _written_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_WRITTEN: dict[type, Callable[[Any], str | None]] = {
    type(None): lambda _none: "",
    str: lambda text: text,
    bool: lambda flag: "true" if flag else "false",
    int: str,
    float: _written_float,
    datetime: _written_time,
}


def _or_empty(value: object) -> dict[str, Any]:
    return {"$ifNull": [value, ""]}


def search_hit(sweep: str, page: int, rank: int, star_id: str, *, seen_at: datetime) -> Write:
    """Return the write of one place in the sampling frame; `rank` counts from 1 within the page."""
    hit = {"sweep": sweep, "page": page, "rank": rank, "star_id": star_id, "seen_at": seen_at}
    place = {"_id": f"{sweep}:{page}:{rank}", "seen_at": {"$not": {"$gt": seen_at}}}
    return Write(SEARCH_HITS, UpdateOne(place, {"$set": hit}, upsert=True))


def forget_hits(sweep: str, page: int, *, before: datetime) -> Write:
    """Return the write that removes what an earlier reading of a page has left: it may have shown more authors."""
    return Write(SEARCH_HITS, DeleteMany({"sweep": sweep, "page": page, "seen_at": {"$lt": before}}))


def failure(question: FailedRequest, *, run_id: str) -> Write:
    """Return the write that records a question without an answer."""
    if question.page is None:
        assert question.star_id is not None
        assert question.platform is not None
        key = failure_id(question.endpoint, question.star_id, question.platform)
        where: dict[str, Any] = {"star_id": question.star_id, "platform": question.platform}
    else:
        assert question.sweep is not None
        key = page_failure_id(question.sweep, question.page)
        where = {"sweep": question.sweep, "page": question.page}
    operation = UpdateOne(
        {"_id": key, "failed_at": {"$not": {"$gt": question.failed_at}}},  # it may come late, out of a spill file
        {
            "$set": {
                "endpoint": question.endpoint,
                **where,
                "code": question.code,
                "reason": question.reason,
                "message": question.message,
                "request_id": question.request_id,
                "attempts": question.attempts,
                "terminal": question.terminal,
                "failed_at": question.failed_at,
                "run_id": run_id,
            },
            "$setOnInsert": {"first_failed_at": question.failed_at},
        },
        upsert=True,
    )
    return Write(FAILURES, operation)


def answered(key: str, answered_at: datetime) -> Write:
    """Return the write that removes the failure of a question that has been answered; one that is later stays."""
    return Write(FAILURES, DeleteOne({"_id": key, "failed_at": {"$lte": answered_at}}))


def quarantine(
    reason: str, body: bytes, request: Mapping[str, Any], *, run_id: str, request_id: str | None, at: datetime
) -> Write:
    """Return the write that keeps an answer which cannot be a document: its raw body, why, what was asked.

    The key is made of the question and the body, so that the same write twice is one document.
    """
    star_id = request.get("star_id")
    digest = hashlib.blake2b(repr(sorted(request.items())).encode(), digest_size=8)
    digest.update(body)
    operation = UpdateOne(
        {"_id": digest.hexdigest()},
        {
            "$setOnInsert": {
                "reason": reason,
                "star_id": star_id,
                "request": dict(request),
                "body": body,
                "request_id": request_id,
                "run_id": run_id,
                "quarantined_at": at,
            }
        },
        upsert=True,
    )
    return Write(QUARANTINE, operation)
