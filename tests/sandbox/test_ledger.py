"""The ledger of calls."""

from __future__ import annotations

import asyncio
import json

from tests.harness import PATIENCE_S
from tests.sandbox.client import Start


async def test_the_ledger_records_every_call_and_no_token(start: Start) -> None:
    client = await start("--fail", "search:2=301")
    star = client.population.star_id(1)
    await client.code("search", keyword="美食", page="1")
    await client.code("search", keyword="美食", page="2")
    await client.code("base_info", oAuthorId=star, token="second-token")
    await client.code("base_info", oAuthorId=star)
    await client.code("base_info", oAuthorId=star, platform="SHORT_VIDEO")
    await client.code("base_info", oAuthorId=star, platform="LIVE_STREAMING")
    ledger, calls = await client.page("/__ledger"), await client.page("/__ledger/calls")
    assert {name: ledger[name] for name in ("calls", "answered", "billed", "answered_twice")} == {
        "calls": 6,
        "answered": 5,
        "billed": 5,
        "answered_twice": 2,
    }
    assert ledger["by_endpoint"] == {"search": {"calls": 2, "answered": 1}, "base_info": {"calls": 4, "answered": 4}}
    assert ledger["by_token"]["token-2"] == {"calls": 1, "answered": 1, "billed": 1, "code_0": 1}
    assert ledger["first_at"] <= ledger["last_at"]
    assert [call["n"] for call in calls] == [1, 2, 3, 4, 5, 6]
    assert calls[1] | {"at": 0} == {
        "n": 2,
        "at": 0,
        "endpoint": "search",
        "key": "keyword=美食",
        "page": 2,
        "platform": None,
        "token": "token-1",
        "outcome": "301",
        "answered": False,
    }
    assert (calls[5]["key"], calls[5]["platform"], calls[5]["page"]) == (star, "LIVE_STREAMING", None)
    assert [call["n"] for call in await client.page("/__ledger/calls?after=2&limit=3")] == [3, 4, 5]
    assert "secret-token" not in json.dumps([ledger, calls])
    assert "second-token" not in json.dumps([ledger, calls])


async def test_the_same_request_on_another_day_is_not_answered_twice(start: Start) -> None:
    client = await start()
    await client.code("base_info")
    await client.control(day=1)
    await client.code("base_info")
    assert (await client.page("/__ledger"))["answered_twice"] == 0


async def test_calls_in_flight_and_disconnected_clients_are_counted(start: Start) -> None:
    client = await start("--latency", "300")
    await asyncio.gather(*(client.code("search", page=str(page)) for page in range(1, 8)))
    assert (await client.page("/__ledger"))["max_in_flight"] == 7
    await client.control(latency=60_000)
    call = asyncio.create_task(client.code("search"))
    while client.sandbox.state.ledger.in_flight == 0:
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait({call})
    async with asyncio.timeout(PATIENCE_S):
        while (ledger := await client.page("/__ledger"))["calls"] < 8:
            await asyncio.sleep(0)
    assert ledger["by_code"] == {"0": 7, "left": 1}
    assert ledger["answered"] == 7
