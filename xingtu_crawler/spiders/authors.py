"""Asks the details of authors whose ids are known: to the user, or to MongoDB."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from xingtu_crawler.spiders.arguments import parse_authors, read_star_ids
from xingtu_crawler.spiders.base import BATCH, XingtuSpider, needs_storage
from xingtu_crawler.storage.ledger import Question

LONG_AGO = datetime.fromtimestamp(0, UTC)


class AuthorsSpider(XingtuSpider):
    """`scrapy crawl authors -a star_ids=…`, or `star_ids_file=…`, `missing=1`, `failed=1`, `stale=7d`."""

    name = "authors"

    def parse_arguments(self, arguments: Mapping[str, str]) -> None:
        """Read which authors and which details."""
        self.arguments = parse_authors(arguments)
        self.details = self.arguments.details
        self._limited_to: set[str] = set()

    @needs_storage
    async def start(self) -> AsyncIterator[Any]:
        """Ask batch by batch, as the crawl goes on: a file or a database of any size is streamed."""
        async for request in self.paced(self.claims()):
            yield request

    @property
    def newer_than(self) -> datetime:
        """What is missing is missing whatever its age; see the base class for the rest."""
        return LONG_AGO if self.arguments.missing else super().newer_than

    async def claims(self) -> AsyncIterator[list[Question]]:
        """Yield, batch by batch, the questions to be asked."""
        asked = self.arguments
        platforms, endpoints = self.details.platforms, self.details.endpoints
        if asked.missing:
            async for star_ids in self.worklist.missing(platforms, endpoints):
                for batch in self._batches(star_ids):
                    yield await self.claim(batch)
        elif asked.failed:
            async for questions in self.worklist.failed(platforms, endpoints, terminal=self.details.terminal):
                for few in _in_batches(questions):
                    yield await self._claim_questions(few, newer_than=None)
        elif asked.stale is not None:
            older_than = self.run_started_at - asked.stale
            async for questions in self.worklist.stale(platforms, endpoints, older_than=older_than):
                # Few at a time: what another crawl has refreshed meanwhile is not stale any more.
                for few in _in_batches(questions):
                    yield await self._claim_questions(few, newer_than=older_than)
        else:
            named = read_star_ids(asked.star_ids_file) if asked.star_ids_file else asked.star_ids or ()
            for batch in self._batches(named):
                yield await self.claim(batch)

    def _batches(self, star_ids: Iterable[str]) -> Iterable[list[str]]:
        ids = iter(star_ids)
        while batch := [star_id for star_id in islice(ids, BATCH) if self._within_limit(star_id)]:
            self.tally("authors", len(batch))
            yield batch

    async def _claim_questions(self, questions: list[Question], *, newer_than: datetime | None) -> list[Question]:
        wanted = [question for question in questions if self._within_limit(question.star_id)]
        claimed = await self.ledger.claim(wanted, newer_than=newer_than, terminal=self.details.terminal)
        self.tally("authors", len({question.star_id for question in claimed}))
        return claimed

    def _within_limit(self, star_id: str) -> bool:
        """Whether the details of this author are asked; what is remembered is never more than `max_authors`."""
        limit = self.details.max_authors
        if limit is None or star_id in self._limited_to:
            return True
        if len(self._limited_to) < limit:
            self._limited_to.add(star_id)
            return True
        self.close_reason = "max_authors"
        return False


def _in_batches(questions: list[Question]) -> Iterator[list[Question]]:
    return (questions[at : at + BATCH] for at in range(0, len(questions), BATCH))
