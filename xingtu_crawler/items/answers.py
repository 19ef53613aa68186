"""What flows from spiders to pipelines: answers as they came, and questions that got none.

The raw body travels with an answer until it is stored, so that nothing that was paid for can be lost on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from xingtu_crawler.api.envelope import Envelope


@dataclass(slots=True)
class DetailAnswer:
    """One author's details from one endpoint on one platform."""

    endpoint: str
    star_id: str
    platform: str
    envelope: Envelope = field(repr=False)
    body: bytes = field(repr=False)
    fetched_at: datetime
    had_failed: bool = False
    """Whether `failures` held an entry for this question when it was asked."""

    def __str__(self) -> str:
        return f"{self.endpoint} of {self.star_id} ({self.platform})"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the paging of a sweep ended. It travels with the page that ended it, so that both are stored as one."""

    reason: str
    next_page: int | None = None
    """Where paging can go on; None where the search has no further page."""


@dataclass(slots=True)
class SearchAnswer:
    """One page of a sweep."""

    sweep: str
    page: int
    envelope: Envelope = field(repr=False)
    body: bytes = field(repr=False)
    fetched_at: datetime
    stop: Stop | None = None
    """Why no page follows this one; None where one does."""
    tried_again: bool = False
    """Whether this crawl asks the page once more, should it be no search page."""

    def __str__(self) -> str:
        return f"page {self.page} of sweep {self.sweep}"


@dataclass(slots=True)
class FailedRequest:
    """A question without a usable answer; `star_id` and `platform`, or `sweep` and `page`, say which."""

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
    """The last body that came, where one came that may have been paid for: it goes to quarantine."""
    stop: Stop | None = None
    """Of a page: why no page follows this one; None where one does."""
    tried_again: bool = False
    """Of a page: whether this crawl asks it once more. It counts as failed when it has failed for good."""

    @classmethod
    def of_unfit(cls, answer: DetailAnswer | SearchAnswer, why: str) -> Self:
        """Return the record of a question whose answer came, was paid for, and cannot be a document.

        Asking for details again at once would buy the same; a page without its authors is a page that is missing.
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
