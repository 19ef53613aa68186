"""Open a MongoDB connection that is known to work, or say in one line why it does not.

Knows PyMongo and its options; nothing of collections, and never tells a URI or a password.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import warnings
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import pymongo
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import InvalidName, PyMongoError

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.connection_errors import (
    OLDEST_VERSION,
    Address,
    Client,
    explain,
    too_old,
    unreachable,
    where_is,
)

SOCKET_TIMEOUT_MS = 120_000
"""A server that went silent in mid-answer must not hold a crawl for ever; the longest bulk write takes seconds."""

_MALFORMED = (
    "MONGO_URI is not a MongoDB connection string: it looks like mongodb://user:password@host:27017, "
    "with @ : / ? % in the password percent-encoded."
)


_LONGEST_NAME = 100


def server_of(uri: str | None) -> str:
    """Return a name for the server of a connection string, the embedded one where it is None: fit for a directory.

    The same whatever the order of the hosts, the user and the other options; it says no password.
    """
    if uri is None:
        return "embedded"
    hosts, *after_hosts = _split(uri)
    options = {name.lower(): value for name, value in parse_qsl(uri.partition("?")[2])}
    if any("@" in rest for rest in after_hosts):
        hosts = ""  # a piece of a password, see `_open`
    names = sorted(host.lower().removesuffix(":27017") for host in hosts.rpartition("@")[2].split(","))
    name = ",".join([*names, options.get("replicaset", "")]).rstrip(",")
    return name if len(name) <= _LONGEST_NAME else blake2b(name.encode(), digest_size=8).hexdigest()


def _split(uri: str) -> list[str]:
    return re.split("[/?]", uri.partition("://")[2], maxsplit=1)


async def connect(uri: str, database: str, *, timeout: float = 5.0, writable: bool = True) -> Client:  # noqa: ASYNC109 - it also stays in the client as its own time limits
    """Return a client whose server answered, is new enough and lets this user work on the database.

    Writes are acknowledged by a majority and journaled unless the URI says otherwise; times come back in UTC.

    Args:
        uri: a MongoDB connection string.
        database: the name of the database on which the rights are checked.
        timeout: seconds for one try to reach the server, here and in the client's later life.
        writable: whether the right to write is needed; a reader of the dataset may do without.

    Raises:
        StorageError: whatever is wrong, with the hosts and what to type, never with the password.
    """
    client = _open(uri, timeout)
    try:
        seeds = list(client.topology_description.server_descriptions())
        if "mongodb+srv:" not in uri:  # those names have to be looked up first, which the driver does
            await _require_reachable(seeds, timeout)
        try:
            with pymongo.timeout(timeout):
                await _verify(client, _database(client, database), where_is(seeds), writable)
        except (PyMongoError, OSError) as error:
            raise StorageError(await explain(error, client, uri, database, timeout)) from error
    except BaseException:
        await client.close()
        raise
    return client


def _open(uri: str, timeout: float) -> Client:
    """Build the client, which connects later; what PyMongo only warns about (a misspelt `tls`) is an error here."""
    _, *after_hosts = _split(uri)
    if any("@" in rest for rest in after_hosts):
        # A bare / or ? in the password: what now stands where the hosts belong is a piece of it.
        raise StorageError(_MALFORMED)
    given = {name.lower(): value for name, value in parse_qsl(uri.partition("?")[2], keep_blank_values=True)}
    if given.get("w") == "0":
        raise StorageError("MONGO_URI has w=0, with which rows can be lost unnoticed: remove w=0 from it.")
    milliseconds = int(timeout * 1000)
    defaults: dict[str, Any] = {
        "w": "majority",
        "journal": True,
        "retryWrites": True,
        "appname": "xingtu-crawler",
        "serverSelectionTimeoutMS": milliseconds,
        "connectTimeoutMS": milliseconds,
        "socketTimeoutMS": SOCKET_TIMEOUT_MS,
    }
    if "j" in given:
        del defaults["journal"]
    options = {name: value for name, value in defaults.items() if name.lower() not in given}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return AsyncMongoClient(uri, tz_aware=True, uuidRepresentation="standard", **options)
    except UserWarning as warning:
        named = next((name for name in given if name.isalnum() and name in str(warning).lower()), "one")
        raise StorageError(
            f"An option of MONGO_URI, {named!r}, is unknown or has a value it cannot have: correct or remove it."
        ) from None
    except ssl.SSLError:
        raise StorageError("A certificate file that MONGO_URI names is not a PEM file: correct its path.") from None
    except OSError as error:
        raise StorageError(
            f"MONGO_URI names a file that cannot be read, {error.filename} ({error.strerror}): correct its path."
        ) from None
    except (PyMongoError, ValueError, TypeError):
        # The driver's words may hold a piece of the URI.
        raise StorageError(_MALFORMED) from None


def _database(client: Client, name: str) -> AsyncDatabase[dict[str, Any]]:
    try:
        return client[name]
    except (InvalidName, TypeError):
        raise StorageError(
            f"MONGO_DATABASE is {name!r}, which cannot name a database: use letters, digits, _ and -."
        ) from None


async def _verify(client: Client, database: AsyncDatabase[dict[str, Any]], where: str, writable: bool) -> None:
    """Ask for the version, then for something that needs the right to read and, if wanted, the right to write."""
    version = str((await client.server_info())["version"])
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_VERSION:
        raise StorageError(too_old(where, version))
    await database.command("listCollections", nameOnly=True, authorizedCollections=False)
    if writable:
        # An update of a document that is not there changes nothing and creates nothing, but needs the right to.
        nothing = {"q": {"_id": f"nothing-{uuid4()}"}, "u": {"$set": {"checked": True}}}
        await database.command({"update": "runs", "updates": [nothing]})


async def _require_reachable(seeds: list[Address], limit: float) -> None:
    """Raise at once, with the exact reason, where not one of the hosts takes a connection within `limit` seconds."""
    reasons = await asyncio.gather(*(unreachable(address, limit) for address in seeds))
    if all(reasons):
        raise StorageError(next(filter(None, reasons)))
