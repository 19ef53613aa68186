"""The exceptions that end a request without an answer. Scrapy passes them to the errback and does not log them.

The middlewares raise them; the spiders turn them into records of failures.
"""

from __future__ import annotations

from scrapy.exceptions import DownloadConnectionRefusedError, DropItem, IgnoreRequest


class NoAnswerError(IgnoreRequest):
    """A request ended without a usable answer, and this crawl does not retry it.

    Raised by the business-code middleware; the spider's errback turns it into a `failures` document.
    """

    def __init__(
        self,
        *,
        code: int | None,
        reason: str,
        message: str,
        request_id: str | None,
        attempts: int,
        terminal: bool,
        body: bytes | None = None,
    ) -> None:
        super().__init__(f"{reason} after {attempts} attempt(s)")
        self.code = code
        self.reason = reason
        self.message = message
        self.request_id = request_id
        self.attempts = attempts
        self.terminal = terminal
        self.body = body


class NotSentError(DownloadConnectionRefusedError):
    """No connection was made, so the request was not sent: it is no call, and costs nothing.

    `is_final`: another attempt would end in the same way, so the crawl ends. Raised by the download handler.
    """

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class CrawlClosingError(IgnoreRequest):
    """A request was not sent because the crawl is closing; it is not a failure, only work left for the next run."""


class LeftOpenError(CrawlClosingError):
    """A request is left to the next run, though this one goes on: its endpoint fails, or its tokens are used up."""


class NoItemError(DropItem):
    """A failed request or an answer in quarantine is no item for feeds. Raised by the last pipeline; not logged."""
