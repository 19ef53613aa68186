"""Which proxy is on the way to the API, and the check of it before the first call."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from xingtu_crawler.api import proxies, reachability
from xingtu_crawler.api.proxies import Proxy
from xingtu_crawler.exceptions import ApiUnreachableError, UserError

API = "https://api.example.com"
ADVICE = "check https_proxy, or crawl without a proxy (-s HTTPPROXY_ENABLED=0)"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_the_environment_names_the_proxy_of_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxies.find(API) is None
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    found = proxies.find(API)
    assert (str(found), found and found.url) == ("proxy.example.com:3128", "http://proxy.example.com:3128")
    assert found is not None
    assert found.headers is None
    assert proxies.find("http://api.example.com") is None


def test_user_name_and_password_are_in_the_header_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "us%40er:p%3Aw@10.0.0.1:3128")  # without a scheme it is http
    found = proxies.find(API)
    assert found is not None
    assert found.headers == {"Authorization": "Basic dXNAZXI6cDp3"}
    assert found.url == "http://10.0.0.1:3128"
    assert "dXNAZXI6cDp3" not in repr(found)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "a.localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_loopback_is_never_proxied(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://proxy.example.com:3128")
        assert proxies.find(f"{scheme}://{host}:8080") is None


def test_no_proxy_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("no_proxy", ".example.com")
    assert proxies.find(API) is None
    assert proxies.find("https://api.example.org") is not None


@pytest.mark.parametrize("address", ["socks5://user:secret@host:1080", "http://", "http://host:port", "http://[::1"])
def test_what_is_no_http_proxy_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("https_proxy", address)
    with pytest.raises(UserError, match="https_proxy is no HTTP proxy") as caught:
        proxies.find(API)
    assert "secret" not in str(caught.value)


# --- The check ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def proxy_that_says(
    head: bytes, context: ssl.SSLContext | None = None, received: list[bytes] | None = None
) -> AsyncIterator[Proxy]:
    """A proxy that answers CONNECT with `head`, and then speaks TLS with `context`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            if received is not None:
                received.append(request)
            writer.write(head)
            if context is not None:
                await writer.drain()
                await writer.start_tls(context)
            await reader.read()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Proxy("http", "127.0.0.1", port, "https_proxy", "Basic abc")


async def refusal_of(proxy: Proxy, base_url: str = API) -> str:
    with pytest.raises(ApiUnreachableError) as caught:
        await reachability.check(base_url, proxy)
    message = str(caught.value)
    assert "\n" not in message
    assert str(proxy) in message
    return message


def tls(host: str, authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


async def test_a_proxy_that_connects_is_all_right(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = trustme.CA()
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    received: list[bytes] = []
    async with proxy_that_says(CONNECTED, tls("api.example.com", authority), received) as proxy:
        await reachability.check(API, proxy)
    assert received == [
        b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\nProxy-Authorization: Basic abc\r\n\r\n"
    ]


async def test_an_untrusted_certificate_behind_the_proxy_names_it() -> None:
    async with proxy_that_says(CONNECTED, tls("api.example.com", trustme.CA())) as proxy:
        message = await refusal_of(proxy)
    assert message.startswith("The TLS certificate of api.example.com:443 is not valid behind the proxy ")
    assert message.endswith("name its file in SSL_CERT_FILE, or use another proxy.")


async def test_a_refused_login_names_the_proxy() -> None:
    async with proxy_that_says(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as proxy:
        assert await refusal_of(proxy) == (
            f"The proxy {proxy} refuses the user name or the password in https_proxy (HTTP 407): set https_proxy to "
            f"http://USER:PASSWORD@{proxy}."
        )


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "HTTP 502"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP 403"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "it does not speak HTTP"),
    ],
)
async def test_a_proxy_that_does_not_connect_is_named(head: bytes, reason: str) -> None:
    async with proxy_that_says(head) as proxy:
        assert await refusal_of(proxy) == (
            f"The proxy {proxy} does not connect to api.example.com:443 ({reason}): {ADVICE}."
        )


@pytest.mark.parametrize("base_url", [API, "http://api.example.com"])
async def test_a_proxy_that_is_down_is_named(unused_tcp_port: int, base_url: str) -> None:
    proxy = Proxy("http", "127.0.0.1", unused_tcp_port, "https_proxy")
    assert await refusal_of(proxy, base_url) == f"The proxy {proxy} refused the connection: {ADVICE}."


async def test_a_proxy_that_hangs_up_is_named() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        proxy = Proxy("http", "127.0.0.1", server.sockets[0].getsockname()[1], "https_proxy")
        assert (await refusal_of(proxy)).endswith(f": {ADVICE}.")


async def test_a_proxy_that_is_silent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "TIMEOUT_S", 0.3)
    async with proxy_that_says(b"") as proxy:
        assert await refusal_of(proxy) == f"The proxy {proxy} did not answer within 0.3 s: {ADVICE}."


async def test_with_plain_http_the_proxy_itself_is_checked() -> None:
    async with proxy_that_says(b"") as proxy:
        await reachability.check("http://api.example.com", proxy)
