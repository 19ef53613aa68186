"""A stand-in for the API session: its token pool and budget are real, and it closes no crawl."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xingtu_crawler.api.budget import Budget
from xingtu_crawler.api.tokens import TokenPool
from xingtu_crawler.exceptions import UserError


@dataclass
class Session:
    """What middlewares ask of `ApiSession`; `closed` are the reasons that they closed the crawl for."""

    pool: TokenPool
    budget: Budget = field(default_factory=lambda: Budget(None))
    daily_calls: Any = None
    hold: Callable[[int], float] = lambda _waiting: 0.0
    is_over: bool = False
    closed: list[str] = field(default_factory=list)

    def close(self, reason: str) -> None:
        self.closed.append(reason)

    def give_up(self, error: UserError) -> None:
        self.closed.append(str(error))

    def alias(self, secret: str) -> str:
        return next(token.alias for token in self.pool if token.secret == secret)
