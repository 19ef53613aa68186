"""A sandbox in the test's event loop, and a client that returns raw responses.

For the tests of `sandbox/`; other tests use `SandboxProcess`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.sandbox import options
from xingtu_crawler.sandbox.population import Population
from xingtu_crawler.sandbox.server import Sandbox


@dataclass
class Client:
    """A client of one running sandbox."""

    sandbox: Sandbox
    base_url: str
    http: aiohttp.ClientSession
    population: Population

    async def raw(
        self, endpoint: str, *, token: str | None = "secret-token", accept: str = "identity", **params: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return HTTP status, headers and body; redirects are not followed."""
        if endpoint != SEARCH.name:
            params.setdefault("oAuthorId", self.population.star_id(0))
        query = params if token is None else {**params, "token": token}
        url = self.base_url + {SEARCH.name: SEARCH, **DETAILS}[endpoint].path
        async with self.http.get(
            url, params=query, allow_redirects=False, headers={"Accept-Encoding": accept}
        ) as response:
            return response.status, dict(response.headers), await response.read()

    async def envelope(self, endpoint: str, *, token: str | None = "secret-token", **params: str) -> dict[str, Any]:
        """Return the envelope."""
        _, _, body = await self.raw(endpoint, token=token, **params)
        envelope: dict[str, Any] = json.loads(body)
        return envelope

    async def code(self, endpoint: str, *, token: str | None = "secret-token", **params: str) -> int:
        """Return the business code as a number."""
        return int((await self.envelope(endpoint, token=token, **params))["code"])

    async def page(self, path: str) -> Any:
        """Return one of the sandbox's own pages."""
        async with self.http.get(self.base_url + path) as response:
            return await response.json()

    async def control(self, **changes: Any) -> tuple[int, dict[str, Any]]:
        """Change the sandbox; return HTTP status and body."""
        async with self.http.post(self.base_url + "/__control", json=changes) as response:
            return response.status, await response.json()


Start = Callable[..., Awaitable[Client]]


@asynccontextmanager
async def _running(arguments: list[str]) -> AsyncIterator[Client]:
    config = options.parse(arguments)
    sandbox = Sandbox(config)
    handler = web.Server(sandbox.handle, access_log=None, handler_cancellation=True)
    server = await asyncio.get_running_loop().create_server(handler, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        yield Client(sandbox, url, http, Population(seed=config.seed, size=config.authors))
    server.close()
    await handler.shutdown(1)


@asynccontextmanager
async def starter() -> AsyncIterator[Start]:
    """Yield a function that starts a sandbox with command-line arguments; all sandboxes stop at the end."""
    async with AsyncExitStack() as stack:

        async def begin(*arguments: str) -> Client:
            return await stack.enter_async_context(_running(list(arguments)))

        yield begin
