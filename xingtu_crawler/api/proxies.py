"""The proxy on the way to the API: which one, what is wrong with it, and the check before the first call.

A proxy is named in messages by its host and port; the user name and the password never leave `Proxy`.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from xingtu_crawler.api.environments import is_loopback
from xingtu_crawler.exceptions import ApiUnreachableError, UserError

_LONGEST_HEAD = 65_536
PROXY_LOGIN_NEEDED = HTTPStatus.PROXY_AUTHENTICATION_REQUIRED.value


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; `variable` is the environment variable that names it."""

    scheme: str
    host: str
    port: int
    variable: str
    authorization: str | None = field(default=None, repr=False)
    """The value of the `Authorization` that the proxy expects, if it has a user name."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address without the user name and the password."""
        return f"{self.scheme}://{self}"

    @property
    def headers(self) -> dict[str, str] | None:
        """What `aiohttp` needs to send the user name and the password to the proxy, and to nobody else."""
        return {"Authorization": self.authorization} if self.authorization else None

    @property
    def login_refused(self) -> str:
        """The line for HTTP 407, with which the proxy asks for another user name or password."""
        if self.authorization is None:
            what = "needs a user name and a password (HTTP 407)"
        else:
            what = f"refuses the user name or the password in {self.variable} (HTTP 407)"
        return f"The proxy {self} {what}: set {self.variable} to http://USER:PASSWORD@{self}."

    def no_connection(self, target: str, reason: str) -> str:
        """Return the line for a proxy that makes no connection to the API's host."""
        return f"The proxy {self} does not connect to {target} ({reason}): {self._advice}."

    def bad_certificate(self, target: str, reason: str) -> str:
        """Return the line for a certificate behind the proxy that is not trusted."""
        return (
            f"The TLS certificate of {target} is not valid behind the proxy {self} ({reason}). A proxy that decrypts "
            "has a certificate authority of its own: name its file in SSL_CERT_FILE, or use another proxy."
        )

    def down(self, reason: str) -> str:
        """Return the line for a proxy that cannot be reached."""
        return f"The proxy {self} {reason}: {self._advice}."

    @property
    def _advice(self) -> str:
        return f"check {self.variable}, or crawl without a proxy (-s HTTPPROXY_ENABLED=0)"


def find(base_url: str) -> Proxy | None:
    """Return the proxy that the environment names for `base_url`; None if there is none, or the host needs none.

    Loopback never goes through a proxy. Raises `UserError` if the environment names no HTTP proxy.
    """
    parts = urlsplit(base_url)
    address = getproxies().get(parts.scheme)
    if not address or is_loopback(base_url) or proxy_bypass(parts.netloc):
        return None
    variable = f"{parts.scheme}_proxy"
    try:
        proxy = urlsplit(address if "://" in address else f"http://{address}")
        port = proxy.port or (443 if proxy.scheme == "https" else 80)
    except ValueError:
        proxy, port = urlsplit(""), 0
    if not proxy.hostname or proxy.scheme not in {"http", "https"}:  # the message does not show it: a password
        raise UserError(f"{variable} is no HTTP proxy: write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT.")
    authorization = None
    if proxy.username is not None:
        login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
        authorization = f"Basic {base64.b64encode(login).decode()}"
    return Proxy(proxy.scheme, proxy.hostname, port, variable, authorization)


async def check(proxy: Proxy, host: str, port: int, context: ssl.SSLContext | None) -> None:
    """Connect to the API's host through the proxy, and disconnect; no request is sent.

    Args:
        proxy: the proxy.
        host: the API's host.
        port: its port.
        context: for TLS with that host; None for plain HTTP, where only the proxy itself is checked.

    Raises `ApiUnreachableError` with one line that names the proxy.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        to_proxy = ssl.create_default_context() if proxy.scheme == "https" else None
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port, ssl=to_proxy)
        if context is None:
            return
        await _connect(proxy, host, port, reader, writer)
        if to_proxy is None:  # TLS within TLS is left to the first call
            await writer.start_tls(context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise ApiUnreachableError(proxy.bad_certificate(f"{host}:{port}", error.verify_message)) from None
    except ssl.SSLError as error:
        reason = f"no TLS: {error.reason or 'handshake failed'}"
        raise ApiUnreachableError(proxy.no_connection(f"{host}:{port}", reason)) from None
    except ConnectionRefusedError:
        raise ApiUnreachableError(proxy.down("refused the connection")) from None
    except (OSError, EOFError, UnicodeError, asyncio.LimitOverrunError) as error:
        reason = "closed the connection" if isinstance(error, EOFError) else f"cannot be reached ({error})"
        raise ApiUnreachableError(proxy.down(reason)) from None
    finally:
        if writer is not None:
            writer.transport.abort()


async def _connect(
    proxy: Proxy, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Let the proxy connect to the host. Source: RFC 9110, section 9.3.6."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    login = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    status_line = head[:_LONGEST_HEAD].split(b"\r\n", 1)[0].decode("latin-1")
    words = status_line.split(maxsplit=2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    if status == PROXY_LOGIN_NEEDED:
        raise ApiUnreachableError(proxy.login_refused)
    if not 200 <= status < 300:
        reason = f"HTTP {status}" if status else "it does not speak HTTP"
        raise ApiUnreachableError(proxy.no_connection(f"{host}:{port}", reason))
