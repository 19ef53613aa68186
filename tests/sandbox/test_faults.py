"""The choice of faults: by rate, which depends on (seed, call, attempt) only, or fixed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.client import Start
from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox.faults import Faults, check_rates, parse_failures, parse_rates

CODES = ["100", "201", "202", "300", "301", "302", "303", "400", "404", "500", "503", "600", "601", "602", "777"]


@pytest.mark.parametrize("code", CODES)
async def test_every_code_can_be_injected(start: Start, code: str) -> None:
    client = await start("--fault", f"{code}=1")
    envelope = await client.envelope("base_info")
    assert int(envelope["code"]) == int(code)
    assert envelope["data"] is None
    assert envelope["message"]
    ledger = await client.page("/__ledger")
    assert ledger["by_code"] == {code: 1}
    assert ledger["answered"] == 0
    assert ledger["billed"] == (code in {"201", "202"})


async def test_inner_status(start: Start) -> None:
    client = await start("--fault", "inner=1")
    envelope = await client.envelope("rec_videos")
    assert int(envelope["code"]) == 0
    assert envelope["data"]["base_resp"]["status_code"] != 0
    ledger = await client.page("/__ledger")
    assert (ledger["answered"], ledger["billed"]) == (0, 1)


async def test_a_fixed_fault_affects_only_its_endpoint_and_key(start: Start) -> None:
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


def test_a_fixed_fault_takes_precedence_over_rates() -> None:
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


@pytest.mark.parametrize("spec", ["search=301", "search:=301", "unknown:1=301", "search:1=what", "search:1"])
def test_malformed_failures_are_one_line(spec: str) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_failures([spec])
    assert "\n" not in str(caught.value)
