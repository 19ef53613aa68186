"""The account endpoint: what is left to spend. It costs nothing and answers not everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from urllib.parse import quote

import aiohttp

BALANCE_PATH = "/user/get-balance"
_TIMEOUT = aiohttp.ClientTimeout(total=10)


Change = tuple[Decimal, Decimal]
"""A balance before and after."""


def spent(named: Iterable[Change], unnamed: Iterable[Change]) -> Decimal:
    """Return what was spent, given the balances of named accounts and of tokens whose account nobody has named.

    Of the latter, what had the same balance before and has the same after is one account, and counts once.
    """
    changes = list(named)
    changes += set(unnamed) - set(changes)
    return sum((before - after for before, after in changes), Decimal(0))


async def balance(base_url: str, token: str) -> Decimal | None:
    """Return the balance of a token's account in its currency; None where the endpoint does not answer.

    Nothing of an error is passed on: it would show the token.
    """
    url = f"{base_url}{BALANCE_PATH}?token={quote(token, safe='')}"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            body = json.loads(await response.content.read(100_000))
        if int(body["code"]) != 0:
            return None
        return Decimal(str(body["data"]["balance"]))
    except (aiohttp.ClientError, OSError, ValueError, LookupError, TypeError, RecursionError, InvalidOperation):
        return None
