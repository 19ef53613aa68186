"""Every exception that this project raises on purpose; each says who raises it and when.

The message of a `UserError` is one line, written for the person at the keyboard: what is wrong and what
to type. It never holds a token, a password or a full connection string.
"""

from __future__ import annotations

from scrapy.exceptions import IgnoreRequest


class UserError(Exception):
    """Something that the user can put right; the base of everything that stops a crawl before its first call."""


class ArgumentError(UserError):
    """A spider or command argument is unknown, malformed or contradicts another. Raised by argument parsing."""


class TokenError(UserError):
    """No usable token was given. Raised when the settings are read into a token pool."""


class StorageError(UserError):
    """MongoDB cannot be used: unreachable, wrong credentials, too old, no embedded server. Raised by `storage/`."""


class ApiUnreachableError(UserError):
    """The API's host cannot be reached or is not the API. Raised by the check before the first call."""


class SandboxError(UserError):
    """The sandbox cannot start. Raised by `scrapy sandbox` and by crawls that start one."""


class PlanError(UserError):
    """The search page that a plan rests on was asked for and not had. Raised by `scrapy plan`."""


class IdentityError(ValueError):
    """A payload is not the answer to the question: no id, or another author's. Raised by `items/`; quarantined."""


class MalformedBodyError(ValueError):
    """A body is not the API's envelope: not JSON, cut, or no `code`. Raised by `api.envelope`; retried."""


class TooDeepError(MalformedBodyError):
    """A body is JSON nested beyond what can be read. Raised by `api.envelope`; asking again would not help."""


class NoAnswerError(IgnoreRequest):
    """A request ended without a usable answer and will not be tried again in this crawl.

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


class CrawlClosingError(IgnoreRequest):
    """A request was not sent because the crawl is closing; it is not a failure, only work left for the next run."""
