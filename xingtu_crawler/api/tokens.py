"""The token pool: which token makes the next call, and what happens to a token that the API refuses.

The pool leases the token that may leave first by its own pace (`api.pace`), so each token is used as much as its
limit allows. The states of a token, and the responses that change them:

| state   | leased | 303: quota | 602: own limit | 601: account empty | 100, 101: invalid |
|---------|--------|------------|----------------|--------------------|-------------------|
| active  | yes    | parked     | spent          | drained            | retired           |
| parked  | no     | -          | spent          | drained            | retired           |
| spent   | no     | -          | -              | -                  | -                 |
| drained | no     | -          | -              | -                  | -                 |
| retired | no     | -          | -              | -                  | -                 |

A parked token is active again after `parked_until`. 601 changes all tokens of the account. 600 changes no state: it
closes one endpoint to the token. 302 changes the pace only. The last three states are final for the run: late
responses to calls that left earlier do not change them.

The caller passes the time: `now` in seconds of a monotonic clock, `today` as UTC wall clock. Other modules know a token
by its alias only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, timezone
from enum import StrEnum
from math import inf

from xingtu_crawler.api.codes import Action
from xingtu_crawler.api.pace import PaceController
from xingtu_crawler.api.secrets import fingerprint
from xingtu_crawler.exceptions import TokenError

QUOTA_ZONE = timezone(timedelta(hours=8), "Beijing")
"""The time zone of the daily quota. The provider does not name it; Beijing is a guess. It has no summer time."""
PROBE_AGAIN = timedelta(hours=1)
"""Longest time for which a token is parked: the quota may be renewed at another hour, and a 303 is free."""
LIMITED_LONG_S = 120.0
"""Time in seconds of nothing but 302s after which the log reports the token."""


class TokenState(StrEnum):
    """The state of a token; the module's docstring has the table of transitions."""

    ACTIVE = "active"
    PARKED = "parked"
    RETIRED = "retired"
    DRAINED = "drained"
    SPENT = "spent"


_OUT = {
    Action.RETIRE_TOKEN: TokenState.RETIRED,
    Action.DRAIN_ACCOUNT: TokenState.DRAINED,
    Action.SPEND_TOKEN: TokenState.SPENT,
}
_TRANSITIONS: dict[TokenState, dict[Action, TokenState]] = {
    TokenState.ACTIVE: {**_OUT, Action.PARK_TOKEN: TokenState.PARKED},
    TokenState.PARKED: _OUT,
    TokenState.SPENT: {},
    TokenState.DRAINED: {},
    TokenState.RETIRED: {},
}
"""State -> what the API's response means -> next state; without an entry the state stays."""


@dataclass(slots=True)
class Token:
    """One token: its secret, its alias, its account, its pace and its state; `denied` are the closed endpoints."""

    secret: str = field(repr=False)
    alias: str
    account: str
    pace: PaceController
    state: TokenState = TokenState.ACTIVE
    parked_until: datetime | None = None
    denied: set[str] = field(default_factory=set)
    limited_since: float | None = None
    """Time of the first of the current 302s in a row; infinity after they have been reported."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to make one call with the token called `alias`."""

    alias: str


@dataclass(frozen=True, slots=True)
class Wait:
    """No token may make this call within the next `seconds`; `for_all`: the same holds for every endpoint."""

    seconds: float
    for_all: bool = True


@dataclass(frozen=True, slots=True)
class Denial:
    """Why no token may use an endpoint: the API's last 600 for it."""

    message: str
    request_id: str | None = None
    code: int = 600
    reason: str = "permission_denied"


@dataclass(frozen=True, slots=True)
class Exhausted:
    """No token is left for the crawl: it ends with `close_reason`."""

    close_reason: str


@dataclass(frozen=True, slots=True)
class Denied:
    """No token may use this endpoint, but one may use others."""

    denial: Denial


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The tokens that may use this endpoint are used up, but one is left for others.

    The request is left to the next crawl; `close_reason` is that of a crawl in which they are the only tokens.
    """

    close_reason: str


class TokenPool:
    """Leases the tokens and keeps their states."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = {token.alias: token for token in tokens}
        self._denials: dict[str, Denial] = {}

    @classmethod
    def from_text(cls, text: str, *, max_rate: float | None = None) -> TokenPool:
        """Return a pool of the tokens in `text`: separated by commas or line breaks, each `TOKEN` or `ACCOUNT:TOKEN`.

        Tokens with the same account name share its balance; a token without one counts as an account of its own.
        Lines that start with `#` are comments. Raises `TokenError` if there is no token, one contains control
        characters, or one has two accounts.
        """
        tokens: dict[str, Token] = {}
        lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
        for entry in (part.strip() for line in lines for part in line.split(",")):
            if not entry:
                continue
            account, separator, secret = (part.strip() for part in entry.rpartition(":"))
            if separator and not (account and secret):
                raise TokenError("Write a token as TOKEN or ACCOUNT:TOKEN: one has nothing before or after its colon.")
            if not secret.isprintable():
                raise TokenError("A token contains control characters: copy it again from the provider's dashboard.")
            alias = fingerprint(secret)
            known = tokens.setdefault(alias, Token(secret, alias, account or alias, PaceController(max_rate=max_rate)))
            if account and known.account not in (alias, account):
                raise TokenError("One token has two account names: keep one of them.")
            known.account = account or known.account
        if not tokens:
            raise TokenError("The text contains no token.")
        return cls(tokens.values())

    def __iter__(self) -> Iterator[Token]:
        return iter(self._tokens.values())

    def __len__(self) -> int:
        return len(self._tokens)

    def aliases(self) -> list[str]:
        """Return the names of the tokens in the log and in `runs`."""
        return list(self._tokens)

    def secret(self, alias: str) -> str:
        """Return the token with this alias; only for the URL that is sent."""
        return self._tokens[alias].secret

    def secrets(self) -> list[str]:
        """Return all tokens; only for the redactor."""
        return [token.secret for token in self._tokens.values()]

    def lease(self, endpoint: str, *, now: float, today: datetime) -> Lease | Wait | Exhausted | Denied | Unavailable:
        """Return the token for the next call to `endpoint`, or the time to wait, or that no token is left."""
        best: Token | None = None
        denied = False
        for token in self._tokens.values():
            if token.state is TokenState.PARKED and token.parked_until and today >= token.parked_until:
                token.state, token.parked_until = TokenState.ACTIVE, None
            if token.state is not TokenState.ACTIVE:
                continue
            if endpoint in token.denied:
                denied = True
                continue
            if best is None or token.pace.wait(now) < best.pace.wait(now):
                best = token
        if best is None:
            return self._none_left(endpoint) if denied else Exhausted(_close_reason(self._tokens.values()))
        if (seconds := best.pace.wait(now)) > 0:
            return Wait(seconds, for_all=not denied)
        best.pace.reserve(now)
        return Lease(best.alias)

    def _none_left(self, endpoint: str) -> Denied | Unavailable:
        """Return why no token may use the endpoint, though an active one may use others."""
        allowed = [token for token in self._tokens.values() if endpoint not in token.denied]
        if any(token.state is not TokenState.RETIRED for token in allowed):
            return Unavailable(_close_reason(allowed))
        return Denied(self._denials.get(endpoint, Denial("no token may use this endpoint")))

    def succeeded(self, alias: str, *, now: float, sent_at: float) -> None:
        """Register a response, to a call that left at `sent_at`, that neither limits nor refuses the token."""
        token = self._tokens[alias]
        token.limited_since = None
        token.pace.succeeded(now, sent_at=sent_at)

    def limited(self, alias: str, *, now: float, sent_at: float, retry_after: float | None) -> float | None:
        """Register a 302 to a call that left at `sent_at`.

        Returns the seconds for which the token has got nothing but 302s, once, when they reach `LIMITED_LONG_S`.
        """
        token = self._tokens[alias]
        token.pace.limited(now, sent_at=sent_at, retry_after=retry_after)
        if token.limited_since is None:
            token.limited_since = now
        seconds = now - token.limited_since
        if seconds < LIMITED_LONG_S:
            return None
        token.limited_since = inf
        return seconds

    def pause_left(self, now: float) -> float:
        """Return the seconds until some token may make the next call; 0 where none may make any."""
        waits = (token.pace.wait(now) for token in self._tokens.values() if token.state is TokenState.ACTIVE)
        return min(waits, default=0.0)

    def pause(self, alias: str, until: float) -> None:
        """Make no call with the token before `until`, in seconds of the clock of `now`."""
        self._tokens[alias].pace.pause(until)

    def refused(
        self, alias: str, action: Action, *, endpoint: str, sent_at: datetime, denial: Denial | None = None
    ) -> bool:
        """Change the state of the token, or of its account's tokens; return whether anything changed.

        Nothing changes if the response repeats what is known: calls in flight get the same refusal. `sent_at` is the
        time at which the refused call left: the quota of that day is used up.
        """
        token = self._tokens[alias]
        if action is Action.DENY_ENDPOINT:
            news = endpoint not in token.denied
            token.denied.add(endpoint)
            if denial:
                self._denials[endpoint] = denial
            return news
        concerned = [token]
        if action is Action.DRAIN_ACCOUNT:
            concerned = [other for other in self._tokens.values() if other.account == token.account]
        changed = False
        for each in concerned:
            state = _TRANSITIONS[each.state].get(action)
            if state is not None:
                is_parked = state is TokenState.PARKED
                each.parked_until = min(next_quota_day(sent_at), sent_at + PROBE_AGAIN) if is_parked else None
                each.state, changed = state, True
        return changed


def _close_reason(tokens: Iterable[Token]) -> str:
    """Return why no token of these is left."""
    states = {token.state for token in tokens}
    # The most hopeful state first: a parked token comes back by itself, a drained account after a payment.
    if TokenState.PARKED in states:
        return "quota_exhausted"
    if states & {TokenState.DRAINED, TokenState.SPENT}:
        return "insufficient_balance"
    return "no_valid_token"


def next_quota_day(now: datetime) -> datetime:
    """Return when the daily quota is renewed: the next midnight in `QUOTA_ZONE`; `now` is timezone-aware."""
    local = now.astimezone(QUOTA_ZONE)
    return datetime.combine(local.date() + timedelta(days=1), time.min, tzinfo=QUOTA_ZONE)
