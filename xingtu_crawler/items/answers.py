"""The items that spiders yield: answers as received, and failed requests.

An answer carries its raw body until it is stored, so that no paid answer can be lost on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from xingtu_crawler.api.envelope import Envelope

HOLLOW = "hollow: it lacks most of what the stored document has"
"""Why an answer with `is_put_aside` is in quarantine; `scrapy replay` leaves it there."""


@dataclass(slots=True)
class DetailAnswer:
    """The details of one author from one endpoint on one platform."""

    endpoint: str
    star_id: str
    platform: str
    envelope: Envelope = field(repr=False)
    body: bytes = field(repr=False)
    fetched_at: datetime
    had_failed: bool = False
    """Whether `failures` had an entry for this request when it was sent."""
    is_stored: bool = False
    """Set by the pipeline: MongoDB has acknowledged the document and its videos."""
    is_put_aside: bool = False
    """Whether it goes to quarantine, because it is hollow and this crawl asks once more."""

    def __str__(self) -> str:
        return f"{self.endpoint} of {self.star_id} ({self.platform})"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the paging of a sweep ended. Part of the page that ended it, so that both are stored in one write."""

    reason: str
    next_page: int | None = None
    """The page at which paging can resume; None if the search has no further page."""
    void_from: int | None = None
    """Pages from this one on do not exist, although they were taken for missing; None if there are none."""


@dataclass(slots=True)
class SearchAnswer:
    """One page of a sweep."""

    sweep: str
    page: int
    envelope: Envelope = field(repr=False)
    body: bytes = field(repr=False)
    fetched_at: datetime
    stop: Stop | None = None
    """Why no page follows this one; None if one does."""
    tried_again: bool = False
    """Whether this crawl requests the page again if it is not a search page."""
    is_hole: bool = False
    """Whether the page is still missing: it is empty or repeats authors, although the search counts more."""

    def __str__(self) -> str:
        return f"page {self.page} of sweep {self.sweep}"


@dataclass(slots=True)
class FailedRequest:
    """A request without a usable answer, identified by `star_id` and `platform`, or by `sweep` and `page`."""

    endpoint: str
    code: int | None
    reason: str
    message: str
    request_id: str | None
    attempts: int
    terminal: bool
    failed_at: datetime
    star_id: str | None = None
    platform: str | None = None
    sweep: str | None = None
    page: int | None = None
    body: bytes | None = field(default=None, repr=False)
    """The last body received, if it may have been billed: it goes to quarantine."""
    stop: Stop | None = None
    """Of a page: why no page follows this one; None if one does."""
    tried_again: bool = False
    """Of a page: whether this crawl requests it again. It counts as failed only after the last attempt."""

    @classmethod
    def of_unfit(cls, answer: DetailAnswer | SearchAnswer, why: str) -> Self:
        """Return the failure for an answer that was billed and cannot be a document.

        Fetching details again at once would return the same, so they are terminal. A page without authors is missing.
        """
        unfit = cls(
            endpoint=answer.endpoint if isinstance(answer, DetailAnswer) else "search",
            code=answer.envelope.code,
            reason="quarantined",
            message=why,
            request_id=answer.envelope.request_id,
            attempts=1,
            terminal=isinstance(answer, DetailAnswer),
            failed_at=answer.fetched_at,
        )
        if isinstance(answer, DetailAnswer):
            unfit.star_id, unfit.platform = answer.star_id, answer.platform
        else:
            unfit.sweep, unfit.page = answer.sweep, answer.page
            unfit.stop, unfit.tried_again = answer.stop, answer.tried_again
        return unfit

    def __str__(self) -> str:
        what = f"page {self.page}" if self.page is not None else f"{self.star_id} ({self.platform})"
        return f"{self.endpoint} of {what}: {self.reason}"
