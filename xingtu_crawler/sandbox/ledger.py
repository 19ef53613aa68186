"""The ledger: all calls, their outcomes and whether they were billed. Tests compare a crawl's own counts with it.

Knows no HTTP and holds no token, only its number.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from itertools import islice
from typing import Any

RING = 200_000
"""Number of single calls that are kept."""


@dataclass(slots=True)
class Call:
    """One call in flight; `at` is in Unix seconds, `identity` is a hash of endpoint and parameters."""

    at: float
    endpoint: str
    key: str
    page: int | None
    platform: str | None
    token: str | None
    identity: int = 0
    day: int = 0


class Ledger:
    """Counts calls. A call is "answered" if its response has code 0, holds a usable success and was sent completely."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Clear everything except the number of calls in flight."""
        self._numbered = self._answered = self._billed = self._answered_twice = 0
        self._max_in_flight = self.in_flight
        self._by_endpoint: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._by_code: Counter[str] = Counter()
        self._by_token: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._first_at: float | None = None
        self._last_at: float | None = None
        self._requests: set[int] = set()
        self._calls: deque[tuple[Any, ...]] = deque(maxlen=RING)

    def begin(self) -> None:
        """Record that a call arrived."""
        self.in_flight += 1
        self._max_in_flight = max(self._max_in_flight, self.in_flight)

    def end(self, call: Call, outcome: str, *, answered: bool, billed: bool) -> None:
        """Record how a call ended; `outcome` is a business code or the name of a fault."""
        self.in_flight -= 1
        self._numbered += 1
        self._billed += billed
        self._by_code[outcome] += 1
        endpoint, token = self._by_endpoint[call.endpoint], self._by_token[call.token or "no token"]
        for counts in (endpoint, token):
            counts["calls"] += 1
            counts["answered"] += answered
        token["billed"] += billed
        token[f"code_{outcome}"] += 1
        self._first_at = call.at if self._first_at is None else min(self._first_at, call.at)
        self._last_at = time.time()
        if answered:
            self._answered += 1
            request = hash((call.identity, call.day))
            self._answered_twice += request in self._requests
            self._requests.add(request)
        self._calls.append(
            (
                self._numbered,
                call.at,
                call.endpoint,
                call.key,
                call.page,
                call.platform,
                call.token,
                outcome,
                answered,
            )
        )

    def summary(self) -> dict[str, Any]:
        """Return the counts, ready for JSON."""
        return {
            "calls": self._numbered,
            "answered": self._answered,
            "billed": self._billed,
            "answered_twice": self._answered_twice,
            "max_in_flight": self._max_in_flight,
            "by_endpoint": {name: dict(counts) for name, counts in self._by_endpoint.items()},
            "by_code": dict(self._by_code),
            "by_token": {name: dict(counts) for name, counts in self._by_token.items()},
            "first_at": self._first_at,
            "last_at": self._last_at,
        }

    def calls(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return up to `limit` single calls numbered above `after`, in the order in which they ended."""
        names = ("n", "at", "endpoint", "key", "page", "platform", "token", "outcome", "answered")
        skip = max(0, after - (self._calls[0][0] - 1)) if self._calls else 0
        return [dict(zip(names, call, strict=True)) for call in islice(self._calls, skip, skip + limit)]
