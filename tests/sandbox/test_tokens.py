"""The limits of tokens: rate, quota, balances, permissions; first as state machines, then over HTTP."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.client import Start
from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox.tokens import LeakyBucket, Tokens, parse_spec, parse_tokens


@given(
    rate=st.floats(0.5, 1_000),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_the_bucket_never_allows_more_than_rate_and_burst(rate: float, gaps: list[float]) -> None:
    bucket, now, passed = LeakyBucket(rate), 100.0, []
    for gap in gaps:
        now += gap / rate
        wait = bucket.wait(now)
        assert wait >= 0
        if wait == 0:
            passed.append(now)
    burst = max(1.0, rate / 5)
    for first, begin in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + (passed[last] - begin) * rate + 1e-3


def test_the_bucket_allows_its_burst_and_returns_the_wait() -> None:
    bucket = LeakyBucket(50)
    assert [bucket.wait(7.0) for _ in range(10)] == [0.0] * 10
    wait = bucket.wait(7.0)
    assert wait == pytest.approx(0.02)
    assert bucket.wait(7.0 + wait + 1e-6) == 0.0


def test_a_refused_call_is_not_billed_and_uses_no_quota() -> None:
    tokens = Tokens(parse_tokens(["a=quota:2,rate:5"]), 0)
    token = tokens.get("a")
    codes = [token.admit("search", 0, float(second))[0] for second in range(4)]
    assert codes == [0, 0, 303, 303]
    assert token.admit("search", 0, 3.0)[0] == 302
    assert token.billed == 2
    assert token.admit("search", 1, 4.0)[0] == 0, "a new day has a new quota"


def test_a_call_without_a_response_uses_no_quota() -> None:
    token = Tokens(parse_tokens(["a=quota:1,balance:1"]), 0).get("a")
    assert token.admit("search", 0, 0.0)[0] == 0
    assert token.admit("search", 0, 0.0)[0] == 303
    token.settle(0, answered=False, billed=False)
    assert token.admit("search", 0, 0.0)[0] == 0
    token.settle(0, answered=False, billed=True)
    assert token.admit("search", 0, 0.0)[0] == 601


def test_tokens_of_one_account_share_its_balance() -> None:
    tokens = Tokens(parse_tokens(["a=account:x,balance:3", "b=account:x", "c=balance:1"]), 0)
    codes = [tokens.get(name).admit("search", 0, 0.0)[0] for name in ("a", "b", "a", "b", "a", "c", "c", "d")]
    assert codes == [0, 0, 0, 601, 601, 0, 601, 0]
    assert tokens.get("b").account.yuan() == "0.0000"


def test_a_name_can_contain_an_equals_sign() -> None:
    assert parse_tokens(["a=b&c%=rate:5,deny:base_info,deny:search"])["a=b&c%"] == parse_spec(
        "rate:5,deny:search,deny:base_info"
    )


@pytest.mark.parametrize(
    "spec", ["a", "=invalid", "a=rate:fast", "a=rate:-1", "a=quota:x", "a=deny:all", "a=free", "a=invalid:1", "a=quota"]
)
def test_malformed_tokens_are_one_line_without_the_token(spec: str) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_tokens([spec.replace("a", "S3CRET", 1) if spec.startswith("a") else spec])
    assert "\n" not in str(caught.value)
    assert "S3CRET" not in str(caught.value)


def test_two_balances_of_one_account_are_refused() -> None:
    with pytest.raises(SandboxError, match="two balances"):
        Tokens(parse_tokens(["a=account:x,balance:3", "b=account:x,balance:4"]), 0)


async def test_missing_empty_and_invalid_tokens_get_100(start: Start) -> None:
    client = await start("--token", "bad=invalid")
    assert [await client.code("search", token=token) for token in (None, "", "bad", "any")] == [100, 100, 100, 0]
    ledger = await client.page("/__ledger")
    assert ledger["billed"] == 1
    assert set(ledger["by_token"]) == {"no token", "token-1", "token-2"}


async def test_permission_and_spend_limit(start: Start) -> None:
    client = await start("--token", "a=deny:base_info,spend:1")
    codes = [await client.code(name, token="a") for name in ("base_info", "rec_videos", "rec_videos")]
    assert codes == [600, 0, 602]


async def test_a_concurrent_burst_cannot_overdraw_a_quota(start: Start) -> None:
    client = await start("--token", "a=quota:5", "--latency", "20")
    stars = [client.population.star_id(i) for i in range(30)]
    codes = await asyncio.gather(*(client.code("base_info", token="a", oAuthorId=star) for star in stars))
    assert sorted(codes) == [0] * 5 + [303] * 25
    assert (await client.page("/__ledger"))["answered"] == 5


async def test_a_302_is_never_billed(start: Start) -> None:
    client = await start("--rate", "5", "--token", "free=rate:0", "--http-status")
    answers = [await client.raw("search") for _ in range(6)]
    refused = [headers for status, headers, _ in answers if status == 429]
    assert 4 <= len(refused) <= 5
    assert all(int(headers["Retry-After"]) >= 1 for headers in refused)
    ledger = await client.page("/__ledger")
    assert ledger["by_code"]["302"] == len(refused)
    assert ledger["billed"] == 6 - len(refused)
    assert [await client.code("search", token="free") for _ in range(10)] == [0] * 10


async def test_the_balance_falls_with_billed_calls(start: Start) -> None:
    client = await start("--token", "a=balance:10", "--fail", "search:2=301")

    async def balance() -> str:
        page = await client.page("/user/get-balance?token=a")
        assert int(page["code"]) == 0
        assert page["data"]["currency"] == "CNY"
        return str(page["data"]["balance"])

    assert await balance() == "0.5000"
    await client.code("search", token="a", page="1")
    await client.code("search", token="a", page="2")
    assert await balance() == "0.4500"
    assert (await client.page("/user/get-balance"))["code"] == 100
    assert (await client.page("/__ledger"))["calls"] == 2, "asking for the balance is no metered call"


async def test_wrong_parameters_are_not_billed(start: Start) -> None:
    client = await start()
    missing = client.population.star_id(client.population.size)
    assert await client.code("base_info", oAuthorId=missing) == 404
    assert await client.code("base_info", oAuthorId="abc") == 400
    assert await client.code("base_info", platform="RADIO") == 400
    assert await client.code("search", followerRange="many") == 400
    ledger = await client.page("/__ledger")
    assert (ledger["billed"], ledger["answered"]) == (0, 0)
