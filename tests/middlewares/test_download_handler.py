"""Requests and responses on the wire, with a loopback server that sends the bytes of each test."""

from __future__ import annotations

import asyncio
import base64
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trustme
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import (
    DownloadFailedError,
    DownloadTimeoutError,
    ResponseDataLossError,
)
from scrapy.http import Response
from scrapy.settings import Settings

from xingtu_crawler.api.proxies import Proxy
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import NotSentError
from xingtu_crawler.engine.responses import CUT, TOO_LARGE
from xingtu_crawler.middlewares import download_handler
from xingtu_crawler.middlewares.download_handler import TokenDownloadHandler

TOKEN = "s3cret/+token&?"
QUOTED = b"s3cret%2F%2Btoken%26%3F"
MAX_SIZE = 50_000
LOGIN = "Basic " + base64.b64encode(b"user:password").decode()


class Server:
    """Sends the next of `answers` for each request on a connection, and closes the connection after the last."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self.silent = False
        self.hangs_up = True
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                if self.silent:
                    await asyncio.sleep(60)
                writer.write(self.answers.pop(0) if self.answers else b"")
                await writer.drain()
                if self.hangs_up and not self.answers:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def http(body: bytes = b"{}", *, status: str = "200 OK", headers: str = "", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{headers}\r\n".encode() + body


async def listening(server: Server, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async for each in listening(Server()):
        yield each


@pytest.fixture
async def tls_server() -> AsyncIterator[Server]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async for each in listening(Server(), context):
        yield each


class Wire:
    """A handler, and requests through it."""

    def __init__(self, *, proxy: Proxy | None = None, **settings: Any) -> None:
        session = SimpleNamespace(pool=SimpleNamespace(secret=lambda _alias: TOKEN), proxy=proxy)
        values = {
            "DOWNLOAD_MAXSIZE": MAX_SIZE,
            "DOWNLOAD_TIMEOUT": 5,
            "USER_AGENT": "us",
            "DOWNLOAD_VERIFY_CERTIFICATES": True,
        }
        crawler = SimpleNamespace(
            settings=Settings({**values, **settings}), get_extension=lambda _kind: SimpleNamespace(session=session)
        )
        self.handler = TokenDownloadHandler.from_crawler(cast("Crawler", crawler))

    async def get(self, port: int, path: str = "/x?a=1", *, scheme: str = "http", **changes: Any) -> Response:
        """Send a request with the token."""
        request = Request(f"{scheme}://127.0.0.1:{port}{path}", **changes)
        request.meta.setdefault(meta.TOKEN_ALIAS, "token-1")
        return await self.handler.download_request(request)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    one = Wire()
    yield one
    await one.handler.close()


async def test_the_token_is_on_the_wire_and_nowhere_else(server: Server, wire: Wire) -> None:
    server.answers = [
        http(b'{"echo": "' + TOKEN.encode() + b'"}', headers=f"X-Echo: {TOKEN}\r\nX-Two: 1\r\nX-Two: 2\r\n")
    ]
    request = Request(f"http://127.0.0.1:{server.port}/x?a=1", meta={meta.TOKEN_ALIAS: "token-1"})
    response = await wire.handler.download_request(request)
    assert server.requests[0].startswith(b"GET /x?a=1&token=" + QUOTED + b" HTTP/1.1\r\n")
    assert (response.url, response.status, response.body) == (request.url, 200, b'{"echo": "***"}')
    assert response.headers["X-Echo"] == b"***"
    assert response.headers.getlist("X-Two") == [b"1", b"2"]
    assert 0 < request.meta["download_latency"] < 5
    assert "s3cret" not in repr((request.meta, request.headers, response.headers, response.body))


async def test_the_headers_are_those_of_the_settings_and_of_the_request(server: Server) -> None:
    wire = Wire(DEFAULT_REQUEST_HEADERS={"Accept": "application/json", "Accept-Encoding": "gzip"})
    server.answers = [http()]
    await wire.get(server.port, headers={"Accept": "text/plain", "X-Own": "1"})
    await wire.handler.close()
    sent = {line.split(": ")[0]: line.split(": ")[1] for line in server.requests[0].decode().split("\r\n")[1:-2]}
    assert sent.pop("Host") == f"127.0.0.1:{server.port}"
    assert sent == {"Accept": "text/plain", "Accept-Encoding": "gzip", "User-Agent": "us", "X-Own": "1"}


async def test_no_other_header_is_sent(server: Server) -> None:
    wire = Wire(DEFAULT_REQUEST_HEADERS={"Accept": None, "X-None": None})
    server.answers = [http()]
    await wire.get(server.port)
    await wire.handler.close()
    names = [line.split(": ")[0] for line in server.requests[0].decode().split("\r\n")[1:-2]]
    assert sorted(names) == ["Host", "User-Agent"]


async def test_a_size_of_zero_is_no_limit(server: Server) -> None:
    wire = Wire(DOWNLOAD_MAXSIZE=0)
    server.answers = [http(bytes(10 * MAX_SIZE))]
    assert len((await wire.get(server.port)).body) == 10 * MAX_SIZE
    await wire.handler.close()


async def test_a_request_without_a_token_is_sent_as_it_is(server: Server, wire: Wire) -> None:
    server.answers = [http(b"token=abc")]
    response = await wire.get(server.port, "/y", meta={meta.TOKEN_ALIAS: None}, method="POST", body=b"question")
    assert server.requests[0].startswith(b"POST /y HTTP/1.1\r\n")
    assert response.body == b"token=abc"


async def test_connections_are_reused(server: Server, wire: Wire) -> None:
    server.answers = [http() for _ in range(3)]
    for _ in range(3):
        await wire.get(server.port)
    assert (server.connections, len(server.requests)) == (1, 3)


async def test_a_broken_connection_does_not_repeat_the_call(server: Server, wire: Wire) -> None:
    server.answers = [http()]
    server.hangs_up = False
    await wire.get(server.port)
    server.hangs_up = True  # on the connection that is kept alive, in the middle of a call
    with pytest.raises(DownloadFailedError):
        await wire.get(server.port)
    assert len(server.requests) == 2


async def test_compressed_bodies_are_decompressed(server: Server, wire: Wire) -> None:
    server.hangs_up = False
    for encoding in ("gzip", "x-gzip", "GZIP"):
        server.answers = [http(gzip.compress(b'{"a": 1}'), headers=f"Content-Encoding: {encoding}\r\n")]
        response = await wire.get(server.port)
        assert response.body == b'{"a": 1}'
        assert "Content-Encoding" not in response.headers
    server.answers = [http(b'{"a": 1}', headers="Content-Encoding: identity\r\n")]
    assert (await wire.get(server.port)).body == b'{"a": 1}'


@pytest.mark.parametrize("label", ["gzip", "utf-8", "none", "gzip, identity", "br", "", None])
@pytest.mark.parametrize("is_compressed", [True, False])
async def test_the_bytes_decide_whether_a_body_is_compressed(
    server: Server, wire: Wire, label: str | None, is_compressed: bool
) -> None:
    body = b'{"code": 0, "data": {"a": 1}}'
    header = "" if label is None else f"Content-Encoding: {label}\r\n"
    server.answers = [http(gzip.compress(body) if is_compressed else body, headers=header)]
    assert (await wire.get(server.port)).body == body


@pytest.mark.parametrize("header", ["", "Content-Encoding: gzip\r\n"])
async def test_a_body_that_only_looks_like_gzip_is_left_as_it_came(server: Server, wire: Wire, header: str) -> None:
    server.answers = [http(b"\x1f\x8b and more of " + TOKEN.encode(), headers=header)]
    assert (await wire.get(server.port)).body == b"\x1f\x8b and more of ***"


@pytest.mark.parametrize("is_compressed", [True, False])
async def test_a_long_body_is_read_up_to_a_bound(
    server: Server, monkeypatch: pytest.MonkeyPatch, is_compressed: bool
) -> None:
    monkeypatch.setattr(download_handler, "MOST_KEPT", 80_000)
    server.hangs_up = False
    for size, is_cut in ((MAX_SIZE + 1, False), (80_000, False), (80_001, True), (1_000_000, True)):
        body = TOKEN.encode() + bytes(size - len(TOKEN))
        server.answers = [http(gzip.compress(body) if is_compressed else body)]
        wire = Wire()
        response = await wire.get(server.port)
        await wire.handler.close()
        assert len(response.body) == min(size, 80_000) - len(TOKEN) + len(b"***")
        assert response.body.startswith(b"***\0")
        assert response.flags == ([CUT, TOO_LARGE] if is_cut else [TOO_LARGE])


@pytest.mark.parametrize(("count", "size"), [(1, 64_000), (60, 1_000), (7, 9_000)])
async def test_response_headers_of_64_kb_are_read(server: Server, wire: Wire, count: int, size: int) -> None:
    server.answers = [http(b"{}", headers="".join(f"X-{at}: {'a' * size}\r\n" for at in range(count)))]
    response = await wire.get(server.port)
    assert response.body == b"{}"
    assert response.headers[f"X-{count - 1}"] == b"a" * size


async def test_a_redirect_is_not_followed(server: Server, wire: Wire) -> None:
    server.answers = [http(status="302 Found", headers="Location: http://127.0.0.1:1/\r\n")]
    response = await wire.get(server.port)
    assert response.status == 302
    assert len(server.requests) == 1


CHUNKED_AND_CUT = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (http(b"abc", length=10), ResponseDataLossError, "cut short"),
        (CHUNKED_AND_CUT, ResponseDataLossError, "cut short"),
        (b"", DownloadFailedError, "disconnected"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", DownloadFailedError, "HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + TOKEN.encode() + b"\r\n\r\n", DownloadFailedError, "header"),
    ],
    ids=["cut", "chunk_cut", "nothing", "no_http", "bad_header"],
)
async def test_errors_do_not_show_the_token(
    server: Server, wire: Wire, answer: bytes, error: type[Exception], words: str
) -> None:
    server.answers = [answer]
    with pytest.raises(error, match=words) as raised:
        await wire.get(server.port)
    assert type(raised.value) is error
    assert "s3cret" not in f"{raised.value!r} {raised.value.__context__!r} {raised.value.__cause__!r}"


async def test_a_missing_response_is_a_timeout(server: Server, wire: Wire) -> None:
    server.silent = True
    with pytest.raises(DownloadTimeoutError, match=r"no answer within 0\.2 s"):
        await wire.get(server.port, meta={"download_timeout": 0.2})


async def test_a_refused_connection(wire: Wire, unused_tcp_port: int) -> None:
    with pytest.raises(NotSentError):
        await wire.get(unused_tcp_port)
    request = Request("http://no-such-host.invalid/x", meta={meta.TOKEN_ALIAS: "token-1"})
    with pytest.raises(NotSentError):
        await wire.handler.download_request(request)


async def test_an_untrusted_certificate_is_refused(tls_server: Server, wire: Wire) -> None:
    tls_server.answers = [http()]
    with pytest.raises(NotSentError, match="certificate"):
        await wire.get(tls_server.port, scheme="https")
    assert tls_server.requests == []


def proxy(port: int) -> Proxy:
    return Proxy("http", "127.0.0.1", port, "https_proxy", LOGIN)


async def through(at: Proxy, scheme: str = "http") -> Response:
    """Send a request to port 9 through a proxy."""
    wire = Wire(proxy=at)
    try:
        return await wire.get(9, scheme=scheme)
    finally:
        await wire.handler.close()


async def test_a_proxy_gets_its_password(server: Server) -> None:
    server.answers = [http()]
    await through(proxy(server.port))
    assert server.requests[0].startswith(b"GET http://127.0.0.1:9/x?a=1&token=" + QUOTED + b" HTTP/1.1\r\n")
    assert f"Proxy-Authorization: {LOGIN}".encode() in server.requests[0]


async def test_a_proxy_on_the_way_to_https_sees_neither_token_nor_path(server: Server) -> None:
    with pytest.raises(DownloadFailedError):
        await through(proxy(server.port), "https")
    assert server.requests[0].startswith(b"CONNECT 127.0.0.1:9 HTTP/1.1\r\n")
    assert f"Proxy-Authorization: {LOGIN}".encode() in server.requests[0]
    assert b"s3cret" not in server.requests[0]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_the_password_ends_the_crawl(server: Server, scheme: str) -> None:
    server.answers = [http(status="407 Proxy Authentication Required")]
    with pytest.raises(
        NotSentError, match=r"The proxy 127\.0\.0\.1:\d+ refuses the user name or the password"
    ) as raised:
        await through(proxy(server.port), scheme)
    assert raised.value.is_final
    assert LOGIN not in str(raised.value)


async def test_a_proxy_that_is_down_has_sent_nothing(unused_tcp_port: int) -> None:
    with pytest.raises(NotSentError, match=rf"The proxy 127\.0\.0\.1:{unused_tcp_port} cannot be reached") as raised:
        await through(proxy(unused_tcp_port))
    assert not raised.value.is_final


async def test_an_untrusted_certificate_behind_a_proxy_names_it() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def decrypt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with suppress(OSError):
            await writer.start_tls(context)
        writer.close()

    async with await asyncio.start_server(decrypt, "127.0.0.1", 0) as listener:
        at = proxy(listener.sockets[0].getsockname()[1])
        with pytest.raises(NotSentError, match=rf"is not valid behind the proxy 127\.0\.0\.1:{at.port} ") as raised:
            await through(at, "https")
    assert "s3cret" not in str(raised.value)
