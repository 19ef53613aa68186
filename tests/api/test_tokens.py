"""The token pool: which token makes the next call, and what happens to a token that the API refuses."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api.codes import Action
from xingtu_crawler.api.pace import PaceController
from xingtu_crawler.api.tokens import (
    Denial,
    Denied,
    Exhausted,
    Lease,
    TokenPool,
    TokenState,
    Unavailable,
    Wait,
    next_quota_day,
)
from xingtu_crawler.exceptions import TokenError

NOON = datetime(2026, 3, 8, 4, 0, tzinfo=UTC)  # in Beijing
MIDNIGHT = datetime(2026, 3, 8, 16, 0, tzinfo=UTC)  # the next one in Beijing
REFUSALS = {
    Action.RETIRE_TOKEN: TokenState.RETIRED,
    Action.PARK_TOKEN: TokenState.PARKED,
    Action.DRAIN_ACCOUNT: TokenState.DRAINED,
    Action.SPEND_TOKEN: TokenState.SPENT,
}


def pool_of(text: str, max_rate: float | None = None) -> TokenPool:
    return TokenPool.from_text(text, max_rate=max_rate)


def alias_of(pool: TokenPool, secret: str) -> str:
    return next(token.alias for token in pool if token.secret == secret)


def states(pool: TokenPool) -> dict[str, TokenState]:
    return {token.secret: token.state for token in pool}


def leased(pool: TokenPool, endpoint: str = "search", *, now: float = 0.0, today: datetime = NOON) -> str | None:
    """Return the secret of the token that is leased now; None if none is."""
    decision = pool.lease(endpoint, now=now, today=today)
    return pool.secret(decision.alias) if isinstance(decision, Lease) else None


def refuse(pool: TokenPool, secret: str, action: Action, endpoint: str = "search", sent_at: datetime = NOON) -> bool:
    return pool.refused(alias_of(pool, secret), action, endpoint=endpoint, sent_at=sent_at)


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("one", ["one"]),
        (" one \n", ["one"]),
        ("one,two", ["one", "two"]),
        ("one, two ,,three,", ["one", "two", "three"]),
        ("# production\none\r\n\n  # spare\ntwo\n", ["one", "two"]),
        ("one,one,one", ["one"]),
        ("mine:one,mine:two", ["one", "two"]),
        (" mine : one ", ["one"]),
        ("a b", ["a b"]),
        ("中文token", ["中文token"]),
        ("a+%/&= \"x'", ["a+%/&= \"x'"]),
    ],
)
def test_tokens_are_read_from_text(text: str, secrets: list[str]) -> None:
    pool = pool_of(text)
    assert pool.secrets() == secrets
    assert [pool.secret(alias) for alias in pool.aliases()] == secrets
    assert len(pool) == len(secrets)


@pytest.mark.parametrize("text", ["", " ", ",", "\n\n", "# only a comment"])
def test_no_token_is_an_error(text: str) -> None:
    with pytest.raises(TokenError):
        pool_of(text)


@pytest.mark.parametrize("text", [":", "mine:", ":sesame", "mine: ,x", " :sesame"])
def test_a_token_without_its_name_or_secret_is_an_error_that_does_not_show_it(text: str) -> None:
    with pytest.raises(TokenError, match="ACCOUNT:TOKEN") as caught:
        pool_of(text)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("text", ["open\x00sesame", "\ufeffopen-sesame", "open\x1bsesame", "open-sesame\udcff"])
def test_a_token_with_invisible_characters_is_an_error_that_does_not_show_it(text: str) -> None:
    with pytest.raises(TokenError, match="control characters") as caught:
        pool_of(text)
    assert "sesame" not in str(caught.value)


def test_tokens_with_one_account_name_share_it_and_others_have_their_own() -> None:
    accounts = {token.secret: token.account for token in pool_of("mine:one,mine:two,yours:three,four,five")}
    assert accounts["one"] == accounts["two"] == "mine"
    assert accounts["three"] == "yours"
    assert len(set(accounts.values())) == 4


@pytest.mark.parametrize("text", ["mine:one,one", "one,mine:one", "mine:one,one,mine:one"])
def test_a_token_that_is_given_twice_keeps_its_account(text: str) -> None:
    (token,) = pool_of(text)
    assert token.account == "mine"


def test_a_token_with_two_accounts_is_an_error_that_shows_neither() -> None:
    with pytest.raises(TokenError, match="two account names") as caught:
        pool_of("sesame1:one,sesame2:one")
    assert "sesame" not in str(caught.value)


def test_a_token_is_never_shown() -> None:
    pool = pool_of("mine:open-sesame,second-secret")
    shown = f"{list(pool)!r} {pool!r} {pool.lease('search', now=0.0, today=NOON)!r} {vars(pool)!r}"
    assert "open-sesame" not in shown
    assert "second-secret" not in shown


def test_an_alias_is_the_same_in_every_run_and_contains_nothing_of_the_token() -> None:
    (token,) = pool_of("open-sesame")
    assert alias_of(pool_of("another,open-sesame"), "open-sesame") == token.alias
    assert token.alias.startswith("token-")
    assert "open" not in token.alias
    assert token.alias != alias_of(pool_of("open-sesamf"), "open-sesamf")


def test_calls_are_spread_by_free_capacity() -> None:
    pool = pool_of("slow,fast")
    for token in pool:
        token.pace = PaceController(max_rate=10.0 if token.secret == "slow" else 30.0)
    leases: Counter[str] = Counter()
    now = 0.0
    while now < 10.0:
        decision = pool.lease("search", now=now, today=NOON)
        if isinstance(decision, Lease):
            leases[pool.secret(decision.alias)] += 1
        else:
            assert isinstance(decision, Wait)
            assert decision.seconds > 0
            now += decision.seconds
    assert leases["slow"] == pytest.approx(100, abs=3)
    assert leases["fast"] == pytest.approx(300, abs=3)


def test_a_wait_is_exactly_as_long_as_it_has_to_be() -> None:
    pool = pool_of("one,two", max_rate=2.0)
    while isinstance(decision := pool.lease("search", now=100.0, today=NOON), Lease):
        pass
    assert isinstance(decision, Wait)
    assert isinstance(pool.lease("search", now=100.0 + decision.seconds * 0.99, today=NOON), Wait)
    assert isinstance(pool.lease("search", now=100.0 + decision.seconds * 1.01, today=NOON), Lease)


def test_the_other_tokens_make_the_calls_of_a_limited_one() -> None:
    pool = pool_of("one,two")
    pool.limited(alias_of(pool, "one"), now=0.0, sent_at=0.0, retry_after=60.0)
    for step in range(58):
        assert leased(pool, now=1.0 + step) == "two"
    assert {leased(pool, now=200.0) for _ in range(10)} >= {"one", "two"}


def test_successful_calls_speed_a_token_up() -> None:
    pool = pool_of("one")
    (token,) = pool
    before = token.pace.rate
    for step in range(20):
        pool.succeeded(token.alias, now=step / 50, sent_at=step / 50 - 0.1)
    assert token.pace.rate > before


@pytest.mark.parametrize(("action", "state"), REFUSALS.items())
def test_a_refused_token_is_not_leased_again(action: Action, state: TokenState) -> None:
    pool = pool_of("one,two")
    assert refuse(pool, "one", action)
    assert states(pool) == {"one": state, "two": TokenState.ACTIVE}
    assert {leased(pool, now=float(step)) for step in range(10)} == {"two"}


@pytest.mark.parametrize("action", REFUSALS)
def test_the_same_refusal_again_changes_nothing(action: Action) -> None:
    pool = pool_of("one,two")
    assert refuse(pool, "one", action)
    assert not refuse(pool, "one", action)


@pytest.mark.parametrize("first", [Action.RETIRE_TOKEN, Action.DRAIN_ACCOUNT, Action.SPEND_TOKEN])
@pytest.mark.parametrize("second", REFUSALS)
def test_a_final_state_stays_whatever_a_late_response_says(first: Action, second: Action) -> None:
    pool = pool_of("one")
    refuse(pool, "one", first)
    refuse(pool, "one", second)
    assert states(pool) == {"one": REFUSALS[first]}
    assert isinstance(pool.lease("search", now=0.0, today=NOON + timedelta(days=3)), Exhausted)


@pytest.mark.parametrize("action", [Action.RETIRE_TOKEN, Action.DRAIN_ACCOUNT, Action.SPEND_TOKEN])
def test_a_parked_token_that_is_refused_for_good_does_not_come_back(action: Action) -> None:
    pool = pool_of("one")
    refuse(pool, "one", Action.PARK_TOKEN)
    assert refuse(pool, "one", action)
    assert isinstance(pool.lease("search", now=0.0, today=NOON + timedelta(days=3)), Exhausted)


def test_a_parked_token_comes_back_at_midnight_in_beijing() -> None:
    pool = pool_of("one")
    refuse(pool, "one", Action.PARK_TOKEN, sent_at=MIDNIGHT - timedelta(minutes=20))
    assert leased(pool, today=MIDNIGHT - timedelta(microseconds=1)) is None
    assert states(pool) == {"one": TokenState.PARKED}
    assert leased(pool, today=MIDNIGHT) == "one"
    assert states(pool) == {"one": TokenState.ACTIVE}


def test_a_parked_token_is_tried_again_every_hour_as_midnight_is_a_guess() -> None:
    pool = pool_of("one")
    for hours in range(3):
        sent_at = NOON + timedelta(hours=hours)
        assert leased(pool, now=hours * 3600.0, today=sent_at) == "one"
        assert refuse(pool, "one", Action.PARK_TOKEN, sent_at=sent_at)
        assert leased(pool, now=hours * 3600.0 + 1800, today=sent_at + timedelta(minutes=59)) is None


def test_a_late_303_after_midnight_does_not_park_the_token_for_another_hour() -> None:
    pool = pool_of("one")
    refuse(pool, "one", Action.PARK_TOKEN, sent_at=MIDNIGHT - timedelta(seconds=2))
    assert leased(pool, today=MIDNIGHT) == "one"
    # Sent before midnight, answered after it: the quota that is used up is yesterday's.
    refuse(pool, "one", Action.PARK_TOKEN, sent_at=MIDNIGHT - timedelta(seconds=1))
    assert leased(pool, now=100.0, today=MIDNIGHT + timedelta(seconds=3)) == "one"


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (datetime(2026, 3, 8, 15, 59, 59, tzinfo=UTC), datetime(2026, 3, 8, 16, tzinfo=UTC)),
        (datetime(2026, 3, 8, 16, 0, 0, tzinfo=UTC), datetime(2026, 3, 9, 16, tzinfo=UTC)),
        (datetime(2026, 3, 8, 23, 59, tzinfo=UTC), datetime(2026, 3, 9, 16, tzinfo=UTC)),
        (datetime(2026, 3, 9, 0, 0, tzinfo=UTC), datetime(2026, 3, 9, 16, tzinfo=UTC)),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), datetime(2027, 1, 1, 16, tzinfo=UTC)),
        (datetime(2028, 2, 28, 17, 0, tzinfo=UTC), datetime(2028, 2, 29, 16, tzinfo=UTC)),
    ],
)
def test_the_quota_day_ends_at_midnight_in_beijing(now: datetime, then: datetime) -> None:
    assert next_quota_day(now) == then


@given(st.integers(0, 4_000_000_000), st.timezones())
def test_the_next_quota_day_is_ahead_and_less_than_a_day_away(seconds: int, zone: tzinfo) -> None:
    now = datetime.fromtimestamp(seconds, zone)
    then = next_quota_day(now)
    assert timedelta(0) < then - now.astimezone(UTC) <= timedelta(days=1)
    assert (then.astimezone(UTC).hour, then.minute, then.second) == (16, 0, 0)


def test_an_empty_account_drains_all_its_tokens() -> None:
    pool = pool_of("mine:one,mine:two,yours:three,four")
    assert refuse(pool, "one", Action.DRAIN_ACCOUNT)
    assert states(pool) == {
        "one": TokenState.DRAINED,
        "two": TokenState.DRAINED,
        "three": TokenState.ACTIVE,
        "four": TokenState.ACTIVE,
    }
    assert not refuse(pool, "two", Action.DRAIN_ACCOUNT)
    assert {leased(pool, now=float(step)) for step in range(10)} <= {"three", "four"}


def test_the_spend_limit_of_a_token_does_not_concern_its_account() -> None:
    pool = pool_of("mine:one,mine:two")
    refuse(pool, "one", Action.SPEND_TOKEN)
    assert states(pool) == {"one": TokenState.SPENT, "two": TokenState.ACTIVE}


def test_a_late_601_of_a_spent_token_drains_the_rest_of_its_account() -> None:
    pool = pool_of("mine:one,mine:two")
    refuse(pool, "one", Action.SPEND_TOKEN)
    assert refuse(pool, "one", Action.DRAIN_ACCOUNT)
    assert states(pool) == {"one": TokenState.SPENT, "two": TokenState.DRAINED}


def test_a_denied_endpoint_is_closed_to_that_token_only() -> None:
    pool = pool_of("one,two")
    assert refuse(pool, "one", Action.DENY_ENDPOINT, "rec_videos")
    assert not refuse(pool, "one", Action.DENY_ENDPOINT, "rec_videos")
    assert refuse(pool, "one", Action.DENY_ENDPOINT, "base_info")
    assert {leased(pool, "rec_videos", now=float(step)) for step in range(5)} == {"two"}
    assert leased(pool, "search", now=100.0) == "one"


def test_an_endpoint_that_is_closed_to_all_does_not_end_the_crawl() -> None:
    pool = pool_of("one,two")
    refuse(pool, "one", Action.DENY_ENDPOINT, "rec_videos")
    refuse(pool, "two", Action.DENY_ENDPOINT, "rec_videos")
    assert pool.lease("rec_videos", now=0.0, today=NOON) == Denied(Denial("no token may use this endpoint"))
    assert isinstance(pool.lease("search", now=0.0, today=NOON), Lease)


def test_a_denial_repeats_the_last_response_of_the_api() -> None:
    pool = pool_of("one,two")
    for number, secret in enumerate(("one", "two")):
        pool.refused(
            alias_of(pool, secret),
            Action.DENY_ENDPOINT,
            endpoint="rec_videos",
            sent_at=NOON,
            denial=Denial(f"message {number}", f"id {number}"),
        )
    assert pool.lease("rec_videos", now=0.0, today=NOON) == Denied(Denial("message 1", "id 1"))


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Action.PARK_TOKEN, "quota_exhausted"),
        (Action.DRAIN_ACCOUNT, "insufficient_balance"),
        (Action.SPEND_TOKEN, "insufficient_balance"),
    ],
)
def test_an_endpoint_is_not_denied_to_a_token_that_is_only_parked_or_out_of_money(action: Action, reason: str) -> None:
    pool = pool_of("one,two")
    refuse(pool, "one", Action.DENY_ENDPOINT, "rec_videos")
    refuse(pool, "two", action)
    assert pool.lease("rec_videos", now=0.0, today=NOON) == Unavailable(reason)
    assert isinstance(pool.lease("search", now=0.0, today=NOON), Lease)


def test_an_endpoint_is_denied_if_the_only_other_token_is_invalid() -> None:
    pool = pool_of("one,two")
    refuse(pool, "one", Action.DENY_ENDPOINT, "rec_videos")
    refuse(pool, "two", Action.RETIRE_TOKEN)
    decision = pool.lease("rec_videos", now=0.0, today=NOON)
    assert isinstance(decision, Denied)
    assert (decision.denial.code, decision.denial.reason) == (600, "permission_denied")


def test_a_wait_says_whether_it_is_for_every_endpoint() -> None:
    pool = pool_of("one,two", max_rate=1.0)
    refuse(pool, "one", Action.DENY_ENDPOINT, "search")
    assert {leased(pool, "base_info"), leased(pool, "base_info")} == {"one", "two"}
    assert pool.lease("base_info", now=0.0, today=NOON) == Wait(1.0)
    assert pool.lease("search", now=0.0, today=NOON) == Wait(1.0, for_all=False)


def test_nothing_but_302s_for_two_minutes_is_reported_once() -> None:
    pool = pool_of("one")
    (alias,) = pool.aliases()

    def limited(now: float) -> float | None:
        return pool.limited(alias, now=now, sent_at=now, retry_after=None)

    assert [limited(now) for now in (10.0, 40.0, 129.0, 130.0, 160.0, 500.0)] == [None, None, None, 120.0, None, None]
    pool.succeeded(alias, now=510.0, sent_at=509.0)
    assert [limited(now) for now in (520.0, 639.0, 645.0)] == [None, None, 125.0]


def test_an_endpoint_is_not_closed_while_a_token_for_it_is_only_slow() -> None:
    pool = pool_of("one,two")
    refuse(pool, "one", Action.DENY_ENDPOINT, "rec_videos")
    pool.limited(alias_of(pool, "two"), now=0.0, sent_at=0.0, retry_after=30.0)
    assert pool.lease("rec_videos", now=0.0, today=NOON) == Wait(30.0, for_all=False)


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        ([Action.RETIRE_TOKEN, Action.RETIRE_TOKEN], "no_valid_token"),
        ([Action.RETIRE_TOKEN, Action.PARK_TOKEN], "quota_exhausted"),
        ([Action.PARK_TOKEN, Action.DRAIN_ACCOUNT], "quota_exhausted"),
        ([Action.RETIRE_TOKEN, Action.DRAIN_ACCOUNT], "insufficient_balance"),
        ([Action.SPEND_TOKEN, Action.RETIRE_TOKEN], "insufficient_balance"),
        ([Action.SPEND_TOKEN, Action.DRAIN_ACCOUNT], "insufficient_balance"),
    ],
)
def test_the_close_reason_is_the_most_hopeful_one(actions: list[Action], reason: str) -> None:
    pool = pool_of("one,two")
    for secret, action in zip(("one", "two"), actions, strict=True):
        refuse(pool, secret, action)
    assert pool.lease("search", now=0.0, today=NOON) == Exhausted(reason)


@given(
    st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), st.sampled_from([*REFUSALS, Action.DENY_ENDPOINT])))
)
def test_a_pool_never_leases_a_token_in_a_final_state(events: list[tuple[str, Action]]) -> None:
    pool = pool_of("mine:one,mine:two,three")
    for step, (secret, action) in enumerate(events):
        refuse(pool, secret, action)
        leases = leased(pool, now=float(step))
        allowed = {token.secret for token in pool if token.state is TokenState.ACTIVE and "search" not in token.denied}
        assert leases in allowed or (leases is None and not allowed)


def test_the_pause_is_that_of_the_token_that_may_call_first() -> None:
    pool = pool_of("one,two")
    assert pool.pause_left(0.0) == 0.0
    pool.pause(alias_of(pool, "one"), 45.0)
    assert pool.pause_left(0.0) == 0.0
    pool.pause(alias_of(pool, "two"), 30.0)
    assert pool.pause_left(10.0) == 20.0
    refuse(pool, "two", Action.RETIRE_TOKEN)
    assert pool.pause_left(10.0) == 35.0
    refuse(pool, "one", Action.RETIRE_TOKEN)
    assert pool.pause_left(10.0) == 0.0
