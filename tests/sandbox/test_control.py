"""The sandbox's own pages: `/__ledger`, `/__ledger/calls` and `/__control`."""

from __future__ import annotations

import pytest

from tests.sandbox.client import Start


async def test_control_changes_a_running_sandbox(start: Start) -> None:
    client = await start("--authors", "300")
    before = (await client.envelope("search"))["data"]
    status, state = await client.control(day=30, faults={"301": 0.5}, rate=7, latency=1, jitter=2, reset_ledger=True)
    assert (status, state) == (200, {"day": 30, "faults": {"301": 0.5}, "rate": 7, "latency": 1, "jitter": 2})
    assert (await client.page("/__ledger"))["calls"] == 0
    await client.control(faults={}, rate=0, latency=0, jitter=0)
    after = (await client.envelope("search"))["data"]
    followers = [[a["attribute_datas"]["follower"] for a in data["authors"]] for data in (before, after)]
    assert [a["star_id"] for a in before["authors"]] == [a["star_id"] for a in after["authors"]]
    assert followers[0] != followers[1]
    await client.control(tokens={"t": "invalid"})
    assert [await client.code("search", token=token) for token in ("t", "u")] == [100, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"day": -1},
        {"day": "1"},
        {"day": True},
        {"faults": {"x": 1}},
        {"faults": [1]},
        {"rate": "fast"},
        {"latency": None},
        {"tokens": {"t": "rate:x"}},
        {"tokens": {"t": "account:a,balance:1", "u": "account:a,balance:2"}},
        {"reset_ledger": 1},
        {"unheard": 1},
    ],
)
async def test_a_refused_change_changes_nothing(start: Start, changes: dict[str, object]) -> None:
    client = await start()
    before = client.sandbox.state.summary()
    status, answer = await client.control(jitter=5, **changes)
    assert status == 400
    assert "\n" not in answer["error"]
    assert client.sandbox.state.summary() == before


async def test_a_body_that_is_no_json_object_is_refused(start: Start) -> None:
    client = await start()
    for body in (b"", b"{", b"[1]"):
        async with client.http.post(client.base_url + "/__control", data=body) as response:
            assert (response.status, await response.json()) == (
                400,
                {"error": "the request body is not a JSON object."},
            )


async def test_pages_that_do_not_exist_are_named(start: Start) -> None:
    client = await start()
    for method, path in (("GET", "/__control"), ("POST", "/__ledger"), ("GET", "/__nothing")):
        async with client.http.request(method, client.base_url + path) as response:
            assert response.status == 404
            assert f"{method} {path}" in await response.text()


async def test_a_range_of_calls_that_is_no_number_is_refused(start: Start) -> None:
    client = await start()
    async with client.http.get(client.base_url + "/__ledger/calls?after=-1") as response:
        assert (response.status, await response.json()) == (400, {"error": "after is '-1': it must be an integer."})
