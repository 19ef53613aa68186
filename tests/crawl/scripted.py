"""An API whose search pages are scripted, one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from xingtu_crawler.api.endpoints import DETAILS, SEARCH

NO_PAGE: dict[str, Any] = {"code": 0, "data": None}
"""A success response without a search page."""


def authors(first: int, count: int = 20) -> list[str]:
    """Return `count` consecutive star ids, starting with number `first`."""
    return [str(10_000 + number) for number in range(first, first + count)]


def page(
    number: int,
    star_ids: list[str],
    *,
    total: int | None = 100,
    more: bool | None = True,
    limit: int = 20,
    **data: Any,
) -> dict[str, Any]:
    """Return the response body of page `number`."""
    pagination = {"page": number, "limit": limit, "has_more": more, "total_count": total}
    return {"code": 0, "data": {"authors": [{"star_id": each} for each in star_ids], "pagination": pagination, **data}}


def full(number: int, *, of: int, size: int = 20) -> dict[str, Any]:
    """Return page `number` of a flawless search that finds authors 0 to `of` - 1, `size` on a page."""
    first = (number - 1) * size
    star_ids = authors(first, max(0, min(size, of - first)))
    return page(number, star_ids, total=of, more=number * size < of, limit=size)


def code(number: int, message: str = "as scripted") -> dict[str, Any]:
    """Return a response body with a business code and no data."""
    return {"code": number, "message": message, "requestId": "r-1", "data": None}


class ScriptedApi:
    """Serves `script[n]` as page `n`: one body, or a list of bodies to serve in turn, the last one repeatedly.

    A page that is not in the script is that of a search that finds `of` authors, `size` on a page. `without_details`
    maps star ids to the business code that their base info fails with. `pages` and `details` record the requests in
    order.
    """

    def __init__(self, script: dict[int, Any] | None = None, *, of: int = 100) -> None:
        self.script = script or {}
        self.of = of
        self.size = 20
        self.without_details: dict[str, int] = {}
        self.detail: dict[str, Any] = {}
        """Further fields of every base info."""
        self.base_info_of: Callable[[str], dict[str, Any]] | None = None
        """Returns the base info of an author, instead of that."""
        self.pages: list[int] = []
        self.details: list[str] = []

    async def search(self, request: web.Request) -> web.Response:
        """Serve a search page."""
        number = int(request.query["page"])
        self.pages.append(number)
        answers = self.script.get(number, full(number, of=self.of, size=self.size))
        if isinstance(answers, list):
            answers = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.json_response(answers)

    async def base_info(self, request: web.Request) -> web.Response:
        """Serve the base info of one author."""
        star_id = request.query["oAuthorId"]
        self.details.append(star_id)
        if star_id in self.without_details:
            return web.json_response(code(self.without_details[star_id]))
        data = self.base_info_of(star_id) if self.base_info_of else {"id": star_id, **self.detail}
        return web.json_response({"code": 0, "data": data})


@asynccontextmanager
async def serving(api: ScriptedApi) -> AsyncIterator[str]:
    """Serve on a free port; yields the base URL."""
    app = web.Application()
    app.router.add_get(SEARCH.path, api.search)
    app.router.add_get(DETAILS["base_info"].path, api.base_info)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()
