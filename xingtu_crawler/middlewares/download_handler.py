"""The wire: the only place where a request meets its token.

It is a download handler over aiohttp with one session and without copies of requests and responses, which takes a
fraction of the CPU time of Scrapy's own handlers. The token is in the URL that is sent and nowhere else. It is removed
from the body, the headers and the exceptions that come back before anything else sees them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import (
    DownloadFailedError,
    DownloadTimeoutError,
    ResponseDataLossError,
)
from scrapy.http import Headers, Response
from yarl import URL

from xingtu_crawler.api.compression import decompressed
from xingtu_crawler.api.proxies import PROXY_LOGIN_NEEDED, Proxy
from xingtu_crawler.api.secrets import Redactor
from xingtu_crawler.engine import meta
from xingtu_crawler.engine.exceptions import NotSentError
from xingtu_crawler.engine.responses import CUT, TOO_LARGE, ApiResponse
from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.middlewares.large_bodies import CountedBody, LargeBodies
from xingtu_crawler.options import Options

_NOTHING_SECRET = Redactor([])
MOST_KEPT = 16_000_000
"""Maximum number of bytes that are read of a body beyond `DOWNLOAD_MAXSIZE`: it is not parsed, but kept as it came."""
_CONNECT_S = 20.0
"""Time in seconds for the connection and the TLS handshake: until they are made, nothing is sent."""
_HEADER_SIZE = 65_536
"""Maximum number of bytes of a header; aiohttp's default is 8 kB."""
_END_OF_HEADERS = b"\r\n\r\n"
"""What no header can contain."""


class TokenDownloadHandler:
    """Sends each request with the token that it has leased, and a request without a lease as it is."""

    lazy = False

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        options = Options.read(crawler.settings)
        self._max_size = options.download_maxsize
        self._most_read = max(options.download_maxsize, MOST_KEPT) if options.download_maxsize else 0
        self._timeout = options.download_timeout
        self._headers = Headers({**options.request_headers, "User-Agent": options.user_agent})
        self._sent_headers = _sent(self._headers)
        self._large_bodies = LargeBodies()
        self._timeouts_of: dict[float, aiohttp.ClientTimeout] = {}
        self._proxy: Proxy | None = None
        self._wire: aiohttp.ClientSession | None = None
        self._tokens: dict[str, tuple[str, Redactor]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Read the settings; the connections are opened with the first request, when the event loop runs."""
        return cls(crawler)

    async def download_request(self, request: Request) -> Response:
        """Send a request and return its response; neither of them shows the token.

        Raises the exceptions of `scrapy.exceptions` for network errors.
        """
        result = await self._send(request)
        if isinstance(result, Exception):
            raise result
        return result

    async def close(self) -> None:
        """Close the connections."""
        if self._wire is not None:
            await self._wire.close()

    async def _send(self, request: Request) -> Response | Exception:
        # Errors are returned, not raised: a raised one carries frames and a context with the token in them.
        url, redactor = self._url(request)
        try:
            return await self._ask(request, url, redactor)
        except Exception as error:  # noqa: BLE001 - whatever it is, it may show the token
            return self._clean(error, request, redactor)

    def _clean(self, error: Exception, request: Request, redactor: Redactor) -> Exception:
        """Return Scrapy's exception for a network error, without the token."""
        message = redactor.text(str(error) or type(error).__name__)
        clean: Exception
        match error:
            case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
                clean = self._stopped_by_proxy(error, URL(request.url).authority)
            case aiohttp.ClientConnectorCertificateError() if self._proxy is not None:
                clean = NotSentError(self._proxy.bad_certificate(URL(request.url).authority, message))
            case aiohttp.ClientConnectorError():
                clean = NotSentError(message)
            case aiohttp.ConnectionTimeoutError():
                clean = NotSentError(f"no connection within {self._timeouts(request).sock_connect:g} s")
            case TimeoutError():
                clean = DownloadTimeoutError(f"no answer within {self._limit(request):g} s")
            case aiohttp.ClientPayloadError():
                clean = ResponseDataLossError("the answer was cut short")
            case _ if type(error).__module__ == "scrapy.exceptions":
                clean = type(error)(message)
            case _:
                clean = DownloadFailedError(message)
        return clean

    def _url(self, request: Request) -> tuple[URL, Redactor]:
        """Return the URL with the token, and the redactor that removes the token from the response."""
        alias = request.meta.get(meta.TOKEN_ALIAS)
        if alias is None:
            return URL(request.url, encoded=True), _NOTHING_SECRET
        if alias not in self._tokens:
            token = Crawl.of(self._crawler).session.pool.secret(alias)
            self._tokens[alias] = quote(token, safe=""), Redactor([token])
        quoted, redactor = self._tokens[alias]
        separator = "&" if "?" in request.url else "?"
        return URL(f"{request.url}{separator}token={quoted}", encoded=True), redactor

    async def _ask(self, request: Request, url: URL, redactor: Redactor) -> Response | Exception:
        now = asyncio.get_running_loop().time
        begun = now()
        wire, proxy = self._session(), self._proxy
        headers = _sent({**self._headers, **request.headers}) if request.headers else dict(self._sent_headers)
        async with wire.request(
            request.method,
            url,
            data=request.body or None,
            headers=headers,
            allow_redirects=False,  # one would carry the token elsewhere
            timeout=self._timeouts(request),
            proxy=proxy.url if proxy else None,
            # aiohttp makes a Proxy-Authorization of it, in the request or in the CONNECT before it.
            proxy_headers=proxy.headers if proxy else None,
        ) as answer:
            if proxy and answer.status == PROXY_LOGIN_NEEDED:
                return NotSentError(proxy.login_refused, is_final=True)
            request.meta["download_latency"] = now() - begun
            body, flags = await self._body(answer, redactor)
            kind = Response if redactor is _NOTHING_SECRET else ApiResponse
            return kind(
                request.url,
                status=answer.status,
                headers=_headers(answer, redactor),
                body=body,
                request=request,
                flags=flags,
            )

    def _session(self) -> aiohttp.ClientSession:
        if self._wire is None:
            self._proxy = Crawl.of(self._crawler).session.proxy
            self._wire = aiohttp.ClientSession(
                # The downloader limits what is in flight; time spent waiting here would count towards the timeout.
                connector=aiohttp.TCPConnector(limit=0, ssl=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=_HEADER_SIZE,
                max_field_size=_HEADER_SIZE,
                auto_decompress=False,  # `decompressed` limits the size
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            )
            # aiohttp sends a GET again by itself when a kept-alive connection breaks: a call outside of every budget.
            # It has no public switch for that.
            self._wire._retry_connection = False
        return self._wire

    def _stopped_by_proxy(
        self, error: aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError, target: str
    ) -> NotSentError:
        proxy = self._proxy
        assert proxy is not None
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            return NotSentError(proxy.down(f"cannot be reached ({error.strerror})"))
        if error.status == PROXY_LOGIN_NEEDED:
            return NotSentError(proxy.login_refused, is_final=True)
        return NotSentError(proxy.no_connection(target, f"HTTP {error.status}"))

    def _timeouts(self, request: Request) -> aiohttp.ClientTimeout:
        limit = self._limit(request)
        if (timeouts := self._timeouts_of.get(limit)) is None:
            # Below the total, so that a connection that was not made differs from an answer that did not come.
            timeouts = aiohttp.ClientTimeout(total=limit, sock_connect=min(_CONNECT_S, 0.9 * limit))
            self._timeouts_of[limit] = timeouts
        return timeouts

    def _limit(self, request: Request) -> float:
        return float(request.meta.get("download_timeout", self._timeout))

    async def _body(self, answer: aiohttp.ClientResponse, redactor: Redactor) -> tuple[bytes, list[str]]:
        """Return the body, without compression and tokens, and the flags of the response."""
        label = answer.headers.get("Content-Encoding", "")
        chunks: list[bytes] = []
        is_whole = await self._gather(answer, chunks, self._max_size)
        if is_whole:
            plain = decompressed(b"".join(chunks), label, self._max_size)
            if not plain.is_cut:
                return redactor.body(plain.body), []
        give_back = await self._large_bodies.wait_for_room()
        try:
            is_whole = is_whole or await self._gather(answer, chunks, self._most_read)
            plain = decompressed(b"".join(chunks)[: self._most_read], label, self._most_read)
            body = CountedBody.of(redactor.body(plain.body), give_back)
        except BaseException:
            give_back()
            raise
        return body, [TOO_LARGE] if is_whole and not plain.is_cut else [CUT, TOO_LARGE]

    async def _gather(self, answer: aiohttp.ClientResponse, chunks: list[bytes], limit: int) -> bool:
        """Read on until the body ends, which returns True, or is longer than `limit` (0: no limit)."""
        size = sum(map(len, chunks))
        while not 0 < limit < size:
            if not (chunk := await answer.content.readany()):
                return True
            chunks.append(chunk)
            size += len(chunk)
        return False


def _sent(headers: Mapping[Any, Any]) -> dict[str, str]:
    """Return headers as they go over the wire; None stands for one that is not to be sent."""
    return {
        name.decode("latin-1"): b",".join(values).decode("latin-1")
        for name, values in Headers(headers).items()
        if values
    }


def _headers(answer: aiohttp.ClientResponse, redactor: Redactor) -> list[tuple[bytes, bytes]]:
    """Return the headers without the token, and without the encoding that the body no longer has."""
    kept = [each for each in answer.raw_headers if each[0].lower() != b"content-encoding"]
    values = _END_OF_HEADERS.join(value for _, value in kept)
    clean = redactor.text(values.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    return [(name, value) for (name, _), value in zip(kept, clean.split(_END_OF_HEADERS), strict=False)]
