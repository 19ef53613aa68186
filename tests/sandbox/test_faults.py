"""Every fault does what its name says, and when is decided by (seed, call, attempt) alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from harness import PATIENCE_S
from hypothesis import given
from hypothesis import strategies as st
from sandbox.sandbox_client import Start, starter

from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox.faults import Faults, check_rates, parse_failures, parse_rates

CODES = ["100", "201", "202", "300", "301", "302", "303", "400", "404", "500", "503", "600", "601", "602", "777"]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with starter() as begin:
        yield begin


@pytest.mark.parametrize("code", CODES)
async def test_any_code_on_demand(start: Start, code: str) -> None:
    client = await start("--fault", f"{code}=1")
    envelope = await client.ask("base_info")
    assert int(envelope["code"]) == int(code)
    assert envelope["data"] is None
    assert envelope["message"]
    ledger = await client.page("/__ledger")
    assert ledger["by_code"] == {code: 1}
    assert ledger["answered"] == 0
    assert ledger["billed"] == (code in {"201", "202"})


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
    # aiohttp's client asks again by itself, once, when a connection closes without an answer.
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
    envelope = await client.ask("search", token=token, page="2")
    assert int(envelope["code"]) == 301
    assert token in envelope["message"]


async def test_inner_status(start: Start) -> None:
    client = await start("--fault", "inner=1")
    envelope = await client.ask("rec_videos")
    assert int(envelope["code"]) == 0
    assert envelope["data"]["base_resp"]["status_code"] != 0
    ledger = await client.page("/__ledger")
    assert (ledger["answered"], ledger["billed"]) == (0, 1)


@pytest.mark.parametrize("endpoint", ["search", *DETAILS])
@pytest.mark.parametrize("fault", ["unknown_field", "deep", "surrogate", "bigint", "dotted", "bad_type"])
async def test_odd_content_comes_with_code_0(start: Start, endpoint: str, fault: str) -> None:
    client = await start()
    params = {"page": "1"} if endpoint == "search" else {}
    plain = (await client.ask(endpoint, **params))["data"]
    await client.control(faults={fault: 1})
    _, _, body = await client.raw(endpoint, **params)
    ledger = await client.page("/__ledger")
    assert (ledger["answered"], ledger["by_code"]) == (2, {"0": 1, fault: 1})
    if fault == "deep":
        assert b'"sandbox_deep": ' + b"[" * 1_000 + b"]" * 1_000 in body
        return
    data = json.loads(body)["data"]
    assert data != plain
    text = json.dumps(data)
    expected = {
        "unknown_field": "sandbox_new_field",
        "surrogate": "\\ud83d",
        "bigint": str(2**70 + 1),
        "dotted": "$where",
        "bad_type": json.dumps("很多"),
    }
    assert expected[fault] in text


async def test_wrong_id_is_another_author(start: Start) -> None:
    client = await start("--fault", "wrong_id=1")
    asked = client.population.star_id(0)
    base: dict[str, Any] = (await client.ask("base_info"))["data"]
    assert base["id"] != asked
    assert client.population.index_of(base["id"]) is not None
    prices = (await client.ask("marketing_info"))["data"]["price_info"]
    assert prices
    assert all(price["author_id"] not in {asked, ""} for price in prices)


async def test_sticky_failures_stay_and_hit_nothing_else(start: Start) -> None:
    client = await start("--fail", "search:2=500")
    sick = client.population.star_id(3)
    other = await start("--fail", f"rec_videos:{sick}=301")
    assert [await client.code("search", page=page) for page in ("1", "2", "2", "3")] == [0, 500, 500, 0]
    assert [await other.code("rec_videos", oAuthorId=sick) for _ in range(3)] == [301, 301, 301]
    assert await other.code("base_info", oAuthorId=sick) == 0
    assert await other.code("rec_videos") == 0


async def test_faults_depend_on_call_and_attempt_not_on_order(start: Start) -> None:
    async def outcomes(order: list[int]) -> dict[int, list[int]]:
        client = await start("--fault", "301=0.4", "--fault", "503=0.2", "--seed", "9")
        seen: dict[int, list[int]] = {index: [] for index in order}
        for _ in range(3):
            for index in order:
                seen[index].append(await client.code("base_info", oAuthorId=client.population.star_id(index)))
        return seen

    there, back = await outcomes(list(range(30))), await outcomes(list(range(29, -1, -1)))
    assert there == back
    flat = [code for codes in there.values() for code in codes]
    assert {0, 301, 503} == set(flat)
    assert any(len(set(codes)) > 1 for codes in there.values())


@given(rate=st.floats(0, 1), seed=st.integers(0, 2**60))
def test_rates_are_kept(rate: float, seed: int) -> None:
    faults = Faults(seed, {"301": rate}, {})
    hit = sum(faults.choose(identity, "search", "1") is not None for identity in range(2_000))
    assert abs(hit / 2_000 - rate) < 0.06


def test_sticky_goes_before_rates() -> None:
    faults = Faults(1, {"301": 1.0}, {("search", "4"): "html"})
    assert faults.choose(1, "search", "4") == "html"
    assert faults.choose(1, "search", "5") == "301"


@pytest.mark.parametrize("spec", ["301", "=0.1", "nonsense=0.1", "0=0.1", "301=2", "301=x", "301=nan", "301=-1"])
def test_malformed_faults_are_one_line(spec: str) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_rates([spec])
    assert "\n" not in str(caught.value)


def test_rates_above_one_together_are_refused() -> None:
    with pytest.raises(SandboxError, match="more than 1 together"):
        check_rates({"301": 0.6, "302": 0.6})


@pytest.mark.parametrize("spec", ["search=301", "search:=301", "nobody:1=301", "search:1=what", "search:1"])
def test_malformed_failures_are_one_line(spec: str) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_failures([spec])
    assert "\n" not in str(caught.value)
