"""The check before the first call, against real hosts on loopback, and the outage during a crawl."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trustme

from xingtu_crawler.api import reachability
from xingtu_crawler.api.backoff import Backoff
from xingtu_crawler.exceptions import ApiUnreachableError

ADVICE = "check JUSTONEAPI_BASE_URL, JUSTONEAPI_ENV and your network"


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """A private certificate authority that this process trusts because of SSL_CERT_FILE."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@asynccontextmanager
async def host(context: ssl.SSLContext | None = None, received: list[bytes] | None = None) -> AsyncIterator[int]:
    """A host that listens, keeps what it receives in `received`, and sends nothing."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            data = await reader.read()
        except (ConnectionError, ssl.SSLError):
            data = b""
        if received is not None:
            received.append(data)
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextmanager
def deaf_host(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A host that accepts one connection (with TLS, if a context is given) and then reads nothing."""
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        if context:
            connection = context.wrap_socket(connection, server_side=True)
        done.wait()
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            thread.join()


async def refusal_of(base_url: str) -> str:
    with pytest.raises(ApiUnreachableError) as caught:
        await reachability.check(base_url)
    message = str(caught.value)
    assert "\n" not in message
    return message


async def test_a_host_that_listens_is_reachable_and_receives_no_request() -> None:
    received: list[bytes] = []
    async with host(received=received) as port:
        await reachability.check(f"http://127.0.0.1:{port}/some/path")
        while not received:
            await asyncio.sleep(0)
    assert received == [b""]


async def test_a_host_with_a_valid_certificate_is_reachable(authority: trustme.CA) -> None:
    async with host(context_of(authority.issue_cert("127.0.0.1"))) as port:
        await reachability.check(f"https://127.0.0.1:{port}")


async def test_the_check_does_not_wait_for_the_end_of_the_tls_session(authority: trustme.CA) -> None:
    with deaf_host(context_of(authority.issue_cert("127.0.0.1"))) as port:
        async with asyncio.timeout(20):  # a TLS session that the host does not end takes 30 s
            await reachability.check(f"https://127.0.0.1:{port}")


async def test_a_closed_port_is_reported(unused_tcp_port: int) -> None:
    assert await refusal_of(f"http://127.0.0.1:{unused_tcp_port}") == (
        f"The API at 127.0.0.1:{unused_tcp_port} refused the connection: {ADVICE}."
    )


@pytest.mark.parametrize("name", ["nonexistent.invalid", "a..b", "a" * 64])
async def test_an_unknown_name_is_reported(name: str) -> None:
    assert await refusal_of(f"https://{name}") == f"The API's host {name} is unknown: {ADVICE}."


async def test_a_host_without_tls_is_reported() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(16)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        message = await refusal_of(f"https://127.0.0.1:{port}")
    assert message.startswith(f"127.0.0.1:{port} does not speak TLS (")
    assert message.endswith(f"): {ADVICE}.")


async def test_a_host_that_disconnects_is_reported() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        message = await refusal_of(f"https://127.0.0.1:{port}")
    assert message.startswith(f"The API at 127.0.0.1:{port} cannot be reached (")


async def test_a_certificate_of_an_unknown_authority_is_reported(authority: trustme.CA) -> None:
    async with host(context_of(trustme.CA().issue_cert("127.0.0.1"))) as port:
        message = await refusal_of(f"https://127.0.0.1:{port}")
    assert message.startswith(f"The TLS certificate of 127.0.0.1:{port} is not valid (")
    assert message.endswith(f"): {ADVICE}; for a private certificate authority set SSL_CERT_FILE.")


async def test_a_certificate_of_another_host_is_reported(authority: trustme.CA) -> None:
    async with host(context_of(authority.issue_cert("api.example.com"))) as port:
        message = await refusal_of(f"https://127.0.0.1:{port}")
    assert "is not valid (IP address mismatch" in message


async def test_a_host_that_never_finishes_the_handshake_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "TIMEOUT_S", 0.3)
    with deaf_host() as port:
        message = await refusal_of(f"https://127.0.0.1:{port}")
    assert message == f"The API at 127.0.0.1:{port} did not answer within 0.3 s: {ADVICE}."


def outage() -> reachability.Outage:
    return reachability.Outage(Backoff(1.0, 60.0))


def refused(of: reachability.Outage, *times: float) -> list[float | None]:
    """Register a refused connection at each of these times, of a request that was sent then."""
    return [of.refused(now, sent_at=now) for now in times]


def test_a_minute_of_refused_connections_means_that_the_host_is_gone() -> None:
    assert refused(outage(), 100.0, 110.0, 120.0, 159.9, 160.0) == [None] * 4 + [60.0]


def test_a_few_refused_connections_prove_nothing_however_long_they_take() -> None:
    assert refused(outage(), 100.0, 200.0, 300.0, 400.0, 500.0) == [None] * 4 + [400.0]


def test_any_other_outcome_ends_an_outage() -> None:
    of = outage()
    refused(of, 100.0, 120.0, 140.0, 159.0)
    of.over()
    assert of.wait(159.0) == 0.0
    assert refused(of, 160.0, 170.0, 180.0, 190.0, 219.0, 220.0) == [None] * 5 + [60.0]


def test_one_request_at_a_time_probes_a_host_that_is_away() -> None:
    of = outage()
    for _ in range(64):  # in flight when the host went away
        of.refused(100.0, sent_at=99.0)
    sent: list[float] = []
    now = 100.0
    while now < 160.0:
        if of.wait(now) == 0.0:
            of.started()
            assert of.wait(now) > 0.0  # no other request until the result is there
            of.refused(now + 0.01, sent_at=now)
            sent.append(now)
        now += 0.25
    assert len(sent) == 6
    pauses = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert pauses == sorted(pauses)


def test_requests_go_ahead_when_a_probe_succeeds() -> None:
    of = outage()
    of.refused(100.0, sent_at=100.0)
    of.started()
    of.over()
    assert of.wait(100.0) == 0.0
