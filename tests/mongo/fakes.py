"""Servers on loopback that are no usable MongoDB: web servers, silent ones, old versions."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import bson

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013


@asynccontextmanager
async def serving(handler: Handler, port: int = 0) -> AsyncIterator[int]:
    """Serve on a port (0: a free one) and yield it; a client that disconnects ends its handler without an error."""
    running: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            running.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running.copy():
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def never_answer(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Read everything and send nothing."""
    while await reader.read(4096):
        pass


async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Close the connection after the first bytes."""
    await reader.read(16)


async def bad_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a web server does to a request that is not HTTP."""
    await reader.read(16)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()


@contextmanager
def http_server() -> Iterator[int]:
    """The web server of the standard library, on a free port."""

    class Quiet(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def mongo(hello: Mapping[str, Any], **answers: Mapping[str, Any]) -> Handler:
    """Return a handler of MongoDB's wire protocol: `hello` answers the handshake, `answers` other commands by name."""

    known: dict[str, Mapping[str, Any]] = {name.lower(): answer for name, answer in answers.items()}
    known |= {"hello": hello, "ismaster": hello, "endsessions": {}}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            length, request_id, _, operation = struct.unpack("<iiii", await reader.readexactly(16))
            body = await reader.readexactly(length - 16)
            if operation == OP_QUERY:  # flags, collection name, skip, return, document
                command = bson.decode(body[body.index(b"\0", 4) + 1 + 8 :])
            else:  # flags, section kind, document
                command = bson.decode(body[5 : 5 + struct.unpack_from("<i", body, 5)[0]])
            answer = bson.encode({"ok": 1.0, **known[next(iter(command)).lower()]})
            if operation == OP_QUERY:
                operation, payload = OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + answer
            else:
                payload = struct.pack("<iB", 0, 0) + answer
            writer.write(struct.pack("<iiii", 16 + len(payload), 1, request_id, operation) + payload)
            await writer.drain()

    return handle


def standalone(max_wire_version: int) -> dict[str, Any]:
    """The handshake of a single server; wire version 6 is MongoDB 3.6, 9 is 4.4."""
    return {"ismaster": True, "minWireVersion": 0, "maxWireVersion": max_wire_version}


def member(port: int, *, primary: bool) -> dict[str, Any]:
    """The handshake of the only member of a replica set."""
    me = f"127.0.0.1:{port}"
    role = {"ismaster": primary, "secondary": not primary, "setName": "rs", "setVersion": 1, "hosts": [me], "me": me}
    return {**role, "minWireVersion": 0, "maxWireVersion": 17}
