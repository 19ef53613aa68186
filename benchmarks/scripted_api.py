"""A front of the sandbox that misbehaves on purpose: a function decides, call by call, what is sent.

The crawler talks to the front, the front to the sandbox. Without a fault it passes on what the sandbox says.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from xingtu_crawler.api.endpoints import DETAILS, SEARCH

PAGE_SIZE = 20
_ENDPOINTS = {endpoint.path: endpoint.name for endpoint in (SEARCH, *DETAILS.values())}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `key` is the star id, or the number of the page; `attempt` counts the calls with the same question,
    `number` all calls of the crawl, `of_endpoint` those to the same endpoint, each from 1; `answer` is the sandbox's.
    """

    endpoint: str
    key: str
    attempt: int
    number: int
    of_endpoint: int
    token: str
    answer: Json
    front: Front

    @property
    def page(self) -> int:
        """The number of the page, 0 for a detail."""
        return int(self.key) if self.endpoint == SEARCH.name else 0

    @property
    def author(self) -> int:
        """The position of the author among all authors, from 0; -1 for a page."""
        return self.front.position.get(self.key, -1) if self.endpoint != SEARCH.name else -1


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent instead of the sandbox's answer. `silence`: nothing, until the client leaves; `reset`: the
    connection is closed without a response."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    silence: bool = False
    reset: bool = False


Fault = Callable[[Call], Reply | Json | None]
"""Returns what is sent; None: the answer, which the function may have changed in place."""


def healthy(_call: Call) -> None:
    """Send what the sandbox says."""


class Front:
    """The front of one sandbox. `fault` may be replaced between two crawls; `reset` starts the counts again."""

    def __init__(self, sandbox_url: str) -> None:
        self.fault: Fault = healthy
        self.calls: Counter[str] = Counter()
        self.records: list[Json] = []
        """The search records of all authors, in the order of the search without filters."""
        self.position: dict[str, int] = {}
        self._asked: Counter[tuple[str, str]] = Counter()
        self._sandbox_url = sandbox_url
        self._session: aiohttp.ClientSession

    def reset(self, fault: Fault) -> None:
        """Send what `fault` says from now on, and count from 0."""
        self.fault = fault
        self.calls.clear()
        self._asked.clear()

    async def open(self) -> None:
        """Connect to the sandbox, and read all authors."""
        self._session = aiohttp.ClientSession(auto_decompress=True)
        number, more = 1, True
        while more:
            body = await self._fetch(f"{SEARCH.path}?token=front&page={number}")
            self.records += body["data"]["authors"]
            more, number = body["data"]["pagination"]["has_more"], number + 1
        self.position = {each["star_id"]: index for index, each in enumerate(self.records)}

    async def close(self) -> None:
        """Disconnect."""
        await self._session.close()

    async def _fetch(self, target: str) -> Json:
        async with self._session.get(self._sandbox_url + target) as response:
            body: Json = json.loads(await response.read())
            return body

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Respond to one request."""
        path, _, text = request.path_qs.partition("?")
        query = dict(parse_qsl(text))
        answer = await self._fetch(request.path_qs)
        endpoint = _ENDPOINTS.get(path)
        if endpoint is None:  # the balance
            return web.json_response(answer)
        key = query.get("page", "1") if endpoint == SEARCH.name else query["oAuthorId"]
        self.calls[endpoint] += 1
        self._asked[endpoint, key] += 1
        call = Call(
            endpoint=endpoint,
            key=key,
            attempt=self._asked[endpoint, key],
            number=self.calls.total(),
            of_endpoint=self.calls[endpoint],
            token=query["token"],
            answer=answer,
            front=self,
        )
        reply = self.fault(call)
        if not isinstance(reply, Reply):
            return web.json_response(answer if reply is None else reply)
        if reply.silence:
            await asyncio.get_running_loop().create_future()  # cancelled when the client leaves
        if reply.reset and request.transport is not None:
            request.transport.abort()
        response = web.Response(body=reply.body, status=reply.status)
        response.headers.update({"Content-Type": "application/json"} | reply.headers)
        return response


@contextmanager
def serving(sandbox_url: str) -> Iterator[tuple[Front, str]]:
    """Serve on a free port, in a thread of its own; yields the front and its base URL."""
    front = Front(sandbox_url)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[asyncio.Server, web.Server]:
        await front.open()
        handler = web.Server(front.handle, access_log=None, handler_cancellation=True)
        return await loop.create_server(handler, "127.0.0.1", 0), handler

    async def stop(listening: asyncio.Server, handler: web.Server) -> None:
        listening.close()
        await handler.shutdown(1)
        await front.close()

    try:
        listening, handler = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
        try:
            host, port = listening.sockets[0].getsockname()
            yield front, f"http://{host}:{port}"
        finally:
            asyncio.run_coroutine_threadsafe(stop(listening, handler), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def page_of(records: list[Json], number: int, *, size: int = PAGE_SIZE, total: int | None = None, **other: Any) -> Json:
    """Return page `number` of a search that finds `records`; `other` replaces fields of `pagination`."""
    start = (number - 1) * size
    pagination = {
        "page": number,
        "limit": size,
        "has_more": start + size < len(records),
        "total_count": len(records) if total is None else total,
    }
    found = records[start : start + size]
    return {"code": 0, "message": "success", "data": {"authors": found, "pagination": pagination | other}}
