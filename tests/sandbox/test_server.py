"""The sandbox over HTTP: envelope, values that change with every call, HTTP status, gzip."""

from __future__ import annotations

import gzip
import json
import logging

import aiohttp
import pytest

from tests.sandbox.client import Start
from xingtu_crawler.api.endpoints import DETAILS, SEARCH


async def test_the_envelope(start: Start) -> None:
    client = await start()
    envelopes = [
        await client.envelope("base_info", oAuthorId=client.population.star_id(index), platform="PICTURE_TEXT")
        for index in range(200)
    ]
    assert {tuple(envelope) for envelope in envelopes} == {("code", "message", "data", "recordTime", "requestId")}
    assert {str(envelope["code"]) for envelope in envelopes} == {"0"}
    assert {type(envelope["code"]) for envelope in envelopes} == {int, str}
    assert {type(envelope["recordTime"]) for envelope in envelopes} == {str, type(None)}
    assert len({envelope["requestId"] for envelope in envelopes}) == 200


async def test_the_same_request_gets_the_same_data_except_for_signatures(start: Start) -> None:
    client, other = await start(), await start()
    for endpoint in DETAILS:
        one, two, third = [(await each.envelope(endpoint))["data"] for each in (client, client, other)]
        if endpoint == "base_info":
            assert one["avatar_uri"] != two["avatar_uri"]
            assert one["avatar_uri"].partition("?")[0] == two["avatar_uri"].partition("?")[0]
            assert one["modify_time"] != two["modify_time"]
            for data in (one, two, third):
                del data["avatar_uri"], data["modify_time"]
        assert one == two == third


async def test_a_search_page(start: Start) -> None:
    client = await start("--authors", "50")
    pages = [(await client.envelope("search", page=str(page)))["data"] for page in (1, 2, 3, 4)]
    assert [len(page["authors"]) for page in pages] == [20, 20, 10, 0]
    assert [page["pagination"] for page in pages] == [
        {"has_more": more, "limit": 20, "page": page, "total_count": 50}
        for page, more in enumerate((True, True, False, False), 1)
    ]
    stars = [author["star_id"] for page in pages for author in page["authors"]]
    assert stars == [client.population.star_id(index) for index in range(50)]
    again = (await client.envelope("search"))["data"]["authors"][0]["attribute_datas"]["avatar_uri"]
    assert again != pages[0]["authors"][0]["attribute_datas"]["avatar_uri"]


@pytest.mark.parametrize(
    ("code", "status"), [(100, 401), (302, 429), (303, 429), (400, 400), (500, 500), (503, 503), (600, 403), (601, 403)]
)
async def test_http_status_mode(start: Start, code: int, status: int) -> None:
    new, old = await start("--http-status", "--fault", f"{code}=1"), await start("--fault", f"{code}=1")
    assert (await new.raw("search"))[0] == status
    assert (await old.raw("search"))[0] == 200
    assert await new.code("search") == code


async def test_gzip_for_clients_that_accept_it(start: Start) -> None:
    client = await start("--gzip")
    _, headers, body = await client.raw("search", accept="gzip, deflate")
    assert headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(body))["data"]["authors"]
    _, headers, body = await client.raw("search")
    assert "Content-Encoding" not in headers
    assert json.loads(body)["data"]["authors"]


async def test_unknown_paths_and_methods(start: Start) -> None:
    client = await start()
    async with client.http.get(client.base_url + "/nowhere?token=secret-token") as response:
        assert response.status == 404
        assert "secret-token" not in await response.text()
    async with client.http.post(client.base_url + SEARCH.path) as response:
        assert response.status == 405
    assert (await client.page("/__ledger"))["calls"] == 0


async def test_nothing_is_logged(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client = await start("--fail", "search:2=reset")
    await client.code("search")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.code("search", page="2")
    assert not caplog.records
