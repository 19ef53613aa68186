"""The sandbox's own pages: `/__ledger`, `/__ledger/calls`, `/__control`.

Reads and changes a running sandbox; answers no question of the API.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox import faults, tokens

if TYPE_CHECKING:
    from xingtu_crawler.sandbox.server import Sandbox

_MOST_CALLS = 10_000


async def handle(sandbox: Sandbox, request: web.BaseRequest, path: str) -> web.Response:
    """Answer one request for a path that begins with `/__`."""
    try:
        if path == "/__ledger" and request.method == "GET":
            return web.json_response(sandbox.ledger.summary())
        if path == "/__ledger/calls" and request.method == "GET":
            after, limit = _number(request, "after", 0), _number(request, "limit", 1_000)
            return web.json_response(sandbox.ledger.calls(after, min(limit, _MOST_CALLS)))
        if path == "/__control" and request.method == "POST":
            change(sandbox, await _changes(request))
            return web.json_response(sandbox.state())
    except SandboxError as error:
        return web.json_response({"error": str(error)}, status=400)
    return web.json_response({"error": "there is no such page"}, status=404)


def change(sandbox: Sandbox, changes: dict[str, Any]) -> None:
    """Change a running sandbox: all of `changes`, or nothing and a `SandboxError`.

    `day` (int), `faults` {name: rate} and `tokens` {name: spec} replace what was there, `rate` (calls/s),
    `latency` and `jitter` (milliseconds), `reset_ledger` (true).
    """
    steps: list[Callable[[], None]] = []
    for name, value in changes.items():
        if name == "day":
            if type(value) is not int or not 0 <= value <= 100_000:
                raise SandboxError(f"day is {value!r}: it is a whole number from 0 to 100000.")
            steps.append(partial(setattr, sandbox, "day", value))
        elif name in ("latency", "jitter"):
            if type(value) not in (int, float) or not (math.isfinite(value) and value >= 0):
                raise SandboxError(f"{name} is {value!r}: it is a number of milliseconds.")
            steps.append(partial(setattr, sandbox, name, float(value)))
        elif name == "faults":
            steps.append(partial(setattr, sandbox.faults, "rates", faults.check_rates(_mapping(name, value))))
        elif name == "rate":
            steps.append(partial(sandbox.tokens.set_rate, tokens.check_rate(value)))
        elif name == "tokens":
            specs = {token: tokens.parse_spec(str(spec)) for token, spec in _mapping(name, value).items()}
            tokens.check_accounts(specs)
            steps.append(partial(sandbox.tokens.configure, specs))
        elif name == "reset_ledger":
            if value is True:
                steps.append(sandbox.ledger.reset)
        else:
            raise SandboxError(
                f"unknown change {name!r}: it is one of day, faults, rate, latency, jitter, tokens, reset_ledger."
            )
    for step in steps:
        step()


async def _changes(request: web.BaseRequest) -> dict[str, Any]:
    try:
        changes = json.loads(await request.read())
    except ValueError:
        changes = None
    if not isinstance(changes, dict):
        raise SandboxError("the changes are not a JSON object.")
    return changes


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SandboxError(f"{name} is {value!r}: it is a JSON object.")
    return value


def _number(request: web.BaseRequest, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise SandboxError(f"{name} is {text!r}: it is a whole number.")
    return int(text)
