"""Every exception that this project raises on purpose; each says who raises it and when.

The message of a `UserError` is one line, written for the person at the keyboard: what is wrong and what
to type. It never holds a token, a password or a full connection string.

Plain Python, for every layer; what Scrapy has to know by its class is in `middlewares/exceptions`.
"""

from __future__ import annotations


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
