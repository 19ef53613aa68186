"""Fetches the details of authors whose ids the user or MongoDB knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from xingtu_crawler.arguments.authors import parse_authors
from xingtu_crawler.arguments.star_ids import read_star_ids
from xingtu_crawler.extensions.context import Done
from xingtu_crawler.spiders.author_limit import AuthorLimit
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
        self._limit = AuthorLimit(self.details.max_authors)
        self._is_listed = False
        """Whether the list of authors has been read to its end."""

    @needs_storage
    async def start(self) -> AsyncIterator[Any]:
        """Request batch by batch, so that a file or a database of any size is streamed."""
        async for request in self.paced(self.detail_batches()):
            yield request

    def covered(self) -> str | None:
        """Return in words how many of the listed authors are complete; details that are listed one by one have none."""
        if self.arguments.failed or self.arguments.stale is not None:
            return None
        complete, authors = self.coverage.complete, self.coverage.authors
        if self._is_listed:
            return None if complete == authors else f"{complete:,} of {authors:,} authors complete"
        return f"{complete:,} of the first {authors:,} authors of the list complete"

    @property
    def close_reason(self) -> str | None:
        """Why the crawl is over when nothing is left to be done; None for `finished`."""
        return "max_authors" if self._limit.is_reached else None

    @property
    def expected_authors(self) -> Done:
        """The authors that are listed; None where MongoDB selects them."""
        limits = [each for each in (self.arguments.listed, self.details.max_authors) if each is not None]
        return Done(0, min(limits, default=None))

    @property
    def newer_than(self) -> datetime:
        """With `missing=1` details of any age are up to date; see the base class for the rest."""
        return LONG_AGO if self.arguments.missing else super().newer_than

    async def detail_batches(self) -> AsyncIterator[list[DetailKey]]:
        """Yield the details to request, batch by batch; a batch may be empty, so that the caller can stop."""
        arguments = self.arguments
        if arguments.failed or arguments.stale is not None:
            batches = self._listed()
        elif arguments.missing:
            batches = self._missing()
        else:
            named = read_star_ids(arguments.star_ids_file) if arguments.star_ids_file else arguments.star_ids or ()
            batches = self._of_authors(iter(named))
        async for batch in batches:
            yield batch
        self._is_listed = not self._limit.is_reached

    async def _listed(self) -> AsyncIterator[list[DetailKey]]:
        """Claim the details in `failures`, or those that are older than `stale`."""
        platforms, endpoints = self.details.platforms, self.details.endpoints
        worklist, stale = self.context.worklist, self.arguments.stale
        newer_than = None if stale is None else self.context.started_at - stale
        if newer_than is None:
            listed = worklist.failed(platforms, endpoints, terminal=self.details.terminal)
        else:
            listed = worklist.stale(platforms, endpoints, older_than=newer_than)
        async for details in listed:
            # A few at a time: another crawl may refresh the rest meanwhile.
            for at in range(0, len(details), BATCH):
                yield self._within_limit(await self.claim_details(details[at : at + BATCH], newer_than=newer_than))

    async def _missing(self) -> AsyncIterator[list[DetailKey]]:
        """Claim the missing details of the authors in MongoDB."""
        async for star_ids in self.context.worklist.missing(self.details.platforms, self.details.endpoints):
            async for batch in self._of_authors(iter(star_ids)):
                yield batch
            if self._limit.is_reached:
                return
            if not star_ids:
                yield []

    async def _of_authors(self, star_ids: Iterator[str]) -> AsyncIterator[list[DetailKey]]:
        """Claim the details of these authors, a batch at a time, up to `max_authors`."""
        while not self._limit.is_reached and (batch := list(islice(star_ids, BATCH))):
            claimed = await self.claim(batch)
            within = self._within_limit(claimed)
            beyond = {detail.star_id for detail in claimed} - {detail.star_id for detail in within}
            self.coverage.expect([star_id for star_id in batch if star_id not in beyond], within)
            yield within

    def _within_limit(self, claimed: list[DetailKey]) -> list[DetailKey]:
        """Return the details within `max_authors` and release the others."""
        within, beyond, new_authors = self._limit.split(claimed)
        for detail in beyond:
            self.context.claims.release(detail.endpoint, detail.star_id, detail.platform)
        self.context.tally("authors", new_authors)
        return within
