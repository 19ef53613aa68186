"""The exceptions of this project, for every layer; `engine/exceptions` has those that Scrapy handles by class.

The message of a `UserError` is one line for the user: what is wrong, then what to run or to correct. It never holds a
token, a password or a whole connection string.

    UserError
        ArgumentError, TokenError, ApiUnreachableError, SandboxError, PlanError
        StorageError
            RefusedWriteError
    ValueError
        IdentityError
        MalformedBodyError
            TooDeepError, TooLargeError
"""

from __future__ import annotations


class UserError(Exception):
    """The user has to correct something: the base of everything that stops a crawl before its first call."""


class ArgumentError(UserError):
    """An argument of a spider or command is unknown, malformed or contradicts another. Raised by `arguments/`."""


class TokenError(UserError):
    """There is no usable token. Raised by `Options.read` and `Options.token_pool`."""


class StorageError(UserError):
    """MongoDB cannot be used: unreachable, wrong credentials, too old, away. Raised by `mongo/` and `storage/`."""


class RefusedWriteError(StorageError):
    """MongoDB refuses a write and will again: too large, or against a validator. Raised by `BulkWriter.insist`."""


class ApiUnreachableError(UserError):
    """The API's host cannot be reached or is not the API. Raised by the check before the first call."""


class SandboxError(UserError):
    """The sandbox cannot start. Raised by `sandbox/`, and by `Options.read` for XINGTU_SANDBOX."""


class PlanError(UserError):
    """Page 1 of the search, which a plan needs, could not be fetched. Raised by `scrapy plan`, after a call."""


class IdentityError(ValueError):
    """A payload does not match its request: no id, or another author's. Raised by `items/`; quarantined."""


class MalformedBodyError(ValueError):
    """A body is not the API's envelope: not JSON, truncated, or no `code`. Raised by `api.envelope`; retried."""


class TooDeepError(MalformedBodyError):
    """A body is JSON that is nested too deeply to read. Raised by `api.envelope`; not retried, as it would not help."""


class TooLargeError(MalformedBodyError):
    """A body holds more than is parsed: it would fill the memory. Raised by `api.envelope`; kept as it came."""
