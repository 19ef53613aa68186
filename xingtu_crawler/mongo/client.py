"""Opens a MongoDB connection and verifies it, or raises one line that says what is wrong and what to do.

Knows PyMongo and its options, nothing about collections. No message holds the URI or the password.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from uuid import uuid4

import pymongo
from pymongo import AsyncMongoClient, MongoClient, ReadPreference
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

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

C = TypeVar("C", AsyncMongoClient[dict[str, Any]], MongoClient[dict[str, Any]])

SOCKET_TIMEOUT_MS = 120_000
"""Time limit of one reply. The longest bulk write takes seconds; a server that falls silent must not block a crawl."""

_MALFORMED = (
    "MONGO_URI is not a MongoDB connection string: write it as mongodb://user:password@host:27017, with @ : / ? % in "
    "the password percent-encoded."
)


_LONGEST_NAME = 100


def server_of(uri: str | None) -> str:
    """Return a name for the server of a connection string that may be a directory's name; None: the embedded server.

    It depends on the hosts and the replica set alone, not on their order, the user or other options.
    """
    if uri is None:
        return "embedded"
    hosts, *after_hosts = _split(uri)
    options = {name.lower(): value for name, value in parse_qsl(uri.partition("?")[2])}
    if any("@" in rest for rest in after_hosts):
        hosts = ""  # it is a part of the password, see `_build`
    names = sorted(host.lower().removesuffix(":27017") for host in hosts.rpartition("@")[2].split(","))
    name = ",".join([*names, options.get("replicaset", "")]).rstrip(",")
    return name if len(name) <= _LONGEST_NAME else blake2b(name.encode(), digest_size=8).hexdigest()


def _split(uri: str) -> list[str]:
    return re.split("[/?]", uri.partition("://")[2], maxsplit=1)


async def connect(uri: str, database: str, *, timeout: float = 5.0, writable: bool = True) -> Client:  # noqa: ASYNC109 - the client keeps it as its own time limits
    """Return a client whose server is reachable, is new enough and grants this user the rights on the database.

    Writes are acknowledged by a majority and journaled unless the URI says otherwise. Times are returned in UTC.

    Args:
        uri: a MongoDB connection string.
        database: the name of the database on which the rights are checked.
        timeout: seconds for one attempt to reach the server; the client keeps it as its own limit.
        writable: whether the right to write is required.

    Raises:
        StorageError: the connection cannot be used; the message names the hosts and what to do.
    """
    client = _build(AsyncMongoClient, uri, timeout)
    try:
        seeds = list(client.topology_description.server_descriptions())
        if "mongodb+srv:" not in uri:  # the driver looks those hosts up
            await _require_reachable(seeds, timeout)
        try:
            with pymongo.timeout(timeout):
                await _verify(client, open_database(client, database), where_is(seeds), writable)
        except (PyMongoError, OSError) as error:
            raise StorageError(await explain(error, client, uri, database, timeout)) from error
    except BaseException:
        await client.close()
        raise
    return client


def connect_blocking(uri: str, database: str, *, timeout: float = 5.0) -> MongoClient[dict[str, Any]]:
    """Return a client of PyMongo's synchronous API, after the checks of `connect` for a reader. Blocks.

    It may be called while an event loop runs in this thread, as in a notebook.

    Args:
        uri: a MongoDB connection string.
        database: the name of the database on which the right to read is checked.
        timeout: seconds for one attempt to reach the server; the client keeps it as its own limit.

    Raises:
        StorageError: the connection cannot be used; the message names the hosts and what to do.
    """

    async def check() -> None:
        await (await connect(uri, database, timeout=timeout, writable=False)).close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, check()).result()
    return _build(MongoClient, uri, timeout)


def _build(kind: Callable[..., C], uri: str, timeout: float) -> C:
    """Build the client, which connects later. What PyMongo only warns about, as a misspelt `tls`, is an error here."""
    _, *after_hosts = _split(uri)
    if any("@" in rest for rest in after_hosts):
        # A bare / or ? in the password: what stands in the place of the hosts is a part of the password.
        raise StorageError(_MALFORMED)
    given = {name.lower(): value for name, value in parse_qsl(uri.partition("?")[2], keep_blank_values=True)}
    if given.get("w") == "0":
        raise StorageError("MONGO_URI has w=0, with which documents can be lost without an error: remove it.")
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
            return kind(uri, tz_aware=True, uuidRepresentation="standard", **options)
    except UserWarning as warning:
        named = next((name for name in given if name.isalnum() and name in str(warning).lower()), "one")
        raise StorageError(
            f"The option {named!r} of MONGO_URI is unknown or has an invalid value: correct it, or remove it."
        ) from None
    except ssl.SSLError:
        raise StorageError("A certificate file in MONGO_URI is not a PEM file: correct its path.") from None
    except OSError as error:
        raise StorageError(
            f"The file {error.filename} in MONGO_URI cannot be read ({error.strerror}): correct its path."
        ) from None
    except (PyMongoError, ValueError, TypeError):
        # The driver's message may hold a part of the URI.
        raise StorageError(_MALFORMED) from None


def open_database(client: Client, name: str) -> AsyncDatabase[dict[str, Any]]:
    """Return a database that is read from the primary, whatever the `readPreference` of the URI is.

    A secondary may lag behind: a crawl that reads there what is stored would fetch, and pay for, it again.
    """
    return client.get_database(name, read_preference=ReadPreference.PRIMARY)


async def _verify(client: Client, database: AsyncDatabase[dict[str, Any]], where: str, writable: bool) -> None:
    """Check the version, then run commands that need the right to read and, if `writable`, the right to write."""
    version = str((await client.server_info())["version"])
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_VERSION:
        raise StorageError(too_old(where, version))
    await database.command("listCollections", nameOnly=True, authorizedCollections=False)
    if writable:
        # Updating a document that does not exist changes nothing, but needs the right to write.
        nothing = {"q": {"_id": f"nothing-{uuid4()}"}, "u": {"$set": {"checked": True}}}
        await database.command({"update": "runs", "updates": [nothing]})


async def _require_reachable(seeds: list[Address], limit: float) -> None:
    """Raise `StorageError` with the exact reason if none of the hosts accepts a connection within `limit` seconds."""
    reasons = await asyncio.gather(*(unreachable(address, limit) for address in seeds))
    if all(reasons):
        raise StorageError(next(filter(None, reasons)))
