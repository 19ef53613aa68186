"""Stores answers as documents or in quarantine, and requests without an answer in `failures`.

Every answer takes this way into the dataset: of a crawl, of a spill file, of a replay of the quarantine.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.items import Parsed
from xingtu_crawler.items.answers import DetailAnswer, FailedRequest, SearchAnswer
from xingtu_crawler.items.validation import ValidDetail, ValidPage
from xingtu_crawler.items.videos import VideoFact, video_facts
from xingtu_crawler.storage import documents, planned, quarantine
from xingtu_crawler.storage.claims import Claims, DetailKey
from xingtu_crawler.storage.freshness import started_at_of
from xingtu_crawler.storage.history import History
from xingtu_crawler.storage.notes import note_failure, note_quarantined
from xingtu_crawler.storage.refusals import Refusals, is_refusal
from xingtu_crawler.storage.spill import Answer
from xingtu_crawler.storage.sweeps import Sweeps
from xingtu_crawler.storage.videos import Videos
from xingtu_crawler.storage.writer import BulkWriter, Rejected, Write
from xingtu_crawler.verdict import Findings

Count = Callable[[str, int], None]
"""Takes a name and a number to add to it: `stored/authors`, `quarantined`, `failures/open`, …"""


class Recorder:
    """Records answers and failures of one run; each method returns when MongoDB has acknowledged every write."""

    def __init__(
        self,
        writer: BulkWriter,
        claims: Claims,
        sweeps: Sweeps,
        history: History | None,
        *,
        run_id: str,
        run_started_at: datetime | None = None,
        count: Count,
        findings: Findings | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self._writer = writer
        self._history = history
        self._claims = claims
        self._sweeps = sweeps
        self._run_id = run_id
        self._run_started_at = run_started_at
        self._count = count
        self._findings = findings if findings is not None else Findings()
        self._refusals = refusals
        self._turns: dict[str, asyncio.Event] = {}
        """By sweep: set when its last page so far is marked as read or missed."""
        self._videos = Videos(run_id, history=history is not None)

    def of_run(self, run_id: str) -> Recorder:
        """Return a recorder for the answers of another run, which has fetched them and could not store them."""
        return Recorder(
            self._writer,
            self._claims,
            self._sweeps,
            self._history,
            run_id=run_id,
            run_started_at=started_at_of(run_id),
            count=self._count,
            findings=self._findings,
        )

    async def settle(self) -> None:
        """Return when the spells that these answers have ended are in the history."""
        if self._history:
            await self._history.flush()

    async def detail(self, valid: ValidDetail) -> bool:
        """Store details and the videos in them; return False if the answer, or part of it, went to quarantine."""
        answer, parsed = valid.answer, valid.parsed
        crawl = self._provenance(answer.endpoint, answer, parsed)
        collection = DETAILS[answer.endpoint].collection
        detail = documents.detail(
            collection, answer.star_id, answer.platform, parsed, crawl, history=self._history is not None
        )
        facts = video_facts(answer.endpoint, parsed.data, answer.star_id)
        videos = [write for write, _ in self._videos.writes(facts, answer.fetched_at)]
        # The writer sends the videos first: once the document is there, the answer counts as stored.
        rejected = await self._write([*videos, detail])
        if not rejected:
            self._videos.remember(facts, answer.fetched_at)
        refused = any(each.write is detail for each in rejected)
        if rejected:
            # The raw body has both the document and its videos.
            await self.quarantine_detail(answer, rejected[0].error, failed=refused)
        if answer.had_failed and not refused:
            key = documents.failure_id(answer.endpoint, answer.star_id, answer.platform)
            await self._forget_failure(key, answered_at=answer.fetched_at)
        if self._refusals and not refused:
            self._refusals.ended(answer.endpoint)
        self._claims.release(answer.endpoint, answer.star_id, answer.platform)
        return not rejected

    async def page(self, valid: ValidPage) -> None:
        """Store everything on a search page, then mark the page as read.

        Pages are marked in the order of the calls of this method, because a sweep resumes after the last one. A page
        of `scrapy plan` is only kept.
        """
        answer = valid.answer
        if planned.is_planned(answer.sweep):
            await self._writer.insist([planned.keep(valid, run_id=self._run_id)])
            return
        unreadable = list(valid.misfits.items())
        async with self._in_turn(answer.sweep) as turn:
            await asyncio.gather(
                self.authors(valid),
                self._writer.insist([documents.forget_hits(answer.sweep, answer.page, before=answer.fetched_at)]),
            )
            for rank, (reason, body) in unreadable:
                await self.quarantine_page(answer, reason, body, rank=rank)
            await turn.wait()
            left_out = await self._sweeps.page_read(
                answer.sweep,
                answer.page,
                valid.page,
                request_id=answer.envelope.request_id,
                fetched_at=answer.fetched_at,
                stop=answer.stop,
                hole=answer.is_hole,
            )
        if left_out:
            self._count("page_bytes_left_out", left_out)
        key = documents.page_failure_id(answer.sweep, answer.page)
        await self._forget_failure(key, answered_at=answer.fetched_at)

    @asynccontextmanager
    async def _in_turn(self, sweep: str) -> AsyncIterator[asyncio.Event]:
        """Take the next place in the order of a sweep's pages; yield the event to wait for before marking the page."""
        mine = asyncio.Event()
        before = self._turns.get(sweep)
        if before is None:
            before = asyncio.Event()
            before.set()
        self._turns[sweep] = mine
        try:
            yield before
        finally:
            mine.set()

    async def authors(self, valid: ValidPage) -> bool:
        """Store the authors of a page, their hits and their videos; return False if one went to quarantine."""
        answer = valid.answer
        writes: list[Write] = []
        ranks: dict[int, int] = {}
        listed: dict[str, int] = {}
        facts: dict[str, VideoFact] = {}
        for rank, (star_id, parsed) in valid.authors.items():
            hit = documents.search_hit(answer.sweep, answer.page, rank, star_id, seen_at=answer.fetched_at)
            of_rank = [hit]
            # An author may be listed several times: that is one observation, the first one.
            if listed.setdefault(star_id, rank) == rank:
                crawl = self._provenance("search", answer, parsed)
                of_rank.append(documents.author(star_id, parsed, crawl, history=self._history is not None))
            writes += of_rank
            ranks |= {id(write): rank for write in of_rank}
            # A co-created video of several authors is one observation too.
            for fact in video_facts("search", parsed.data, star_id):
                earlier = facts.get(fact.item_id)
                facts[fact.item_id] = fact if earlier is None else earlier.and_also(fact)
        videos = self._videos.writes(facts.values(), answer.fetched_at)
        ranks |= {id(write): listed[star_id] for write, star_id in videos}
        rejected = await self._write([*(write for write, _ in videos), *writes])
        if not rejected:
            self._videos.remember(facts.values(), answer.fetched_at)
        refused = {ranks[id(each.write)]: each.error for each in rejected}
        for rank, error in refused.items():
            element = json.dumps(valid.page.authors[rank - 1]).encode()
            valid.misfits[rank] = (error, element)
            del valid.authors[rank]
            await self.quarantine_page(answer, error, element, rank=rank)
        return not refused

    async def failure(self, failed: FailedRequest) -> None:
        """Record a request without a usable answer; an unreadable body goes to quarantine."""
        if failed.sweep is not None and failed.page is not None:
            async with self._in_turn(failed.sweep) as turn:
                await self._failure(failed)
                await turn.wait()
                await self._sweeps.page_missed(
                    failed.sweep,
                    failed.page,
                    failed_at=failed.failed_at,
                    hole=not failed.terminal,
                    stop=failed.stop,
                )
            return
        await self._failure(failed)
        if failed.star_id is not None and failed.platform is not None:
            self._claims.release(failed.endpoint, failed.star_id, failed.platform)

    async def _failure(self, failed: FailedRequest) -> None:
        if failed.body is not None:  # first, because a terminal failure settles the request
            request = {
                name: value
                for name in ("endpoint", "star_id", "platform", "sweep", "page")
                if (value := getattr(failed, name)) is not None
            }
            await self._quarantine(failed.reason, failed.body, request, failed)
        if await self._is_answered(failed):
            return
        stored = replace(failed, terminal=False) if is_refusal(failed) else failed  # until the end: see `Refusals`
        if not planned.is_planned(failed.sweep):
            await self._writer.insist([documents.failure(stored, run_id=self._run_id)])
        if self._refusals and failed.star_id is not None:
            self._refusals.ended(failed.endpoint)
            if is_refusal(failed):
                self._refusals.refused(failed)
        if not failed.tried_again:
            self._count(f"failures/{'terminal' if failed.terminal else 'open'}", 1)
            # Code 0 is a success and explains no failure.
            label = f"{failed.code} {failed.reason}" if failed.code else failed.reason
            self._count(f"failures/{failed.endpoint}/{label}", 1)
            note_failure(self._findings, failed, label, run_id=self._run_id)

    async def _is_answered(self, failed: FailedRequest) -> bool:
        """Return whether a newer answer is stored: a failure from a spill file may be old."""
        if failed.sweep is not None and failed.page is not None:
            return await self._sweeps.has_page(failed.sweep, failed.page, since=failed.failed_at)
        assert failed.star_id is not None
        assert failed.platform is not None
        key = DetailKey(failed.endpoint, failed.star_id, failed.platform)
        return await self._claims.is_answered(key, since=failed.failed_at)

    async def set_aside(self, answer: Answer, reason: str) -> None:
        """Put an answer that cannot be stored into quarantine, and record its request as failed.

        A hollow answer whose detail is requested once more is no failure, and does not count as quarantined.
        """
        if isinstance(answer, DetailAnswer):
            await self.quarantine_detail(answer, reason, failed=not answer.is_put_aside)
        elif isinstance(answer, SearchAnswer):
            await self.quarantine_page(answer, reason, answer.body)
        else:
            await self.failure(answer)

    async def _forget_failure(self, key: str, *, answered_at: datetime) -> None:
        """Remove the failure of a request that was answered at `answered_at`; a later failure stays."""
        await self._writer.write([documents.answered(key, answered_at)])

    async def quarantine_detail(self, answer: DetailAnswer, reason: str, *, failed: bool = True) -> None:
        """Put the raw body of details into quarantine and, if `failed`, record the request as failed."""
        request = {"endpoint": answer.endpoint, "star_id": answer.star_id, "platform": answer.platform}
        await self._quarantine(reason, answer.body, request, answer)
        if failed:  # terminal until `max_age` has passed
            await self.failure(FailedRequest.of_unfit(answer, reason))

    async def quarantine_page(self, answer: SearchAnswer, reason: str, body: bytes, *, rank: int | None = None) -> None:
        """Put the raw `body` of a page into quarantine, or with `rank` that of one author on it.

        A page in quarantine counts as missed.
        """
        request = {"endpoint": "search", "sweep": answer.sweep, "page": answer.page}
        await self._quarantine(reason, body, request if rank is None else {**request, "rank": rank}, answer)
        if rank is None:
            await self.failure(FailedRequest.of_unfit(answer, reason))

    async def _quarantine(
        self, reason: str, body: bytes, request: dict[str, Any], answer: DetailAnswer | SearchAnswer | FailedRequest
    ) -> None:
        if isinstance(answer, FailedRequest):
            at, request_id = answer.failed_at, answer.request_id
        else:
            at, request_id = answer.fetched_at, answer.envelope.request_id
        pieces, document = quarantine.writes(reason, body, request, run_id=self._run_id, request_id=request_id, at=at)
        await self._writer.insist(pieces)
        await self._writer.insist([document])
        if isinstance(answer, DetailAnswer) and answer.is_put_aside:
            return
        self._count("quarantined", 1)
        note_quarantined(self._findings, request, reason)

    def _provenance(self, endpoint: str, answer: DetailAnswer | SearchAnswer, parsed: Parsed) -> dict[str, Any]:
        return documents.provenance(
            endpoint,
            answer.envelope,
            parsed,
            run_id=self._run_id,
            fetched_at=answer.fetched_at,
            run_started_at=self._run_started_at,
        )

    async def _write(self, writes: Sequence[Write]) -> list[Rejected]:
        rejected = await self._writer.write(writes)
        refused = {id(each.write) for each in rejected}
        stored = [write for write in writes if id(write) not in refused]
        for collection, count in Counter(write.collection for write in stored).items():
            self._count(f"stored/{collection}", count)
        return rejected
