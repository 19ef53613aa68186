"""Explains in one line why a MongoDB connection failed and what to do, without the URI or the password.

Knows how connections fail and which exceptions PyMongo raises. It opens sockets to find the reason, nothing else.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    NetworkTimeout,
    OperationFailure,
    ProtocolError,
)
from pymongo.server_description import ServerDescription

Client = AsyncMongoClient[dict[str, Any]]
Address = tuple[str, int | None]

OLDEST_VERSION = (5, 0)
"""MongoDB stores field names with dots and dollar signs since 5.0, so that unknown fields keep their names."""
_OLDEST_WIRE_VERSION = 13
"""The wire version of 5.0. Source: https://github.com/mongodb/mongo/blob/master/src/mongo/db/wire_version.h"""

_OR_EMBEDDED = "correct MONGO_URI, or unset MONGO_URI to use the embedded server."

_UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = 18


async def unreachable(address: Address, limit: float) -> str | None:
    """Try to connect to an address for `limit` seconds; return why that failed, None if it succeeded."""
    where = where_is([address])
    try:
        async with asyncio.timeout(limit):
            await _open_and_close(*address)
    except TimeoutError:
        return _silent(where, limit)
    except ConnectionRefusedError:
        return f"MongoDB at {where} refused the connection: start it, {_OR_EMBEDDED}"
    except FileNotFoundError:
        return f"There is no MongoDB socket {where}: start it, {_OR_EMBEDDED}"
    except (socket.gaierror, ValueError):  # ValueError: the name is malformed
        return f"The host name of MongoDB at {where} is unknown: {_OR_EMBEDDED}"
    except OSError as error:
        return f"MongoDB at {where} cannot be reached ({error.strerror}): check the network, {_OR_EMBEDDED}"
    return None


async def _open_and_close(host: str, port: int | None) -> None:
    """Connect to the first of the host's addresses that accepts, else raise the error of the last one."""
    loop = asyncio.get_running_loop()
    targets: list[tuple[int, Any]]
    if port is None:
        targets = [(socket.AF_UNIX, host)]
    else:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        targets = [(family, target) for family, _, _, _, target in found]
    failure: OSError | None = None
    for family, target in targets:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            try:
                await loop.sock_connect(connection, target)
            except OSError as error:
                failure = error
            else:
                return
    if failure is not None:
        raise failure


async def explain(error: BaseException, client: Client, uri: str, database: str, limit: float) -> str:
    """Return one line that explains an error of the driver and says what to do."""
    servers = client.topology_description.server_descriptions()
    where = where_is(servers)
    if isinstance(error, OperationFailure):
        return _explain_refusal(error, where, uri, database)
    if (error.__cause__ is not None and type(error.__cause__).__module__.startswith("dns.")) or (
        isinstance(error, ConfigurationError) and "DNS" in str(error)
    ):
        return f"The host name of MongoDB at {where} is unknown: {_OR_EMBEDDED}"
    for address, server in servers.items():
        if server.is_server_type_known and server.max_wire_version < _OLDEST_WIRE_VERSION:
            return too_old(where_is([address]), None)
    if isinstance(error, ConnectionFailure | ProtocolError):
        return await _explain_connection(error, servers, where, limit)
    return f"MongoDB at {where} cannot be used ({type(error).__name__}): {_OR_EMBEDDED}"


def _explain_refusal(error: OperationFailure, where: str, uri: str, database: str) -> str:
    has_user = "@" in uri.partition("://")[2].partition("/")[0]
    if error.code == _AUTHENTICATION_FAILED:
        return (
            f"MongoDB at {where} refuses the user name or the password: correct them in MONGO_URI (percent-encode "
            "@ : / %, and add authSource=admin if the user was created there)."
        )
    if error.code == _UNAUTHORIZED and has_user:
        return (
            f"The user of MONGO_URI lacks rights on database {database!r} of MongoDB at {where}: grant it the role "
            "readWrite there, or correct MONGO_DATABASE."
        )
    if error.code == _UNAUTHORIZED:
        return (
            f"MongoDB at {where} requires a user name and a password: put them into MONGO_URI "
            "(mongodb://user:password@host:port)."
        )
    name = (error.details or {}).get("codeName") or f"code {error.code}"
    return f"MongoDB at {where} refused a command ({name}): {_OR_EMBEDDED}"


async def _explain_connection(
    error: BaseException,
    servers: dict[Address, ServerDescription],
    where: str,
    limit: float,
) -> str:
    """Explain a connection that was opened and failed later; try the hosts that the server named as well."""
    failures = [server.error for server in servers.values() if server.error is not None]
    errors = [error, *failures]
    # PyMongo copies errors without their cause: only their types and messages are left.
    if found := _tls_failure(" ".join(str(one) for one in errors), where):
        return found
    if not any(server.is_writable for server in servers.values()):
        dead = await asyncio.gather(*(unreachable(address, limit) for address in servers))
        if found := next(filter(None, dead), None):
            return found
        if any(server.is_server_type_known for server in servers.values()):
            return f"MongoDB at {where} has no primary that accepts writes: check the replica set, or {_OR_EMBEDDED}"
    # The driver's last error depends on chance: a web server may reply, close the connection or wait for more.
    web = await asyncio.gather(*(_is_web_server(address, min(limit, 1.0)) for address in servers))
    if any(web) or any(isinstance(one, ProtocolError) for one in errors):
        return f"The server at {where} is not a MongoDB: {_OR_EMBEDDED}"
    if failures and not any(isinstance(one, NetworkTimeout) for one in failures):
        return (
            f"MongoDB at {where} closed the connection without a reply: add tls=true to MONGO_URI if it requires TLS, "
            f"{_OR_EMBEDDED}"
        )
    return _silent(where, limit)


def _tls_failure(words: str, where: str) -> str | None:
    if "SSL" not in words and "certificate" not in words.lower():
        return None
    reason = re.search(r"(?:\[SSL[^\]]*\] )?((?:certificate|[a-z0-9]+ )[\w :,'.-]*?) ?\(_ssl", words)
    detail = f" ({reason[1]})" if reason else ""
    return f"TLS with MongoDB at {where} failed{detail}: correct tls, tlsCAFile or the host name in MONGO_URI."


async def _is_web_server(address: Address, limit: float) -> bool:
    """Send a plain HTTP request. A mongod answers it too, with a page that names MongoDB."""
    host, port = address
    if port is None:
        return False
    try:
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                answer = await reader.read(1024)
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False
    return answer.startswith(b"HTTP/") and b"MongoDB" not in answer


def _silent(where: str, limit: float) -> str:
    return f"MongoDB at {where} did not answer within {limit:g} s: check that it is running, {_OR_EMBEDDED}"


def too_old(where: str, version: str | None) -> str:
    """Return the line for a server older than `OLDEST_VERSION`; None for a version that PyMongo does not speak to."""
    found = f"is version {version}" if version else "is too old"
    needed = ".".join(map(str, OLDEST_VERSION))
    return (
        f"MongoDB at {where} {found}, {needed} or newer is required: upgrade it, or unset MONGO_URI to use the "
        "embedded server."
    )


def where_is(addresses: Iterable[Address]) -> str:
    """Return the hosts as `host:port, host:port`, and nothing else of the URI."""
    return ", ".join(_host_port(host, port) for host, port in addresses)


def _host_port(host: str, port: int | None) -> str:
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
