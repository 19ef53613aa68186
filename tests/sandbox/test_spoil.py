"""The content faults: answers with code 0 and unexpected contents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sandbox.client import Start
from xingtu_crawler.api.endpoints import DETAILS


@pytest.mark.parametrize("endpoint", ["search", *DETAILS])
@pytest.mark.parametrize("fault", ["unknown_field", "deep", "surrogate", "bigint", "dotted", "bad_type"])
async def test_odd_content_comes_with_code_0(start: Start, endpoint: str, fault: str) -> None:
    client = await start()
    params = {"page": "1"} if endpoint == "search" else {}
    plain = (await client.envelope(endpoint, **params))["data"]
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
    requested = client.population.star_id(0)
    base: dict[str, Any] = (await client.envelope("base_info"))["data"]
    assert base["id"] != requested
    assert client.population.index_of(base["id"]) is not None
    prices = (await client.envelope("marketing_info"))["data"]["price_info"]
    assert prices
    assert all(price["author_id"] not in {requested, ""} for price in prices)
