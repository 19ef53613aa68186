"""Chooses the database of a dataset and refuses names that cannot be, or must not be, one.

Knows MongoDB's rules for names and the path of a connection string, opens no connection. No message holds the URI.
"""

from __future__ import annotations

import unicodedata
from urllib.parse import unquote_plus

from xingtu_crawler.exceptions import StorageError

DEFAULT = "xingtu"
_OF_SANDBOX = "_sandbox"
"""Appended to a name that was not typed for the sandbox, so that synthetic data never lies beside real data."""
_RESERVED = frozenset({"admin", "config", "local"})
"""MongoDB's own databases: users, sharding, replication. MongoDB compares their names without regard to case."""
_FORBIDDEN = frozenset('/\\. "$\0')
"""Source: https://www.mongodb.com/docs/manual/reference/limits/#mongodb-limit-Database-Name-Case-Sensitivity"""
_LONGEST_BYTES = 63
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0").union(
    *(map(chr, range(first, last + 1)) for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF)))
)
"""Invisible characters that Unicode counts as letters, marks or symbols: fillers and variation selectors."""
_USE = "use letters, digits, _ and -."


def database_name(given: str | None, uri: str | None, *, is_sandbox: bool) -> str:
    """Return the database: that of MONGO_DATABASE, else that of the URI's path, else the default.

    In the sandbox, `_sandbox` is appended to the last two.

    Args:
        given: MONGO_DATABASE; None if it is not set.
        uri: MONGO_URI; None for the embedded server.
        is_sandbox: whether the API is a sandbox.

    Raises:
        StorageError: it is no name of a database, or one of MongoDB's own.
    """
    suffix = _OF_SANDBOX if is_sandbox else ""
    if given is not None:
        if given.lower() in _RESERVED:
            raise StorageError(f"MONGO_DATABASE is {given!r}, a database of MongoDB's own: use another name.")
        if not is_name(given):
            raise StorageError(f"MONGO_DATABASE is {given!r}, which is no name of a database: {_USE}")
        return given
    named = database_in(uri) if uri else None
    if named is None:
        return DEFAULT + suffix
    if not is_name(named + suffix):
        raise StorageError(f"MONGO_URI has a path that is no name of a database: {_USE}")
    return named + suffix


def database_in(uri: str) -> str | None:
    """Return the database that the path of a connection string names, None if it names none.

    MongoDB's own databases count as none: `/admin` names where the user is defined, not where the data goes.
    """
    hosts, _, rest = uri.partition("://")[2].partition("/")
    if "@" in rest or "?" in hosts:  # a bare / in the password, which `connect` refuses; or no path
        return None
    named = unquote_plus(rest.partition("?")[0]).partition(".")[0]  # `database.collection` is allowed in a URI
    return None if not named or named.lower() in _RESERVED else named


def is_name(name: str) -> bool:
    """Return whether MongoDB accepts the name of a database and every character of it is visible."""
    return (
        name != ""
        and all(map(_is_visible, name))
        and _FORBIDDEN.isdisjoint(name)
        and len(name.encode()) <= _LONGEST_BYTES
    )


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CZ" and character not in _INVISIBLE
