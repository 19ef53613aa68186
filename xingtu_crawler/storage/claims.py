"""Claims: the details that this process fetches, so that it pays for none of them twice.

A claim lives in memory, from the decision to fetch a detail until its answer or its failure is stored. It is no record
of what is done. That record is `crawl.fetched_at` of the detail documents together with `failures`: there is no other
one that could disagree with the data. `Claims.claim` decides by it; the first row that applies counts:

    what is known of a detail                           fetch it?
    this process has a claim on it                      no
    no failure, and `newer_than` is None                no
    fetched by a run that started since `newer_than`    no
    no failure                                          yes
    failed since `failed_before`                        no (adds to `passed_over` if the failure is not terminal)
    failed, but not terminal, or `terminal` is set      yes
    refused (400, 404, 201, 202)                        no, if that was since `settled_since` and no document exists
    quarantined                                         no, if that was since `newer_than` (or since `settled_since`)
    failed otherwise (a body that is too large)         no, if that was since `settled_since`

A failure that is older than the answer no longer counts, and is removed: a crash can leave it behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pymongo import DeleteOne
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.codes import REFUSED
from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import FAILURES
from xingtu_crawler.storage.dates import AHEAD, DATED_AHEAD
from xingtu_crawler.storage.documents import detail_id, failure_id
from xingtu_crawler.storage.freshness import FIELDS, is_fresh

_MARK = f"crawl.{DATED_AHEAD}"
SETTLED_FOR = timedelta(days=7)
"""A refusal settles its question for this long, or for `max_age` where that is longer; never for ever."""


def settled_since(started_at: datetime, max_age: timedelta) -> datetime:
    """Return the time since when a refusal settles its question in a run that started at `started_at`.

    With `max_age=0` everything is fetched, so no earlier refusal settles anything.
    """
    return started_at - (max(max_age, SETTLED_FOR) if max_age else timedelta())


@dataclass(frozen=True, slots=True)
class DetailKey:
    """Names one detail: what one endpoint returns about one author on one platform."""

    endpoint: str
    star_id: str
    platform: str
    had_failed: bool = False
    """Whether `failures` has a document about it, which its answer has to remove."""
    filled: int = 0
    """Number of filled fields of the stored document, `crawl.filled`; 0 if there is none or its number is unknown."""

    @property
    def key(self) -> str:
        """The `_id` of its failure."""
        return failure_id(self.endpoint, self.star_id, self.platform)


def details_of(star_ids: Iterable[str], platforms: Iterable[str], endpoints: Iterable[str]) -> list[DetailKey]:
    """Return every detail of these authors, author by author, in the order given."""
    each = [(endpoint, platform) for platform in platforms for endpoint in endpoints]
    return [DetailKey(endpoint, star_id, platform) for star_id in star_ids for endpoint, platform in each]


@dataclass(frozen=True, slots=True)
class _Rule:
    """The part of the decision table that is about failures."""

    newer_than: datetime | None
    settled_since: datetime
    terminal: bool
    failed_before: datetime | None

    def is_final(self, failure: dict[str, Any], *, has_document: bool) -> bool:
        """Return whether a failure means that its detail is not to be fetched."""
        failed_at: datetime = failure["failed_at"]
        if self.failed_before is not None and failed_at >= self.failed_before:
            return True
        if self.terminal or not failure["terminal"]:
            return False
        if failure.get("code") in REFUSED and failure["reason"] != "quarantined":
            return failed_at >= self.settled_since and not has_document
        if failure["reason"] == "quarantined" and self.newer_than is not None:
            return failed_at >= max(self.newer_than, self.settled_since)
        return failed_at >= self.settled_since


class _Stored(NamedTuple):
    """What is known of a stored document: its provenance."""

    crawl: Mapping[str, Any]

    @property
    def fetched_at(self) -> datetime:
        """When it was fetched (UTC)."""
        found: datetime = self.crawl["fetched_at"]
        return found

    @property
    def filled(self) -> int:
        """The number of its filled fields."""
        return int(self.crawl.get("filled", 0))


class Claims:
    """Decides which details to fetch, and remembers which of them are being fetched."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], outages: Outages) -> None:
        self._database = database
        self._outages = outages
        self._open: set[str] = set()
        self.passed_over = 0
        """Number of details that were left out because of `failed_before` alone: another crawl would fetch them."""
        self.set_aside: dict[str, DetailKey] = {}
        """Details that were left out because an earlier answer is in quarantine, or is too large: they are missing."""

    async def claim(
        self,
        details: Sequence[DetailKey],
        *,
        newer_than: datetime | None,
        settled_since: datetime,
        terminal: bool = False,
        failed_before: datetime | None = None,
    ) -> list[DetailKey]:
        """Return those of these details that are to be fetched, and hold a claim on each of them until `release`.

        Args:
            details: the details in question.
            newer_than: a document fetched by a run that started since then (UTC) is fresh; None claims only what
                failed after its last answer.
            settled_since: a refusal since then (UTC) settles its question; see the function of this name.
            terminal: whether terminal failures and quarantined answers are fetched again.
            failed_before: what has failed since then (UTC) is left out, whatever the failure.

        Raises:
            StorageError: MongoDB stayed away for longer than the patience.
        """
        # Claim before reading: an answer that is stored and released in between would be fetched, and paid for, again.
        reserved: dict[str, DetailKey] = {}
        for detail in details:
            if detail.key not in self._open:
                self._open.add(detail.key)
                reserved[detail.key] = detail
        claimed: dict[str, DetailKey] = {}
        try:
            claimed = await self._select(reserved, _Rule(newer_than, settled_since, terminal, failed_before))
        finally:
            self._open -= reserved.keys() - claimed.keys()
        return list(claimed.values())

    async def _select(self, details: Mapping[str, DetailKey], rule: _Rule) -> dict[str, DetailKey]:
        """Return those of these details, by key, that the dataset and the rule leave to be fetched."""
        if not details:
            return {}
        # Failures before documents: an answer that arrives between the two reads is in the documents.
        failed = await self._failed(details)
        stored = await self._stored(details.values())
        selected: dict[str, DetailKey] = {}
        for key, detail in details.items():
            failure, document = failed.get(key), stored.get(key)
            if rule.newer_than is None:
                if failure is None:
                    continue
            elif document is not None and is_fresh(document.crawl, since=rule.newer_than):
                continue
            if failure is None or not rule.is_final(failure, has_document=document is not None):
                filled = 0 if document is None else document.filled
                selected[key] = replace(detail, had_failed=failure is not None, filled=filled)
            elif not failure["terminal"]:
                self.passed_over += 1
            elif failure.get("code") not in REFUSED or failure["reason"] == "quarantined":
                self.set_aside[key] = detail
        return selected

    async def lacks(self, details: Sequence[DetailKey], *, newer_than: datetime, settled_since: datetime) -> bool:
        """Return whether `claim` would return any of these details; claims none."""
        unclaimed = {detail.key: detail for detail in details if detail.key not in self._open}
        return bool(await self._select(unclaimed, _Rule(newer_than, settled_since, terminal=False, failed_before=None)))

    @property
    def open_claims(self) -> int:
        """Number of details that are claimed and not released."""
        return len(self._open)

    def release(self, endpoint: str, star_id: str, platform: str) -> None:
        """Release the claim on a detail; call it once the answer, or the failure, is stored."""
        self._open.discard(failure_id(endpoint, star_id, platform))

    async def is_answered(self, detail: DetailKey, *, since: datetime) -> bool:
        """Return whether a document of this detail was fetched `since` then (UTC)."""
        return any(document.fetched_at >= since for document in (await self._stored([detail])).values())

    async def _stored(self, details: Iterable[DetailKey]) -> dict[str, _Stored]:
        """Return what is known of the documents of these details, by the key of the detail."""
        ids: dict[str, list[str]] = {}
        for detail in details:
            ids.setdefault(detail.endpoint, []).append(detail_id(detail.star_id, detail.platform))
        found: dict[str, _Stored] = {}
        for documents in await asyncio.gather(*(self._stored_by(*each) for each in ids.items())):
            found |= documents
        return found

    async def _stored_by(self, endpoint: str, ids: list[str]) -> dict[str, _Stored]:
        collection = self._database[DETAILS[endpoint].collection]
        fields = {**FIELDS, "crawl.filled": 1}
        # A document that is dated in the future would be fresh for ever.
        not_ahead = {"crawl.fetched_at": {"$type": "date", "$lte": datetime.now(UTC) + AHEAD}, _MARK: None}
        found = await self._outages.retry_while_away(
            lambda: collection.find({"_id": {"$in": ids}, **not_ahead}, fields).to_list(),
            swift=True,
        )
        return {f"{endpoint}:{document['_id']}": _Stored(document["crawl"]) for document in found}

    async def _failed(self, details: Mapping[str, DetailKey]) -> dict[str, dict[str, Any]]:
        """Return the failures of these details that are newer than their answers; remove the other ones."""
        fields = {"terminal": 1, "failed_at": 1, "reason": 1, "code": 1}
        found = await self._outages.retry_while_away(
            lambda: self._database[FAILURES].find({"_id": {"$in": list(details)}}, fields).to_list(), swift=True
        )
        failed = {failure["_id"]: failure for failure in found}
        stored = await self._stored(details[key] for key in failed)
        over = {
            key: document.fetched_at
            for key, document in stored.items()
            if document.fetched_at >= failed[key]["failed_at"]
        }
        if over:
            await self._forget(over)
        return {key: failure for key, failure in failed.items() if key not in over}

    async def _forget(self, answered: Mapping[str, datetime]) -> None:
        """Remove the failures of details that were answered at these times; a later failure stays."""
        removals = [DeleteOne({"_id": key, "failed_at": {"$lte": at}}) for key, at in answered.items()]
        await self._outages.retry_while_away(
            lambda: self._database[FAILURES].bulk_write(removals, ordered=False), swift=True
        )


class Preview(Claims):
    """Decides as `Claims` does, but holds no claim and removes no failure: `scrapy plan` counts with it."""

    async def claim(
        self,
        details: Sequence[DetailKey],
        *,
        newer_than: datetime | None,
        settled_since: datetime,
        terminal: bool = False,
        failed_before: datetime | None = None,
    ) -> list[DetailKey]:
        """Return those of these details that a crawl would fetch."""
        by_key = {detail.key: detail for detail in details}
        return list((await self._select(by_key, _Rule(newer_than, settled_since, terminal, failed_before))).values())

    async def _forget(self, answered: Mapping[str, datetime]) -> None:
        """Change nothing."""
