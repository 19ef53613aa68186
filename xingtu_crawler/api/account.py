"""The account endpoint, which returns the balance. It is free, and not every environment has it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from urllib.parse import quote

import aiohttp
from yarl import URL

from xingtu_crawler.api.proxies import Proxy

BALANCE_PATH = "/user/get-balance"
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_MAX_BYTES = 100_000
_MAX_EXPONENT = 15
"""The largest power of ten in a balance; larger ones cannot be money, and could overflow."""

Change = tuple[Decimal, Decimal]
"""A balance before and after the crawl."""


def spent(named: Iterable[Change], unnamed: Iterable[Change]) -> Decimal:
    """Return the sum spent by named accounts and by tokens without an account name.

    Tokens without a name may share an account. Those with the same balance before and after count once.
    """
    changes = list(named)
    changes += set(unnamed) - set(changes)
    return sum((before - after for before, after in changes), Decimal(0))


async def balance(base_url: str, token: str, proxy: Proxy | None = None) -> Decimal | None:
    """Return the balance of a token's account in its currency; None if the endpoint returns no balance.

    `proxy`: the proxy on the way to the API. Errors are not passed on, because they contain the token.
    """
    url = URL(f"{base_url}{BALANCE_PATH}?token={quote(token, safe='')}", encoded=True)
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(
                url,
                allow_redirects=False,
                proxy=proxy.url if proxy else None,
                proxy_headers=proxy.headers if proxy else None,
            ) as response,
        ):
            return parse_balance(await _read(response))
    except (aiohttp.ClientError, OSError, ValueError):
        return None


def parse_balance(body: bytes) -> Decimal | None:
    """Return the balance in a response body; None if there is none."""
    try:
        document = json.loads(body)
        if int(document["code"]) != 0:
            return None
        amount = Decimal(str(document["data"]["balance"]))
    except (ValueError, LookupError, TypeError, RecursionError, InvalidOperation, OverflowError):
        return None
    return amount if amount.is_finite() and abs(amount.adjusted()) <= _MAX_EXPONENT else None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the body; raise `ValueError` if it is too long."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise ValueError("too long")
    return bytes(body)
