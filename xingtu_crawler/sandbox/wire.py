"""Sends responses, and produces the faults on the wire: cut, reset, never sent, redirected, not JSON.

Knows HTTP; does not know the contents of a response.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable

from aiohttp import web

_JSON = "application/json;charset=UTF-8"
_HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_STATUS = {0: 200, 201: 200, 202: 200, 100: 401, 101: 401, 302: 429, 303: 429, 400: 400, 404: 400, 503: 503}
_STATUS |= {600: 403, 601: 403, 602: 403}


class Sender:
    """Sends bodies.

    With `http_status`, a business code comes with the HTTP status of the API's OpenAPI description, otherwise always
    with 200. With `compress`, bodies are compressed with gzip for clients that accept it.
    """

    def __init__(self, *, http_status: bool, compress: bool) -> None:
        self._http_status = http_status
        self._compress = compress
        self.faults: dict[str, Callable[[web.BaseRequest, bytes], Awaitable[web.StreamResponse]]] = {
            "html": self._html,
            "garbage": self._garbage,
            "cut": self._cut,
            "timeout": self._timeout,
            "reset": self._reset,
            "redirect": self._redirect,
        }
        """Fault name -> the function that replaces sending the body."""

    async def send(self, request: web.BaseRequest, code: int, body: bytes, retry_after: int = 0) -> web.Response:
        """Send the body of business code `code` and return when all of it is sent.

        `retry_after` is in seconds; it is sent with HTTP 429 only.
        """
        status = _STATUS.get(code, 500) if self._http_status else 200
        headers = {"Content-Type": _JSON}
        if retry_after and status == 429:
            headers["Retry-After"] = str(retry_after)
        if self._compress and "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1)
        return await _finish(request, web.Response(body=body, status=status, headers=headers))

    async def _html(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        return await _finish(request, web.Response(body=_HTML, content_type="text/html"))

    async def _garbage(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        return await _finish(
            request, web.Response(body=b"\x00\xff{code:0," + body[:40], headers={"Content-Type": _JSON})
        )

    async def _cut(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": _JSON, "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    async def _timeout(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        # The server cancels the handler when the client disconnects.
        await asyncio.get_running_loop().create_future()
        raise AssertionError("this call never gets a response")

    async def _reset(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _redirect(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        location = f"http://{request.host}{request.path_qs}"
        return await _finish(request, web.Response(status=302, headers={"Location": location}))


async def _finish(request: web.BaseRequest, response: web.Response) -> web.Response:
    await response.prepare(request)
    await response.write_eof()
    return response
