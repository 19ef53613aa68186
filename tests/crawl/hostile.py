"""Servers on loopback that misbehave: web pages instead of JSON, invalid certificates, echoed tokens."""

from __future__ import annotations

import asyncio
import gzip
import html
import itertools
import json
import socket
import socketserver
import ssl
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus

import bson
import trustme
from aiohttp import web

from xingtu_crawler.api.account import BALANCE_PATH
from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.sandbox.options import Config
from xingtu_crawler.sandbox.server import Sandbox

Fault = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]
"""Responds to a request; takes the token that came with it."""


class _LoginPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_arguments: object) -> None:
        pass


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_arguments: object) -> None:
        """Ignore clients that refuse the certificate: that is what the tests are for."""


@contextmanager
def login_page(*, tls: bool = False) -> Iterator[str]:
    """Respond to every request with a web page; with `tls`, under an untrusted certificate. Yields host:port."""
    with _QuietServer(("127.0.0.1", 0), _LoginPage) as server:
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        with _served(server):
            yield f"127.0.0.1:{server.server_port}"


class _OldMongo(socketserver.BaseRequestHandler):
    """Implements only the handshake: responds to OP_MSG (2013) in kind, to the older OP_QUERY with OP_REPLY (1)."""

    def handle(self) -> None:
        hello = bson.encode({"ok": 1.0, "ismaster": True, "minWireVersion": 0, "maxWireVersion": 6})
        while header := self.request.recv(16, socket.MSG_WAITALL):
            length, request_id, _, operation = struct.unpack("<iiii", header)
            self.request.recv(length - 16, socket.MSG_WAITALL)
            is_message = operation == 2013
            reply = (struct.pack("<iB", 0, 0) if is_message else struct.pack("<iqii", 8, 0, 0, 1)) + hello
            operation = 2013 if is_message else 1
            self.request.sendall(struct.pack("<iiii", 16 + len(reply), 1, request_id, operation) + reply)


class _MongoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Ignore clients that disconnect."""


@contextmanager
def old_mongodb() -> Iterator[str]:
    """Serve the handshake of MongoDB 3.6; yields host:port."""
    with _MongoServer(("127.0.0.1", 0), _OldMongo) as server, _served(server):
        yield f"127.0.0.1:{server.server_address[1]}"


@contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


class HostileApi:
    """An API that fails first, echoing the token in many ways, and then responds as the sandbox does.

    Each fault is used in turn. The first attempt of a detail request fails, and the first `faults_a_page` attempts of
    each search page. Two requests fail for good, and one token is denied an endpoint. `tokens` holds the tokens that
    requests came with, `used` counts the faults.
    """

    def __init__(self, authors: int, *, faults_a_page: int = 0) -> None:
        self.tokens: set[str] = set()
        self.used: Counter[str] = Counter()
        self._faults_a_page = faults_a_page
        self._calls = 0
        self._leaves_at: int | None = None
        self.leave: Callable[[], None]
        """Set by the server."""
        self.may_return: Callable[[], bool]
        """Set by `leave_after`."""
        self._sandbox = Sandbox(Config(authors=authors))
        self._attempts: Counter[str] = Counter()
        self._turn = itertools.cycle(self._faults())
        self._page_turn = itertools.cycle(self._page_faults())
        self._first_asked: dict[str, str] = {}
        self._shown_to_be_denied = False

    def _faults(self) -> list[tuple[str, Fault]]:
        def message(text: Callable[[str], str]) -> Fault:
            async def fault(request: web.BaseRequest, token: str) -> web.StreamResponse:
                body = (
                    f'{{"code":301,"message":"refused {text(token)}, sorry","requestId":"{text(token)}","data":null}}'
                )
                return web.Response(body=body.encode(), content_type="application/json")

            return fault

        return [
            ("redirect", self._redirect),
            ("message as it is", message(lambda token: json.dumps(token, ensure_ascii=False)[1:-1])),
            ("message in ASCII", message(lambda token: json.dumps(token)[1:-1])),
            ("message for HTML", message(lambda token: html.escape(token, quote=True))),
            ("message for URLs", message(lambda token: quote(token, safe=""))),
            ("message for forms", message(quote_plus)),
            ("message for lower-case URLs", message(lambda token: quote(token, safe="").replace("%2B", "%2b"))),
            ("message for URLs in URLs", message(lambda token: quote(quote(token, safe="")))),
            ("gzip", self._gzip),
            ("broken gzip", self._broken_gzip),
            ("cut", self._cut),
            ("cut in chunks", self._cut_in_chunks),
            ("silence", self._silence),
            ("silence after the headers", self._silence_after_headers),
            ("reset", self._reset),
            ("nonsense", self._nonsense),
            ("error page", self._error_page),
            ("cookie and headers", self._headers),
            ("too large", self._too_large),
            ("too large in chunks", self._too_large_in_chunks),
            ("value and key", self._value),
            ("another author", self._another_author),
            ("unknown code", self._unknown_code),
        ]

    def _page_faults(self) -> list[tuple[str, Fault]]:
        # Without those that are too large: such a page is not retried, so the search may end there.
        return [(f"page: {name}", fault) for name, fault in self._faults() if not name.startswith("too large")]

    @property
    def faults(self) -> set[str]:
        """The names of all faults."""
        names = [name for name, _ in self._faults()]
        pages = [name for name, _ in self._page_faults()] if self._faults_a_page else []
        return {"balance", "denied", "hopeless", "refused", *names, *pages}

    def leave_after(self, calls: int, *, until: Callable[[], bool]) -> None:
        """After this many more calls, close all connections and refuse new ones until `until` holds."""
        self._leaves_at = self._calls + calls
        self.may_return = until

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Respond to one request."""
        query = dict(parse_qsl(request.path_qs.partition("?")[2]))
        token = query.pop("token")
        self.tokens.add(token)
        self._calls += 1
        if self._calls == self._leaves_at:
            self.leave()
        if request.path == BALANCE_PATH:
            self.used["balance"] += 1
            return web.json_response({"code": 0, "message": token, "data": {"balance": token, "currency": token}})
        if self._is_first_asked(request.path, query.get("oAuthorId")):
            if "author_rec_videos" in request.path:
                self.used["hopeless"] += 1
                return await self._error_page(request, token)
            self.used["refused"] += 1
            return web.json_response({"code": 400, "message": f"not for {token}", "requestId": token})
        if "video_distribution" in request.path and not self._shown_to_be_denied:
            self._shown_to_be_denied = True
            self.used["denied"] += 1
            return web.json_response({"code": 600, "message": f"{token} may not", "data": None})
        question = f"{request.path}?{sorted(query.items())}"
        self._attempts[question] += 1
        is_page = request.path == SEARCH.path
        if self._attempts[question] > (self._faults_a_page if is_page else 1):
            return await self._sandbox.handle(request)
        name, fault = next(self._page_turn if is_page else self._turn)
        self.used[name] += 1
        return await fault(request, token)

    def _is_first_asked(self, path: str, star_id: str | None) -> bool:
        """Return whether this is about the first author whose recommended videos or prices were requested."""
        if star_id is None or not ("author_rec_videos" in path or "marketing_info" in path):
            return False
        return self._first_asked.setdefault(path, star_id) == star_id

    async def _answer(self, request: web.BaseRequest) -> dict[str, Any]:
        """Return the sandbox's response."""
        path, _, query = request.path_qs.partition("?")
        params = dict(parse_qsl(query))
        endpoint = next(each.name for each in (SEARCH, *DETAILS.values()) if each.path == path)
        answer = self._sandbox.answers.answer(endpoint, params, 0, 1)
        document: dict[str, Any] = json.loads(self._sandbox.answers.envelope(answer, 1, 1))
        return document

    async def _redirect(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        to = f"http://{request.host}{request.path_qs}"
        headers = {"Location": to, "Refresh": f"0; url={to}&again={quote(to, safe='')}"}
        return web.Response(status=302, text=to, headers=headers)

    async def _gzip(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        body = json.dumps({"code": 500, "message": token, "data": {"token": token}}).encode()
        return web.Response(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})

    async def _broken_gzip(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        return web.Response(body=gzip.compress(b"{")[:10] + token.encode(), headers={"Content-Encoding": "gzip"})

    async def _cut(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10000", "X-Url": quote(request.path_qs)})
        await response.prepare(request)
        await response.write(token.encode())
        return _closed(request, response)

    async def _cut_in_chunks(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(token.encode() * 100)
        return _closed(request, response)

    async def _silence(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        await asyncio.get_running_loop().create_future()  # cancelled when the client leaves
        raise AssertionError("unreachable")

    async def _silence_after_headers(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10000"})
        await response.prepare(request)
        await response.write(token.encode())
        return await self._silence(request, token)

    async def _reset(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _nonsense(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"HTTP/1.1 " + token.encode() + b"\r\n\r\n")
        transport.close()
        return web.Response()

    async def _error_page(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        url = html.escape(f"http://{request.host}{request.path_qs}")
        page = f"<html><body>Cannot reach {url} for {html.escape(token)} or {token}</body></html>"
        return web.Response(status=502, text=page, content_type="text/html")

    async def _headers(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        headers = {
            "Set-Cookie": f"last={quote(token, safe='')}; Path=/",
            "X-Token": token,
            "X-Url": request.path_qs,
            "Retry-After": token,
        }
        return web.json_response(await self._answer(request), headers=headers)

    async def _too_large(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        return web.Response(body=token.encode() * 100_000)

    async def _too_large_in_chunks(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(20):
            await response.write(token.encode() * 5_000)
        return response

    async def _value(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        answer = await self._answer(request)
        for each in (answer["data"], *answer["data"].get("authors", [])):
            each |= {"echo": token, token: 1, "asked": request.path_qs, "deep": [{"token": quote(token)}]}
        return web.json_response(answer)

    async def _another_author(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        answer = await self._answer(request)
        for each in (answer["data"], *answer["data"].get("authors", [])[:1]):
            each |= {"id": "1", "star_id": token, "price_info": [{"author_id": "1"}], "echo": token}
        return web.json_response(answer)

    async def _unknown_code(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        return web.json_response({"code": 777, "message": token, "requestId": token, "recordTime": token})


def _closed(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return response


@asynccontextmanager
async def serving(api: HostileApi) -> AsyncIterator[str]:
    """Serve on a free port; yields the base URL."""
    handler = web.Server(api.handle, access_log=None, handler_cancellation=True)
    with socket.socket() as reserved:
        # Keeps the port while the server is down: connections to it are refused, and no other test gets it.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        host, port = reserved.getsockname()
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(handler, host, port, reuse_port=True)

        async def come_back() -> None:
            nonlocal listening
            while not api.may_return():
                await asyncio.sleep(0.01)
            listening = await loop.create_server(handler, host, port, reuse_port=True)

        def leave() -> None:
            listening.close()
            for connection in handler.connections:
                connection.force_close()
            coming_back.append(loop.create_task(come_back()))

        coming_back: list[asyncio.Task[None]] = []
        api.leave = leave
        try:
            yield f"http://{host}:{port}"
        finally:
            await asyncio.gather(*coming_back)
            listening.close()
            await handler.shutdown(1)
