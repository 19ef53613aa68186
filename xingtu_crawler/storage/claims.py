"""The ledger of what is done: `crawl.fetched_at` of the detail documents themselves, and the terminal failures.

There is no second bookkeeping that could disagree with the data. What has been asked and not yet been stored
is remembered in memory, for a question may come up again while its answer is on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pymongo import DeleteOne
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import FAILURES
from xingtu_crawler.storage.documents import detail_id, failure_id


@dataclass(frozen=True, slots=True)
class DetailKey:
    """One detail question; `had_failed` says that `failures` holds an entry for it."""

    endpoint: str
    star_id: str
    platform: str
    had_failed: bool = False

    @property
    def key(self) -> str:
        """The `_id` of its failure, where it has one."""
        return failure_id(self.endpoint, self.star_id, self.platform)


def details_of(star_ids: Iterable[str], platforms: Iterable[str], endpoints: Iterable[str]) -> list[DetailKey]:
    """Return every question about these authors: author by author, in the order given."""
    asked = [(endpoint, platform) for platform in platforms for endpoint in endpoints]
    return [DetailKey(endpoint, star_id, platform) for star_id in star_ids for endpoint, platform in asked]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which failures end a question; see `Claims.claim`."""

    newer_than: datetime | None
    terminal: bool
    failed_before: datetime | None

    def settles(self, failure: dict[str, Any]) -> bool:
        if self.failed_before is not None and failure["failed_at"] >= self.failed_before:
            return True
        if self.terminal:
            return False
        if failure["reason"] == "quarantined":
            return self.newer_than is None or bool(failure["failed_at"] >= self.newer_than)
        return bool(failure["terminal"])


class Claims:
    """Says which details are to be asked, and for which of them somebody is already asking."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], outages: Outages) -> None:
        self._database = database
        self._outages = outages
        self._open: set[str] = set()
        self.passed_over = 0
        """How many questions that are open all the same claims have left out: they have failed in this run's time."""

    async def claim(
        self,
        questions: Sequence[DetailKey],
        *,
        newer_than: datetime | None,
        terminal: bool = False,
        failed_before: datetime | None = None,
    ) -> list[DetailKey]:
        """Return those of these questions that are to be asked, and claim them until `release`.

        Left out: what has been answered since `newer_than` (UTC), or, where that is None, whatever has not failed since
        it was answered; what somebody is asking already; what ended in quarantine since `newer_than`; what has failed,
        in whatever way, since `failed_before`; and, but for `terminal`, what has once been answered with "there is
        nothing to be had".
        """
        rule = _Rule(newer_than, terminal, failed_before)
        # Claimed before anything is read: else an answer that is stored and released between the reading and
        # the claim would be asked for, and paid for, once more.
        reserved: dict[str, DetailKey] = {}
        for question in questions:
            if question.key not in self._open:
                self._open.add(question.key)
                reserved[question.key] = question
        if not reserved:
            return []
        claimed: dict[str, DetailKey] = {}
        try:
            # First: what is answered while this is read has been answered by the time the documents are looked at.
            failed = await self._failed(reserved)
            fresh = set() if newer_than is None else await self._answered(reserved.values(), newer_than)
            for key, question in reserved.items():
                failure = failed.get(key)
                if newer_than is None and failure is None:
                    continue
                if key in fresh:
                    continue
                if failure is None or not rule.settles(failure):
                    claimed[key] = replace(question, had_failed=failure is not None)
                elif not failure["terminal"]:
                    self.passed_over += 1
        finally:
            self._open -= reserved.keys() - claimed.keys()
        return list(claimed.values())

    async def lacks(self, questions: Sequence[DetailKey], *, newer_than: datetime) -> bool:
        """Tell whether `claim` would find anything to be asked; nothing is claimed."""
        claimed = await self.claim(questions, newer_than=newer_than)
        for question in claimed:
            self.release(question.endpoint, question.star_id, question.platform)
        return bool(claimed)

    @property
    def open_claims(self) -> int:
        """How many questions have been asked and not been settled."""
        return len(self._open)

    def release(self, endpoint: str, star_id: str, platform: str) -> None:
        """Give a claim back: the answer is stored, or there will be none."""
        self._open.discard(failure_id(endpoint, star_id, platform))

    async def is_answered(self, question: DetailKey, *, since: datetime) -> bool:
        """Tell whether there is an answer that was fetched `since` then."""
        return bool(await self._answered([question], since))

    async def _answered(self, questions: Iterable[DetailKey], since: datetime) -> set[str]:
        keys: dict[str, list[str]] = {}
        for question in questions:
            keys.setdefault(question.endpoint, []).append(detail_id(question.star_id, question.platform))
        found = await asyncio.gather(*(self._fetched(*each, since) for each in keys.items()))
        return set().union(*found)

    async def _fetched(self, endpoint: str, keys: list[str], since: datetime) -> dict[str, datetime]:
        collection = self._database[DETAILS[endpoint].collection]
        found = await self._outages.retry_while_away(
            lambda: collection.find(
                {"_id": {"$in": keys}, "crawl.fetched_at": {"$gte": since}}, {"crawl.fetched_at": 1}
            ).to_list(),
            swift=True,
        )
        return {f"{endpoint}:{document['_id']}": document["crawl"]["fetched_at"] for document in found}

    async def _failed(self, questions: Mapping[str, DetailKey]) -> dict[str, dict[str, Any]]:
        """Return the failures of these questions, and remove those that have been answered since.

        A crash, or another crawl that did not know of the failure, leaves them behind.
        """
        fields = {"terminal": 1, "failed_at": 1, "reason": 1}
        found = await self._outages.retry_while_away(
            lambda: self._database[FAILURES].find({"_id": {"$in": list(questions)}}, fields).to_list(), swift=True
        )
        failed = {failure["_id"]: failure for failure in found}
        answered: dict[str, datetime] = {}
        for endpoint in {questions[key].endpoint for key in failed}:
            keys = [key.removeprefix(f"{endpoint}:") for key in failed if questions[key].endpoint == endpoint]
            answered |= await self._fetched(endpoint, keys, min(failure["failed_at"] for failure in found))
        over = {key: at for key, at in answered.items() if at >= failed[key]["failed_at"]}
        if over:
            await self._forget(over)
        return {key: failure for key, failure in failed.items() if key not in over}

    async def _forget(self, answered: Mapping[str, datetime]) -> None:
        """Remove the failures of questions that were answered at these times."""
        removals = [DeleteOne({"_id": key, "failed_at": {"$lte": at}}) for key, at in answered.items()]
        await self._outages.retry_while_away(
            lambda: self._database[FAILURES].bulk_write(removals, ordered=False), swift=True
        )


class Preview(Claims):
    """Says what would be asked, and claims nothing: for a plan."""

    async def claim(
        self,
        questions: Sequence[DetailKey],
        *,
        newer_than: datetime | None,
        terminal: bool = False,
        failed_before: datetime | None = None,
    ) -> list[DetailKey]:
        """Return what would be asked."""
        claimed = await super().claim(questions, newer_than=newer_than, terminal=terminal, failed_before=failed_before)
        for question in claimed:
            self.release(question.endpoint, question.star_id, question.platform)
        return claimed

    async def _forget(self, answered: Mapping[str, datetime]) -> None:
        """A plan changes nothing."""
