"""The faults on the wire: what a client receives, and what the ledger records."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from tests.harness import PATIENCE_S
from tests.sandbox.client import Start
from xingtu_crawler.api.endpoints import SEARCH


async def test_html_and_garbage(start: Start) -> None:
    client = await start("--fail", "search:1=html", "--fail", "search:2=garbage")
    status, headers, body = await client.raw("search", page="1")
    assert (status, headers["Content-Type"].partition(";")[0], body[:9]) == (200, "text/html", b"<!DOCTYPE")
    status, _, body = await client.raw("search", page="2")
    assert status == 200
    with pytest.raises(ValueError, match=r"."):
        json.loads(body)


async def test_cut_reset_and_timeout(start: Start) -> None:
    client = await start(
        *(part for n, name in enumerate(("cut", "reset", "timeout"), 1) for part in ("--fail", f"search:{n}={name}"))
    )
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.raw("search", page="1")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.raw("search", page="2")
    call = asyncio.create_task(client.raw("search", page="3"))
    while client.sandbox.state.ledger.in_flight == 0:
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait({call})
    async with asyncio.timeout(PATIENCE_S):
        while (ledger := await client.page("/__ledger"))["calls"] < 4:
            await asyncio.sleep(0)
    # aiohttp's client sends a request once more if a connection closes without a response.
    assert ledger["by_code"] == {"cut": 1, "reset": 2, "timeout": 1}
    assert (ledger["answered"], ledger["billed"]) == (0, 2)
    assert client.sandbox.state.ledger.in_flight == 0


async def test_redirect_and_echo_repeat_the_token(start: Start) -> None:
    token = "a+%/&= b"
    client = await start("--fail", "search:1=redirect", "--fail", "search:2=echo")
    status, headers, _ = await client.raw("search", token=token, page="1")
    assert status == 302
    assert headers["Location"].startswith(client.base_url + SEARCH.path)
    assert parse_qs(urlsplit(headers["Location"]).query)["token"] == [token]
    envelope = await client.envelope("search", token=token, page="2")
    assert int(envelope["code"]) == 301
    assert token in envelope["message"]
