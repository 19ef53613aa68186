"""Asks the details of authors whose ids are known: to the user, or to MongoDB."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from xingtu_crawler.arguments.authors import parse_authors
from xingtu_crawler.arguments.star_ids import read_star_ids
from xingtu_crawler.spiders.base import BATCH, XingtuSpider, needs_storage
from xingtu_crawler.storage.claims import DetailKey

LONG_AGO = datetime.fromtimestamp(0, UTC)


class AuthorsSpider(XingtuSpider):
    """`scrapy crawl authors -a star_ids=…`, or `star_ids_file=…`, `missing=1`, `failed=1`, `stale=7d`."""

    name = "authors"

    def parse_arguments(self, arguments: Mapping[str, str]) -> None:
        """Read which authors and which details."""
        self.arguments = parse_authors(arguments)
        self.details = self.arguments.details
        self._asked: set[str] = set()
        """The authors within `max_authors`; empty where there is no such limit."""

    @needs_storage
    async def start(self) -> AsyncIterator[Any]:
        """Ask batch by batch, as the crawl goes on: a file or a database of any size is streamed."""
        async for request in self.paced(self.detail_batches()):
            yield request

    @property
    def newer_than(self) -> datetime:
        """What is missing is missing whatever its age; see the base class for the rest."""
        return LONG_AGO if self.arguments.missing else super().newer_than

    async def detail_batches(self) -> AsyncIterator[list[DetailKey]]:
        """Yield, batch by batch, the questions to be asked; now and then an empty batch while it looks for them."""
        asked = self.arguments
        platforms, endpoints = self.details.platforms, self.details.endpoints
        if asked.failed or asked.stale is not None:
            newer_than = None if asked.stale is None else self.run_started_at - asked.stale
            if newer_than is None:
                listed = self.worklist.failed(platforms, endpoints, terminal=self.details.terminal)
            else:
                listed = self.worklist.stale(platforms, endpoints, older_than=newer_than)
            async for questions in listed:
                # Few at a time: what another crawl has refreshed meanwhile is not stale any more.
                for at in range(0, len(questions), BATCH):
                    yield await self._claim_details(questions[at : at + BATCH], newer_than=newer_than)
        elif asked.missing:
            async for star_ids in self.worklist.missing(platforms, endpoints):
                async for claimed in self._claims_about(iter(star_ids)):
                    yield claimed
                if self.close_reason:
                    return
                if not star_ids:
                    yield []
        else:
            named = read_star_ids(asked.star_ids_file) if asked.star_ids_file else asked.star_ids or ()
            async for claimed in self._claims_about(iter(named)):
                yield claimed

    async def _claims_about(self, star_ids: Iterator[str]) -> AsyncIterator[list[DetailKey]]:
        """Claim the details of these authors, a batch at a time, until there are as many as were wanted."""
        while not self.close_reason and (batch := list(islice(star_ids, BATCH))):
            yield self._within_limit(await self.claim(batch))

    async def _claim_details(self, questions: list[DetailKey], *, newer_than: datetime | None) -> list[DetailKey]:
        return self._within_limit(
            await self.claims.claim(
                questions,
                newer_than=newer_than,
                terminal=self.details.terminal,
                failed_before=self.run_started_at,
            )
        )

    def _within_limit(self, claimed: list[DetailKey]) -> list[DetailKey]:
        """Return the questions about the first `max_authors` of those who lack anything; the others are given back.

        Who lacks nothing does not count: else the same ones would use up the limit every time.
        """
        limit = self.details.max_authors
        if limit is None:
            self.tally("authors", len({question.star_id for question in claimed}))
            return claimed
        before, within = len(self._asked), []
        for question in claimed:
            if question.star_id in self._asked or len(self._asked) < limit:
                self._asked.add(question.star_id)
                within.append(question)
            else:
                self.claims.release(question.endpoint, question.star_id, question.platform)
        self.tally("authors", len(self._asked) - before)
        if len(self._asked) >= limit:
            self.close_reason = "max_authors"
        return within
