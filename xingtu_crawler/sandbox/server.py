"""The sandbox's HTTP handler: admits a call, chooses its fault, sends its response and records it in the ledger.

The contents of responses are decided in `answers`, `faults` and `tokens`.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import time
from urllib.parse import parse_qsl

from aiohttp import web

from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.sandbox import control, spoil
from xingtu_crawler.sandbox.answers import MESSAGES, Answer, Answers
from xingtu_crawler.sandbox.faults import CONTENT_FAULTS, WIRE_FAULTS
from xingtu_crawler.sandbox.ledger import Call
from xingtu_crawler.sandbox.options import Config
from xingtu_crawler.sandbox.population import Population
from xingtu_crawler.sandbox.search import Search
from xingtu_crawler.sandbox.state import State
from xingtu_crawler.sandbox.wire import Sender

BALANCE_PATH = "/user/get-balance"
_ENDPOINTS = {endpoint.path: endpoint.name for endpoint in (SEARCH, *DETAILS.values())}
_BILLED_CODES = frozenset({"201", "202"})
_BILLED_FAULTS = frozenset({"cut", "timeout"})  # paid for, though no usable response arrives


class Sandbox:
    """A sandbox without its socket; `handle` is the handler of a low-level aiohttp server."""

    def __init__(self, config: Config) -> None:
        population = Population(seed=config.seed, size=config.authors)
        self.answers = Answers(population, Search(population, overlap=config.overlap))
        self.state = State.of(config)
        self._sender = Sender(http_status=config.http_status, compress=config.gzip)
        self._calls = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Respond to one request of any kind."""
        target = request.path_qs
        path, _, query = target.partition("?")
        endpoint = _ENDPOINTS.get(path)
        if endpoint is not None and request.method == "GET":
            params: dict[str, str] = {}
            for name, value in parse_qsl(query, keep_blank_values=True):
                params.setdefault(name, value)
            return await self._call(request, endpoint, params)
        if path == BALANCE_PATH and request.method == "GET":
            return await self._balance(request, dict(parse_qsl(query)).get("token", ""))
        if path.startswith("/__"):
            return await control.handle(self.state, request, path)
        status = 405 if endpoint is not None or path == BALANCE_PATH else 404
        error = "Method Not Allowed" if status == 405 else "Not Found"
        return web.json_response({"status": status, "error": error, "path": path}, status=status)

    async def _call(self, request: web.BaseRequest, endpoint: str, params: dict[str, str]) -> web.StreamResponse:
        name, state = params.pop("token", ""), self.state
        token = state.tokens.get(name) if name else None
        call = _call_of(endpoint, params, token.alias if token else None, state.day)
        self._calls += 1
        number = self._calls
        state.ledger.begin()
        # A client that disconnects before the response is ready is billed, as with the real API.
        outcome, answered, billed = "left", False, False
        admitted = False
        try:
            code, wait = (100, 0.0) if token is None else token.admit(endpoint, state.day, time.monotonic())
            admitted = billed = code == 0
            if state.latency or state.jitter:
                await asyncio.sleep((state.latency + random.random() * state.jitter) / 1000)
            if code:
                outcome = str(code)
                answer = Answer(code, MESSAGES[code])
                return await self._send(request, answer, call.identity, number, retry_after=wait)
            fault = state.faults.choose(call.identity, endpoint, str(call.page or call.key))
            answer, outcome = self._answer(call, params, name, fault, number)
            usable = answer.code == 0 and outcome != "inner"
            if outcome in self._sender.faults:
                billed = outcome in _BILLED_FAULTS
                body = self.answers.envelope(answer, call.identity, number)
                return await self._sender.faults[outcome](request, body)
            billed = answer.code == 0 or outcome in _BILLED_CODES
            response = await self._send(request, answer, call.identity, number)
            answered = usable and request.transport is not None and not request.transport.is_closing()
            return response
        finally:
            if admitted and token is not None:
                token.settle(call.day, answered=answered, billed=billed)
            state.ledger.end(call, outcome, answered=answered, billed=billed)

    def _answer(
        self, call: Call, params: dict[str, str], token: str, fault: str | None, number: int
    ) -> tuple[Answer, str]:
        """Return the answer and its outcome for the ledger."""
        if fault is not None and fault.lstrip("-").isdigit():
            code = int(fault)
            return Answer(code, MESSAGES.get(code, "Unknown error")), fault
        if fault == "echo":
            return Answer(301, f"{MESSAGES[301]} request: token={token}"), fault
        if fault == "inner":
            data = b'{"base_resp":{"status_code":3,"status_message":"service busy"}}'
            return Answer(0, MESSAGES[0], data), fault
        answer = self.answers.answer(call.endpoint, params, call.day, number)
        if answer.code and fault not in WIRE_FAULTS:
            return answer, str(answer.code)
        if fault in CONTENT_FAULTS:
            answer = Answer(0, answer.message, spoil.spoil(fault, answer.data, self.answers.other_id(params)))
        return answer, fault or "0"

    async def _send(
        self, request: web.BaseRequest, answer: Answer, identity: int, number: int, *, retry_after: float = 0.0
    ) -> web.StreamResponse:
        body = self.answers.envelope(answer, identity, number)
        return await self._sender.send(request, answer.code, body, math.ceil(retry_after))

    async def _balance(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        token = self.state.tokens.get(name) if name else None
        if token is None or token.spec.invalid:
            answer = Answer(100, MESSAGES[100])
        else:
            data = f'{{"balance":"{token.account.yuan()}","currency":"CNY"}}'
            answer = Answer(0, MESSAGES[0], data.encode())
        self._calls += 1
        return await self._send(request, answer, 0, self._calls)


def _call_of(endpoint: str, params: dict[str, str], token: str | None, day: int) -> Call:
    """Return the call's entry in the ledger; a missing parameter counts as its default value."""
    page: int | None = None
    platform: str | None = None
    if endpoint == SEARCH.name:
        number = params.setdefault("page", "1")
        page = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None
        key = "&".join(f"{name}={value}" for name, value in sorted(params.items()) if name != "page")
    else:
        platform = params.setdefault("platform", "SHORT_VIDEO")
        key = params.get("oAuthorId", "")
    request = repr((endpoint, sorted(params.items()))).encode()
    identity = int.from_bytes(hashlib.blake2b(request, digest_size=8).digest(), "little")
    return Call(time.time(), endpoint, key, page, platform, token, identity, day)
