"""The token pool: which token asks next, and what becomes of a token that is refused.

A plain state machine: the caller says what time it is (`now`, seconds of a monotonic clock; `today`, wall
clock, UTC). Outside this module a token is known by its alias only.
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
"""The day of the daily quota. The provider does not say which zone; Beijing is a guess. It has no summer time."""
PROBE_AGAIN = timedelta(hours=1)
"""How long a parked token is left alone at most: the day may begin at another hour, and a refusal costs nothing."""
LIMITED_LONG_S = 120.0
"""From how many seconds of nothing but 302 on a token's state is worth telling."""


class TokenState(StrEnum):
    """`parked` is tried again after an hour, or when the next day begins; what comes after it stays so in this run."""

    ACTIVE = "active"
    PARKED = "parked"
    RETIRED = "retired"
    DRAINED = "drained"
    SPENT = "spent"


_STATE_AFTER: dict[Action, TokenState] = {
    Action.RETIRE_TOKEN: TokenState.RETIRED,
    Action.PARK_TOKEN: TokenState.PARKED,
    Action.DRAIN_ACCOUNT: TokenState.DRAINED,
    Action.SPEND_TOKEN: TokenState.SPENT,
}


_FINAL = frozenset({TokenState.RETIRED, TokenState.DRAINED, TokenState.SPENT})


@dataclass(slots=True)
class Token:
    """One token: its secret, the alias that stands for it, its account, and how it is doing."""

    secret: str = field(repr=False)
    alias: str
    account: str
    pace: PaceController
    state: TokenState = TokenState.ACTIVE
    parked_until: datetime | None = None
    denied: set[str] = field(default_factory=set)
    limited_since: float | None = None
    """Since when it has got nothing but 302; infinity once that has been told."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to make one call with the token called `alias`."""

    alias: str


@dataclass(frozen=True, slots=True)
class Wait:
    """No token may ask before `seconds` from now; `for_all`: whatever the endpoint."""

    seconds: float
    for_all: bool = True


@dataclass(frozen=True, slots=True)
class Denial:
    """What the API said when it last denied a token an endpoint."""

    message: str
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Exhausted:
    """No token is left: `close_reason` for the crawl, or the last `denial` where this endpoint alone is closed."""

    close_reason: str | None
    denial: Denial | None = None


class TokenPool:
    """Hands out the tokens by free capacity and keeps their states."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = {token.alias: token for token in tokens}
        self._denials: dict[str, Denial] = {}

    @classmethod
    def from_text(cls, text: str, *, max_rate: float | None = None) -> TokenPool:
        """Read tokens from text: separated by commas or line breaks, each `TOKEN` or `ACCOUNT:TOKEN`.

        Tokens of one named account share its balance; a token without a name is taken as an account of its
        own. Lines that start with `#` are comments. Raises `TokenError` where there is none or one is not fit
        for a URL.
        """
        tokens: dict[str, Token] = {}
        lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
        for entry in (part.strip() for line in lines for part in line.split(",")):
            if not entry:
                continue
            account, separator, secret = (part.strip() for part in entry.rpartition(":"))
            if separator and not (account and secret):
                raise TokenError("A token reads TOKEN or ACCOUNT:TOKEN; one has nothing before or after the colon.")
            if not secret.isprintable():
                raise TokenError("A token has control characters in it: copy it again from the provider's dashboard.")
            alias = fingerprint(secret)
            tokens[alias] = Token(secret, alias, account or alias, PaceController(max_rate=max_rate))
        if not tokens:
            raise TokenError("no token in it")
        return cls(tokens.values())

    def __iter__(self) -> Iterator[Token]:
        return iter(self._tokens.values())

    def __len__(self) -> int:
        return len(self._tokens)

    def aliases(self) -> list[str]:
        """Return the names by which logs and `runs` call the tokens."""
        return list(self._tokens)

    def secret(self, alias: str) -> str:
        """Return the token behind an alias: for the wire, and for nothing else."""
        return self._tokens[alias].secret

    def secrets(self) -> list[str]:
        """Return every token: for the redactor, and for nothing else."""
        return [token.secret for token in self._tokens.values()]

    def lease(self, endpoint: str, *, now: float, today: datetime) -> Lease | Wait | Exhausted:
        """Return which token makes the next call to `endpoint`, or how long to wait, or that none is left."""
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
            return Exhausted(self._close_reason(), self._denials.get(endpoint))
        if (seconds := best.pace.wait(now)) > 0:
            return Wait(seconds, for_all=not denied)
        best.pace.reserve(now)
        return Lease(best.alias)

    def _close_reason(self) -> str | None:
        states = {token.state for token in self._tokens.values()}
        if TokenState.ACTIVE in states:
            return None
        # The most hopeful first: a parked token comes back by itself, a drained account when it is paid for.
        if TokenState.PARKED in states:
            return "quota_exhausted"
        if states & {TokenState.DRAINED, TokenState.SPENT}:
            return "insufficient_balance"
        return "no_valid_token"

    def succeeded(self, alias: str, *, now: float, sent_at: float) -> None:
        """Tell that an answer came, to a call that left at `sent_at`, that does not speak against the token."""
        token = self._tokens[alias]
        token.limited_since = None
        token.pace.succeeded(now, sent_at=sent_at)

    def limited(self, alias: str, *, now: float, sent_at: float, retry_after: float | None) -> float | None:
        """Tell of a 302: the token was asked too fast.

        Returns for how many seconds it has got nothing else, once, when that has become long.
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

    def refused(
        self, alias: str, action: Action, *, endpoint: str, sent_at: datetime, denial: Denial | None = None
    ) -> bool:
        """Move the token's state as `action` says; return whether that is news (False for a straggler's echo).

        `sent_at` is when the refused call was sent: its day is the one whose quota is used up.
        """
        token = self._tokens[alias]
        if action is Action.DENY_ENDPOINT:
            news = endpoint not in token.denied
            token.denied.add(endpoint)
            if denial:
                self._denials[endpoint] = denial
            return news
        state = _STATE_AFTER[action]
        concerned = [token]
        if action is Action.DRAIN_ACCOUNT:
            concerned = [other for other in self._tokens.values() if other.account == token.account]
        # What is out stays out: a straggler's quota answer must not bring a retired token back tomorrow.
        changed = [each for each in concerned if each.state is not state and each.state not in _FINAL]
        for each in changed:
            each.state = state
            each.parked_until = None
            if state is TokenState.PARKED:
                each.parked_until = min(next_quota_day(sent_at), sent_at + PROBE_AGAIN)
        return bool(changed)


def next_quota_day(now: datetime) -> datetime:
    """Return when the daily quota starts anew: the next midnight in `QUOTA_ZONE`; `now` is timezone-aware."""
    local = now.astimezone(QUOTA_ZONE)
    return datetime.combine(local.date() + timedelta(days=1), time.min, tzinfo=QUOTA_ZONE)
