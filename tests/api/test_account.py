"""The balance of an account, and the sum that a crawl spent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api.account import Change, balance, parse_balance, spent


def change(before: int, after: int) -> Change:
    return Decimal(before), Decimal(after)


@pytest.mark.parametrize(
    ("named", "unnamed", "total"),
    [
        ([], [], 0),
        ([change(10, 8)], [], 2),
        ([], [change(10, 8), change(20, 17)], 5),
        ([], [change(10, 8), change(10, 8)], 2),  # two tokens of one account
        ([], [change(10, 8), change(10, 7)], 5),  # two accounts topped up by as much
        ([change(10, 8), change(10, 8)], [], 4),  # named as two accounts
        ([change(10, 8)], [change(10, 8)], 2),
    ],
)
def test_every_account_counts_once(named: list[Change], unnamed: list[Change], total: int) -> None:
    assert spent(named, unnamed) == total


@asynccontextmanager
async def endpoint(*chunks: bytes, status: int = 200) -> AsyncIterator[tuple[str, list[str]]]:
    """Yield the base URL of a server that sends these chunks one after the other, and the paths that it received."""
    paths: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        paths.append(request.path_qs)
        response = web.StreamResponse(status=status, headers={"Location": "http://127.0.0.1:1/"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0.01)  # a packet of its own
        await response.write_eof()
        return response

    server = await asyncio.get_running_loop().create_server(web.Server(handle, access_log=None), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", paths


async def test_the_token_goes_into_the_query() -> None:
    async with endpoint(b'{"code":0,"data":{"balance":"123.4500","currency":"CNY"}}') as (url, paths):
        assert await balance(url, "a+/&=b") == Decimal("123.4500")
    assert paths == ["/user/get-balance?token=a%2B%2F%26%3Db"]


async def test_a_body_in_several_packets_is_read_to_its_end() -> None:
    async with endpoint(b'{"code":0,"data":', b'{"balance":', b'"7.5"}}') as (url, _):
        assert await balance(url, "token") == Decimal("7.5")


async def test_a_redirect_is_not_followed_and_a_long_body_not_read() -> None:
    async with endpoint(b"moved", status=302) as (url, _):
        assert await balance(url, "token") is None
    async with endpoint(b'{"code":0,"data":{"balance":"1"}}' + b" " * 200_000) as (url, _):
        assert await balance(url, "token") is None


async def test_a_closed_port_is_no_error(unused_tcp_port: int) -> None:
    assert await balance(f"http://127.0.0.1:{unused_tcp_port}", "token") is None


@pytest.mark.parametrize(
    ("body", "amount"),
    [
        (b'{"code":0,"data":{"balance":12}}', "12"),
        (b'{"code":"0","data":{"balance":"-0.05"}}', "-0.05"),
        (b'{"code":0,"data":{"balance":0}}', "0"),
        (b'{"code":100,"data":{"balance":"1"}}', None),
        (b'{"code":0,"data":null}', None),
        (b'{"code":0,"data":{"balance":null}}', None),
        (b'{"code":0,"data":{"balance":"NaN"}}', None),
        (b'{"code":0,"data":{"balance":"Infinity"}}', None),
        (b'{"code":Infinity,"data":{"balance":"1"}}', None),
        (b'{"code":0,"data":{"balance":"1e999999999999"}}', None),
        (b"<html>", None),
        (b"[" * 99_999, None),
    ],
)
def test_a_balance_is_a_finite_amount(body: bytes, amount: str | None) -> None:
    assert parse_balance(body) == (None if amount is None else Decimal(amount))


@given(st.decimals(allow_nan=None, allow_infinity=None) | st.text())
def test_any_two_balances_can_be_subtracted(value: object) -> None:
    amount = parse_balance(f'{{"code":0,"data":{{"balance":"{value}"}}}}'.encode(errors="replace"))
    if amount is not None:
        assert spent([(amount, -amount)], []) == amount - -amount
