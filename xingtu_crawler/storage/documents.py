"""From answers to writes: what each document looks like, and how it replaces its predecessor.

Every write is idempotent, because one without an acknowledgement is sent again. No write replaces a newer answer by an
older one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo import DeleteMany, DeleteOne, UpdateOne

from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.api.envelope import Envelope
from xingtu_crawler.items import SCHEMA_VERSION, Parsed
from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.items.content_hash import content_hash
from xingtu_crawler.items.shape import count_filled
from xingtu_crawler.storage import projection
from xingtu_crawler.storage.bounds import short
from xingtu_crawler.storage.collections import AUTHORS, FAILURES, PENDING, QUARANTINE, SEARCH_HITS
from xingtu_crawler.storage.writer import Write


def detail_id(star_id: str, platform: str) -> str:
    """Return the `_id` of a detail document."""
    return f"{star_id}:{platform}"


def failure_id(endpoint: str, star_id: str, platform: str) -> str:
    """Return the `_id` of the failure of a detail request."""
    return f"{endpoint}:{star_id}:{platform}"


def page_failure_id(sweep: str, page: int) -> str:
    """Return the `_id` of the failure of a search page."""
    return f"{SEARCH.name}:{sweep}:{page}"


def page_failures(of: str) -> dict[str, str]:
    """Return the condition on `_id` for the failures of pages whose `sweep:page` begins with `of`."""
    return {"$gte": f"{SEARCH.name}:{of}", "$lt": f"{SEARCH.name}:{of[:-1]}{chr(ord(of[-1]) + 1)}"}


def provenance(
    endpoint: str,
    envelope: Envelope,
    parsed: Parsed,
    *,
    run_id: str,
    fetched_at: datetime,
    run_started_at: datetime | None = None,
) -> dict[str, Any]:
    """Return the `crawl` of a document, without the fields that depend on its predecessor."""
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
    if endpoint in DETAILS:
        crawl["filled"] = count_filled(endpoint, envelope.data)
    if run_started_at is not None:
        crawl["run_started_at"] = run_started_at
    if parsed.unparsed or misfits:
        crawl["unparsed"] = {**parsed.unparsed, **misfits}
    if parsed.unknown_fields:
        crawl["unknown_fields"] = parsed.unknown_fields
    return crawl


def _record_time(text: str | None) -> tuple[datetime | None, dict[str, dict[str, Any]]]:
    """Return the time in an envelope, or why it has none: ISO 8601 without a zone is ambiguous."""
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
    history: bool = True,
) -> Write:
    """Return the write that makes `data` the content of the document `key`; `history`: and keeps the spell it ends.

    `first_seen_at` stays, and `changed_at` moves only with the content hash. The filter does not match a newer
    document: the upsert then collides with it, and the late answer waits in `history_pending`.
    """
    fetched_at, content = crawl["fetched_at"], crawl["content_hash"]

    def replacing() -> UpdateOne:
        same = {"$eq": ["$crawl.content_hash", content]}
        bookkeeping = projection.bookkeeping(same=same, fetched_at=fetched_at)
        fields: dict[str, Any] = {
            # Literal: keys and values may hold dots and dollars, which would be read as expressions.
            **{name: {"$literal": value} for name, value in identity.items()},
            "data": {"$literal": data},
            "crawl": {"$mergeObjects": [{"$literal": crawl}, bookkeeping]},
        }
        if history:
            fields[PENDING] = projection.ending(same=same)
        # The same content of the same time is this write itself, sent a second time.
        older: list[dict[str, Any]] = [
            {"crawl.fetched_at": {"$lt": fetched_at}},
            {"crawl.fetched_at": fetched_at, "crawl.content_hash": content},
        ]
        return UpdateOne({"_id": key, "$or": older}, [{"$set": fields}], upsert=True)

    def late() -> UpdateOne:
        answer = {**projection.late_answer(fetched_at, content[:8]), "content_hash": content, "data": data}
        if "unparsed" in crawl:
            answer["unparsed"] = crawl["unparsed"]
        return UpdateOne({"_id": key}, {"$addToSet": {PENDING: answer}})

    new = {"_id": key, **identity, "data": data, "crawl": {**crawl, **projection.first_bookkeeping(fetched_at)}}
    return Write(collection, replacing, late if history else None, new)


def author(star_id: str, parsed: Parsed, crawl: Mapping[str, Any], *, history: bool = True) -> Write:
    """Return the write of a search record."""
    return upsert(AUTHORS, star_id, {"star_id": star_id}, parsed.data, crawl, history=history)


def detail(
    collection: str, star_id: str, platform: str, parsed: Parsed, crawl: Mapping[str, Any], *, history: bool = True
) -> Write:
    """Return the write of a detail document."""
    identity = {"star_id": star_id, "platform": platform}
    return upsert(collection, detail_id(star_id, platform), identity, parsed.data, crawl, history=history)


def search_hit(sweep: str, page: int, rank: int, star_id: str, *, seen_at: datetime) -> Write:
    """Return the write of one hit of a sweep, which replaces no newer one; `rank` counts from 1 within the page."""
    hit = {"sweep": sweep, "page": page, "rank": rank, "star_id": star_id, "seen_at": seen_at}
    place = {"_id": f"{sweep}:{page}:{rank}", "seen_at": {"$not": {"$gt": seen_at}}}
    return Write(SEARCH_HITS, UpdateOne(place, {"$set": hit}, upsert=True), new={"_id": place["_id"], **hit})


def forget_hits(sweep: str, page: int, *, before: datetime) -> Write:
    """Return the write that removes the hits of earlier answers for this page, which may have had more authors."""
    return Write(SEARCH_HITS, DeleteMany({"sweep": sweep, "page": page, "seen_at": {"$lt": before}}))


def failure(failed: FailedRequest, *, run_id: str) -> Write:
    """Return the write that records a request without a usable answer."""
    if failed.page is None:
        assert failed.star_id is not None
        assert failed.platform is not None
        key = failure_id(failed.endpoint, failed.star_id, failed.platform)
        where: dict[str, Any] = {"star_id": failed.star_id, "platform": failed.platform}
    else:
        assert failed.sweep is not None
        key = page_failure_id(failed.sweep, failed.page)
        where = {"sweep": failed.sweep, "page": failed.page}
    operation = UpdateOne(
        {"_id": key, "failed_at": {"$not": {"$gt": failed.failed_at}}},  # one from a spill file may be old
        {
            "$set": {
                "endpoint": failed.endpoint,
                **where,
                "code": failed.code,
                "reason": failed.reason,
                "message": short(failed.message),
                "request_id": short(failed.request_id),
                "attempts": failed.attempts,
                "terminal": failed.terminal,
                "failed_at": failed.failed_at,
                "run_id": run_id,
            },
            "$setOnInsert": {"first_failed_at": failed.failed_at},
        },
        upsert=True,
    )
    return Write(FAILURES, operation)


def answered(key: str, answered_at: datetime) -> Write:
    """Return the write that removes the failure of a request that was answered; a later failure stays."""
    return Write(FAILURES, DeleteOne({"_id": key, "failed_at": {"$lte": answered_at}}))


def quarantine_id(request: Mapping[str, Any], body: bytes) -> str:
    """Return the `_id` of a quarantined body."""
    digest = hashlib.blake2b(repr(sorted(request.items())).encode(), digest_size=8)
    digest.update(body)
    return digest.hexdigest()


def quarantine(
    key: str,
    reason: str,
    body: bytes,
    request: Mapping[str, Any],
    *,
    pieces: int,
    run_id: str,
    request_id: str | None,
    at: datetime,
) -> Write:
    """Return the write that keeps an answer that cannot be a document: the first piece of its raw body and the reason.

    `key` is `quarantine_id` of the request and the whole body, so that the same write twice is one document.
    """
    kept: dict[str, Any] = {
        "reason": short(reason),
        "star_id": request.get("star_id"),
        "request": dict(request),
        "body": body,
        "request_id": short(request_id),
        "run_id": run_id,
        "quarantined_at": at,
    }
    if pieces > 1:
        kept["pieces"] = pieces
    return Write(QUARANTINE, UpdateOne({"_id": key}, {"$setOnInsert": kept}, upsert=True))
