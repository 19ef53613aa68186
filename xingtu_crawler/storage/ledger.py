"""The ledger of what is done: `crawl.fetched_at` of the detail documents themselves, and the terminal failures.

There is no second bookkeeping that could disagree with the data. What has been asked and not yet been stored
is remembered in memory, for a question may come up again while its answer is on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.storage.collections import FAILURES
from xingtu_crawler.storage.documents import detail_id, failure_id
from xingtu_crawler.storage.patience import Patience


@dataclass(frozen=True, slots=True)
class Question:
    """One detail question; `had_failed` says that `failures` holds an entry for it."""

    endpoint: str
    star_id: str
    platform: str
    had_failed: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which failures end a question; see `Ledger.claim`."""

    newer_than: datetime
    terminal: bool
    failed_before: datetime | None

    def settles(self, failure: dict[str, Any]) -> bool:
        if self.failed_before is not None and failure["failed_at"] >= self.failed_before:
            return True
        if self.terminal:
            return False
        if failure["reason"] == "quarantined":
            return bool(failure["failed_at"] >= self.newer_than)
        return bool(failure["terminal"])


class Ledger:
    """Says which details are to be asked, and for which of them somebody is already asking."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], patience: Patience) -> None:
        self._database = database
        self._patience = patience
        self._open: set[str] = set()

    async def claim_missing(
        self,
        star_ids: Sequence[str],
        platforms: Iterable[str],
        endpoints: Iterable[str],
        *,
        newer_than: datetime,
        terminal: bool = False,
        failed_before: datetime | None = None,
    ) -> list[Question]:
        """Return the questions without an answer newer than `newer_than` (UTC), and claim them.

        Author by author, in the order given; see `claim` for what is left out.
        """
        asked = [(endpoint, platform) for platform in platforms for endpoint in endpoints]
        questions = [Question(endpoint, star_id, platform) for star_id in star_ids for endpoint, platform in asked]
        rule = _Rule(newer_than, terminal, failed_before)
        return await self._claim(questions, rule, fresh_too=False)

    async def lacks(
        self, star_ids: Sequence[str], platforms: Iterable[str], endpoints: Iterable[str], *, newer_than: datetime
    ) -> bool:
        """Return whether `claim_missing` would find anything to be asked; nothing is claimed."""
        claimed = await self.claim_missing(star_ids, platforms, endpoints, newer_than=newer_than)
        for question in claimed:
            self.release(question.endpoint, question.star_id, question.platform)
        return bool(claimed)

    async def claim(
        self,
        questions: Sequence[Question],
        *,
        newer_than: datetime,
        terminal: bool = False,
        failed_before: datetime | None = None,
    ) -> list[Question]:
        """Return those of these questions that are to be asked, and claim them until `release`.

        Left out: what somebody is asking already; what ended in quarantine since `newer_than`; what has failed, in
        whatever way, since `failed_before`; and, but for `terminal`, what has once been answered with "there is
        nothing to be had".
        """
        return await self._claim(questions, _Rule(newer_than, terminal, failed_before), fresh_too=True)

    async def _claim(self, questions: Sequence[Question], rule: _Rule, *, fresh_too: bool) -> list[Question]:
        # Claimed before anything is read: else an answer that is stored and released between the reading and
        # the claim would be asked for, and paid for, once more.
        reserved: dict[str, Question] = {}
        for question in questions:
            key = _key(question)
            if key not in self._open:
                self._open.add(key)
                reserved[key] = question
        if not reserved:
            return []
        claimed: dict[str, Question] = {}
        try:
            fresh = set() if fresh_too else await self._fresh(reserved.values(), rule.newer_than)
            failed = await self._failed(list(reserved))
            for key, question in reserved.items():
                failure = failed.get(key)
                if key not in fresh and (failure is None or not rule.settles(failure)):
                    claimed[key] = replace(question, had_failed=failure is not None)
        finally:
            self._open -= reserved.keys() - claimed.keys()
        return list(claimed.values())

    @property
    def open_claims(self) -> int:
        """How many questions have been asked and not been settled."""
        return len(self._open)

    def release(self, endpoint: str, star_id: str, platform: str) -> None:
        """Give a claim back: the answer is stored, or there will be none."""
        self._open.discard(failure_id(endpoint, star_id, platform))

    async def _fresh(self, questions: Iterable[Question], newer_than: datetime) -> set[str]:
        keys: dict[str, list[str]] = {}
        for question in questions:
            keys.setdefault(question.endpoint, []).append(detail_id(question.star_id, question.platform))
        return set().union(*await asyncio.gather(*(self._fresh_of(*each, newer_than) for each in keys.items())))

    async def _fresh_of(self, endpoint: str, keys: list[str], newer_than: datetime) -> set[str]:
        collection = self._database[DETAILS[endpoint].collection]
        found = await self._patience.outlast(
            lambda: collection.find(
                {"_id": {"$in": keys}, "crawl.fetched_at": {"$gte": newer_than}}, {"_id": 1}
            ).to_list(),
            swift=True,
        )
        return {f"{endpoint}:{document['_id']}" for document in found}

    async def _failed(self, keys: list[str]) -> dict[str, dict[str, Any]]:
        fields = {"terminal": 1, "failed_at": 1, "reason": 1}
        found = await self._patience.outlast(
            lambda: self._database[FAILURES].find({"_id": {"$in": keys}}, fields).to_list(), swift=True
        )
        return {document["_id"]: document for document in found}


class Preview(Ledger):
    """Says what would be asked, and claims nothing: for a plan."""

    async def _claim(self, questions: Sequence[Question], rule: _Rule, *, fresh_too: bool) -> list[Question]:
        claimed = await super()._claim(questions, rule, fresh_too=fresh_too)
        for question in claimed:
            self.release(question.endpoint, question.star_id, question.platform)
        return claimed


def _key(question: Question) -> str:
    return failure_id(question.endpoint, question.star_id, question.platform)
