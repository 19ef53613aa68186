"""An API that answers as a script says, page by page; what it is not told it does not know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from xingtu_crawler.api.endpoints import DETAILS, SEARCH

NO_PAGE: dict[str, Any] = {"code": 0, "data": None}
"""A success without a search page in it."""


def authors(first: int, count: int = 20) -> list[str]:
    """Return so many star ids, the first with this number."""
    return [str(10_000 + number) for number in range(first, first + count)]


def page(
    number: int, star_ids: list[str], *, total: int | None = 100, more: bool | None = True, **data: Any
) -> dict[str, Any]:
    """Return the answer that is page `number`."""
    pagination = {"page": number, "limit": 20, "has_more": more, "total_count": total}
    return {"code": 0, "data": {"authors": [{"star_id": each} for each in star_ids], "pagination": pagination, **data}}


def full(number: int, *, of: int) -> dict[str, Any]:
    """Return page `number` of a search that finds authors 0 to `of` - 1 and has nothing to hide."""
    first = (number - 1) * 20
    return page(number, authors(first, max(0, min(20, of - first))), total=of, more=number * 20 < of)


def code(number: int, message: str = "as scripted") -> dict[str, Any]:
    """Return an answer with a business code and no data."""
    return {"code": number, "message": message, "requestId": "r-1", "data": None}


class ScriptedApi:
    """Answers page `n` with `script[n]`: one answer, or several in turn, of which the last stays.

    A page that is not in the script is as in a search that finds `of` authors. Base infos are answered for whoever is
    not in `without_details`, where a code stands. `pages` and `details` are what was asked, in order.
    """

    def __init__(self, script: dict[int, Any] | None = None, *, of: int = 100) -> None:
        self.script = script or {}
        self.of = of
        self.without_details: dict[str, int] = {}
        self.pages: list[int] = []
        self.details: list[str] = []

    async def search(self, request: web.Request) -> web.Response:
        """Answer a page."""
        number = int(request.query["page"])
        self.pages.append(number)
        answers = self.script.get(number, full(number, of=self.of))
        if isinstance(answers, list):
            answers = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.json_response(answers)

    async def base_info(self, request: web.Request) -> web.Response:
        """Answer the details of one author."""
        star_id = request.query["oAuthorId"]
        self.details.append(star_id)
        if star_id in self.without_details:
            return web.json_response(code(self.without_details[star_id]))
        return web.json_response({"code": 0, "data": {"id": star_id}})


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
