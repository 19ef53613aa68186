"""The limits of a token: rate, daily quota, balance of its account, own spend limit, denied endpoints.

A call is checked against the limits in this order; the first one that it breaks decides the business code:

| code | limit                                                                       |
|------|-----------------------------------------------------------------------------|
| 100  | the token is invalid                                                        |
| 302  | the rate: a leaky bucket                                                    |
| 600  | the endpoint is denied to the token                                         |
| 303  | the quota: answered calls of the sandbox's day                              |
| 601  | the balance: billed calls of all tokens of the account                      |
| 602  | the spend limit: billed calls of this token                                 |

The clock is an argument. Tokens are never shown, only their number in the order in which they appeared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.exceptions import SandboxError

PRICE = 0.05
"""Yuan per billed call, for the balance endpoint."""
_OPENING_CALLS = 200_000  # the balance that an account without a configured one shows
_EXAMPLE = "for example --token a=rate:50,quota:100"


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """The limits of one token; None means no limit. `rate` is in calls per second, the others are in calls."""

    invalid: bool = False
    rate: float | None = None
    quota: int | None = None
    balance: int | None = None
    spend: int | None = None
    account: str | None = None
    denied: frozenset[str] = frozenset()


def parse_spec(spec: str) -> TokenSpec:
    """Return the limits for `invalid,rate:50,quota:100,...`; raise `SandboxError` if the text is malformed."""
    values: dict[str, str] = {}
    denied: set[str] = set()
    for part in filter(None, (part.strip() for part in spec.split(","))):
        name, _, value = part.partition(":")
        if name == "deny":
            if value != SEARCH.name and value not in DETAILS:
                raise SandboxError(f"deny:{value} is malformed: use one of {', '.join([SEARCH.name, *DETAILS])}.")
            denied.add(value)
        elif name in ("invalid", "rate", "quota", "balance", "spend", "account") and bool(value) != (name == "invalid"):
            values[name] = value
        else:
            raise SandboxError(
                f"a token's {part!r} is malformed: use invalid, rate:N, quota:N, deny:ENDPOINT, balance:N, spend:N "
                f"or account:NAME; {_EXAMPLE}."
            )
    return TokenSpec(
        invalid="invalid" in values,
        rate=check_rate(values["rate"]) if "rate" in values else None,
        quota=_count(values, "quota"),
        balance=_count(values, "balance"),
        spend=_count(values, "spend"),
        account=values.get("account"),
        denied=frozenset(denied),
    )


def parse_tokens(specs: Sequence[str]) -> dict[str, TokenSpec]:
    """Return token -> limits for `NAME=SPEC` options (a name may contain =).

    Raises `SandboxError` if an option is malformed.
    """
    tokens: dict[str, TokenSpec] = {}
    for spec in specs:
        name, separator, rest = spec.rpartition("=")
        if not (separator and name):
            raise SandboxError(f"a --token option is malformed: write --token NAME=SPEC, {_EXAMPLE}.")
        tokens[name] = parse_spec(rest)
    return tokens


def check_accounts(specs: Mapping[str, TokenSpec]) -> dict[str, int]:
    """Return account -> balance in calls; raise `SandboxError` if tokens of one account have different balances."""
    balances: dict[str, int] = {}
    for spec in specs.values():
        if spec.account is None or spec.balance is None:
            continue
        if balances.setdefault(spec.account, spec.balance) != spec.balance:
            raise SandboxError(f"account {spec.account!r} has two balances: use the same one for its tokens.")
    return balances


def check_rate(value: object) -> float:
    """Return a rate in calls per second, 0 for no limit; raise `SandboxError` if `value` is not one."""
    try:
        rate = float(value)  # type: ignore[arg-type]  # float() checks the type
    except (TypeError, ValueError):
        rate = -1.0
    if not (math.isfinite(rate) and rate >= 0):
        raise SandboxError(f"the rate {value!r} is malformed: it must be a number of calls per second, 0 for no limit.")
    return rate


def _count(values: Mapping[str, str], name: str) -> int | None:
    if name not in values:
        return None
    if not (values[name].isascii() and values[name].isdigit()):
        raise SandboxError(f"a token's {name}:{values[name]} is malformed: it must be a number of calls.")
    return int(values[name])


class LeakyBucket:
    """Allows `rate` calls per second, and at most max(1, rate / 5) of them at once."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._slack = (max(1.0, rate / 5) - 1) * self._interval + 1e-9
        self._due = -math.inf

    def wait(self, now: float) -> float:
        """Accept a call and return 0.0, or refuse it and return the seconds until a call is accepted."""
        wait = self._due - self._slack - now
        if wait > 0:
            return wait
        self._due = max(self._due, now) + self._interval
        return 0.0


@dataclass(slots=True)
class Account:
    """The balance that the tokens of one account share; `balance` is in calls, None for no limit."""

    balance: int | None = None
    billed: int = 0

    def yuan(self) -> str:
        """Return the remaining balance, as the balance endpoint writes it."""
        opening = _OPENING_CALLS if self.balance is None else self.balance
        return f"{(opening - self.billed) * PRICE:.4f}"


@dataclass(slots=True)
class Token:
    """One token: its number, limits and counts."""

    alias: str
    spec: TokenSpec
    account: Account
    bucket: LeakyBucket | None
    answered_on: dict[int, int] = field(default_factory=dict)
    billed: int = 0

    def admit(self, endpoint: str, day: int, now: float) -> tuple[int, float]:
        """Return the business code that refuses the call and the seconds to wait; (0, 0.0) admits it.

        An admitted call counts against quota and balances at once, so that calls in flight cannot overdraw them;
        `settle` corrects the counts. `day` is the sandbox's day, `now` is in seconds of a monotonic clock.
        """
        spec, account = self.spec, self.account
        if spec.invalid:
            return 100, 0.0
        if self.bucket is not None and (wait := self.bucket.wait(now)) > 0:
            return 302, wait
        code = 0
        if endpoint in spec.denied:
            code = 600
        elif spec.quota is not None and self.answered_on.get(day, 0) >= spec.quota:
            code = 303
        elif account.balance is not None and account.billed >= account.balance:
            code = 601
        elif spec.spend is not None and self.billed >= spec.spend:
            code = 602
        else:
            self._count(day, answered=1, billed=1)
        return code, 0.0

    def settle(self, day: int, *, answered: bool, billed: bool) -> None:
        """Correct the counts after a call that was admitted on `day`."""
        self._count(day, answered=int(answered) - 1, billed=int(billed) - 1)

    def _count(self, day: int, *, answered: int, billed: int) -> None:
        self.answered_on[day] = self.answered_on.get(day, 0) + answered
        self.billed += billed
        self.account.billed += billed


class Tokens:
    """All tokens. Every non-empty token works without limits unless `specs` has an entry for it.

    `rate` (calls per second, 0 for no limit) applies to every token without a rate of its own.
    """

    def __init__(self, specs: Mapping[str, TokenSpec], rate: float) -> None:
        self._seen: dict[str, Token] = {}
        self.rate = rate
        self.configure(specs)

    def configure(self, specs: Mapping[str, TokenSpec]) -> None:
        """Replace the limits of single tokens and reset all counts; the tokens keep their numbers.

        Raises `SandboxError` if tokens of one account have different balances.
        """
        balances = check_accounts(specs)
        self._specs = dict(specs)
        self._accounts = {name: Account(balance) for name, balance in balances.items()}
        seen, self._seen = self._seen, {}
        for name in seen:
            self.get(name)

    def set_rate(self, rate: float) -> None:
        """Change the rate of tokens without one of their own; the counts stay."""
        self.rate = rate
        for token in self._seen.values():
            if token.spec.rate is None:
                token.bucket = LeakyBucket(rate) if rate else None

    def get(self, name: str) -> Token:
        """Return the token `name`; create it if it is new."""
        token = self._seen.get(name)
        if token is None:
            spec = self._specs.get(name, TokenSpec())
            if spec.account is None:
                account = Account(spec.balance)
            else:
                account = self._accounts.setdefault(spec.account, Account())
            rate = self.rate if spec.rate is None else spec.rate
            bucket = LeakyBucket(rate) if rate else None
            token = self._seen[name] = Token(f"token-{len(self._seen) + 1}", spec, account, bucket)
        return token
