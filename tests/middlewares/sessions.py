"""An API session without a crawl: its token pool, budget and breakers are real, and `closing` only records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xingtu_crawler.api.backoff import Backoff
from xingtu_crawler.api.budget import Budget
from xingtu_crawler.api.reachability import Outage
from xingtu_crawler.api.tokens import TokenPool
from xingtu_crawler.exceptions import UserError
from xingtu_crawler.extensions.health import Health
from xingtu_crawler.verdict import Findings

BACKOFF = Backoff(0.01, 0.1)


@dataclass
class Closing:
    """What middlewares use of `extensions.closing`; `reasons` are those for which they close the crawl."""

    is_over: bool = False
    reasons: list[str] = field(default_factory=list)

    def close(self, reason: str) -> None:
        self.is_over = True
        self.reasons.append(reason)

    def give_up(self, error: UserError) -> None:
        self.close(str(error))


@dataclass
class Session:
    """What middlewares use of `ApiSession`."""

    pool: TokenPool
    budget: Budget = field(default_factory=lambda: Budget(None))
    daily_calls: Any = None
    hold: Callable[[int], float] = lambda _waiting: 0.0
    closing: Closing = field(default_factory=Closing)
    proxy: Any = None
    outage: Outage = field(default_factory=lambda: Outage(BACKOFF))
    findings: Findings = field(default_factory=Findings)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        stand_in: Any = self.closing
        self.health = Health(BACKOFF, stand_in, self.findings, lambda what, count: self.counts.update({what: count}))

    def alias(self, secret: str) -> str:
        return next(token.alias for token in self.pool if token.secret == secret)
