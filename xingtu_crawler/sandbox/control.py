"""The sandbox's own pages: `/__ledger`, `/__ledger/calls` and `/__control`.

They read and change the state of a running sandbox. They are not part of the API.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox.state import State

_MAX_CALLS = 10_000


async def handle(state: State, request: web.BaseRequest, path: str) -> web.Response:
    """Respond to a request for a path that begins with `/__`."""
    try:
        if path == "/__ledger" and request.method == "GET":
            return web.json_response(state.ledger.summary())
        if path == "/__ledger/calls" and request.method == "GET":
            after, limit = _number(request, "after", 0), _number(request, "limit", 1_000)
            return web.json_response(state.ledger.calls(after, min(limit, _MAX_CALLS)))
        if path == "/__control" and request.method == "POST":
            state.change(await _changes(request))
            return web.json_response(state.summary())
    except SandboxError as error:
        return web.json_response({"error": str(error)}, status=400)
    return web.json_response({"error": f"no such page: {request.method} {path}"}, status=404)


async def _changes(request: web.BaseRequest) -> dict[str, Any]:
    try:
        changes = json.loads(await request.read())
    except ValueError:
        changes = None
    if not isinstance(changes, dict):
        raise SandboxError("the request body is not a JSON object.")
    return changes


def _number(request: web.BaseRequest, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise SandboxError(f"{name} is {text!r}: it must be an integer.")
    return int(text)
