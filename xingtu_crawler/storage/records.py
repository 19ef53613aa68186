"""Stored documents as plain items, for feeds and other receivers of Scrapy's `item_scraped`.

One answer becomes several documents: the details and their videos, or the authors, places and videos of a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.items import SCHEMA_VERSION
from xingtu_crawler.items.validation import ValidDetail, ValidPage
from xingtu_crawler.items.videos import VideoFact, stored, video_facts
from xingtu_crawler.storage import documents
from xingtu_crawler.storage.collections import AUTHORS, SEARCH_HITS, VIDEOS
from xingtu_crawler.storage.planned import is_planned

NESTED: Mapping[str, bool] = {"nested": True}
"""The metadata of a field that holds an object: a format without objects writes it as JSON text."""


@dataclass(frozen=True, slots=True)
class Record:
    """A stored document as one answer wrote it: text, numbers, flags, lists and objects; times as ISO 8601 text.

    `crawl` lacks the bookkeeping that only the stored document has: `first_seen_at`, `changed_at`, `spell`,
    `observations` and, of videos, `content_hash`.
    """

    collection: str
    _id: str
    data: dict[str, Any] = field(metadata=NESTED)
    crawl: dict[str, Any] = field(metadata=NESTED)

    def __str__(self) -> str:
        return f"{self.collection} {self._id}"


def records(valid: ValidDetail | ValidPage, *, run_id: str, run_started_at: datetime | None = None) -> Iterator[Record]:
    """Yield the documents that the run has stored of an answer; of an answer in quarantine there are none."""
    if isinstance(valid, ValidPage):
        return _of_page(valid, run_id, run_started_at)
    return _of_detail(valid, run_id, run_started_at)


def _of_detail(valid: ValidDetail, run_id: str, run_started_at: datetime | None) -> Iterator[Record]:
    answer, parsed = valid.answer, valid.parsed
    if not answer.is_stored:
        return
    for fact in video_facts(answer.endpoint, parsed.data, answer.star_id):
        yield _video(fact, answer.fetched_at, run_id)
    key = documents.detail_id(answer.star_id, answer.platform)
    crawl = documents.provenance(
        answer.endpoint,
        answer.envelope,
        parsed,
        run_id=run_id,
        fetched_at=answer.fetched_at,
        run_started_at=run_started_at,
    )
    yield _record(DETAILS[answer.endpoint].collection, key, parsed.data, crawl)


def _of_page(valid: ValidPage, run_id: str, run_started_at: datetime | None) -> Iterator[Record]:
    answer = valid.answer
    if is_planned(answer.sweep):
        return
    facts: dict[str, VideoFact] = {}
    authors: dict[str, Record] = {}
    for rank, (star_id, parsed) in valid.authors.items():
        place = {"sweep": answer.sweep, "page": answer.page, "rank": rank, "star_id": star_id}
        key = f"{answer.sweep}:{answer.page}:{rank}"
        yield _record(SEARCH_HITS, key, {**place, "seen_at": answer.fetched_at}, {})
        for fact in video_facts(SEARCH.name, parsed.data, star_id):
            earlier = facts.get(fact.item_id)
            facts[fact.item_id] = fact if earlier is None else earlier.and_also(fact)
        if star_id not in authors:
            crawl = documents.provenance(
                SEARCH.name,
                answer.envelope,
                parsed,
                run_id=run_id,
                fetched_at=answer.fetched_at,
                run_started_at=run_started_at,
            )
            authors[star_id] = _record(AUTHORS, star_id, parsed.data, crawl)
    for fact in facts.values():
        yield _video(fact, answer.fetched_at, run_id)
    yield from authors.values()


def _video(fact: VideoFact, fetched_at: datetime, run_id: str) -> Record:
    crawl = {
        "run_id": run_id,
        "fetched_at": fetched_at,
        "schema_version": SCHEMA_VERSION,
        "sources": sorted(fact.sources),
    }
    return _record(VIDEOS, fact.item_id, stored(fact.data), crawl)


def _record(collection: str, key: str, data: Mapping[str, Any], crawl: Mapping[str, Any]) -> Record:
    return Record(collection, key, _plain(data), _plain(crawl))


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(inner) for key, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case _:
            return value
