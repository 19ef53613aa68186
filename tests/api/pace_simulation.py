"""A simulation in virtual time: servers with a rate limit, and clients that have to find it.

Uses only `wait`, `reserve`, `succeeded` and `limited` of the controller.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from xingtu_crawler.api.pace import PaceController

Limit = Callable[[float], float]
"""The limit in calls per second at a time."""


@dataclass
class SlidingWindow:
    """Allows `limit` calls in any second."""

    limit: Limit
    taken: deque[float] = field(default_factory=deque)

    def takes(self, now: float) -> bool:
        """Return whether the server accepts a call."""
        while self.taken and self.taken[0] <= now - 1:
            self.taken.popleft()
        if len(self.taken) >= self.limit(now):
            return False
        self.taken.append(now)
        return True


@dataclass
class CalendarSecond:
    """Allows `limit` calls between two full seconds."""

    limit: Limit
    second: int = -1
    taken: int = 0

    def takes(self, now: float) -> bool:
        """Return whether the server accepts a call."""
        if int(now) != self.second:
            self.second, self.taken = int(now), 0
        if self.taken >= self.limit(now):
            return False
        self.taken += 1
        return True


@dataclass
class TokenBucket:
    """Allows `limit` calls per second on average and the share `burst` of that, at least one call, at once."""

    limit: Limit
    burst: float = 0.2
    level: float = 1e9
    at: float = 0.0

    def takes(self, now: float) -> bool:
        """Return whether the server accepts a call."""
        limit = self.limit(now)
        self.level = min(max(1.0, limit * self.burst), self.level + (now - self.at) * limit)
        self.at = now
        if self.level < 1 - 1e-9:
            return False
        self.level -= 1
        return True


Server = SlidingWindow | CalendarSecond | TokenBucket


def single(limit: Limit) -> TokenBucket:
    """Return a bucket that allows no two calls at once."""
    return TokenBucket(limit, burst=0.0)


def tenth(limit: Limit) -> TokenBucket:
    """Return a bucket that allows a tenth of a second's calls at once."""
    return TokenBucket(limit, burst=0.1)


def sandbox(limit: Limit) -> TokenBucket:
    """Return the sandbox's limiter."""
    return TokenBucket(limit, burst=0.2)


def whole(limit: Limit) -> TokenBucket:
    """Return a bucket that allows a whole second's calls at once."""
    return TokenBucket(limit, burst=1.0)


SERVERS: tuple[Callable[[Limit], Server], ...] = (single, tenth, sandbox, whole, SlidingWindow, CalendarSecond)


@dataclass(frozen=True, slots=True)
class Call:
    """One call: when it left, which client made it, whether the server accepted it."""

    at: float
    client: int
    taken: bool


@dataclass
class Run:
    """The controllers of a simulation and their calls."""

    paces: Sequence[PaceController]
    calls: list[Call]

    @property
    def pace(self) -> PaceController:
        """The first controller."""
        return self.paces[0]

    def taken(self, start: float, end: float) -> float:
        """Return the accepted calls per second."""
        return sum(call.taken for call in self.calls if start <= call.at < end) / (end - start)

    def refusals(self, start: float, end: float) -> int:
        """Return the number of 302s."""
        return sum(not call.taken for call in self.calls if start <= call.at < end)

    def refused(self, start: float, end: float) -> float:
        """Return the share of 302s."""
        return self.refusals(start, end) / sum(start <= call.at < end for call in self.calls)

    def share(self, client: int, start: float, end: float) -> float:
        """Return the share of a client in the accepted calls."""
        clients = [call.client for call in self.calls if start <= call.at < end and call.taken]
        return clients.count(client) / len(clients)

    def reached(self, rate: float, start: float) -> float:
        """Return the seconds from `start` to the first full second with `rate` accepted calls."""
        times = [call.at for call in self.calls if call.at >= start and call.taken]
        recent: deque[float] = deque()
        for at in times:
            recent.append(at)
            while recent[0] <= at - 1:
                recent.popleft()
            if len(recent) >= rate:
                return at - start
        return float("inf")


def simulate(
    server: Server,
    seconds: float,
    *,
    latency: float = 0.2,
    jitter: float = 0.0,
    late: float = 0.0,
    max_rate: float | None = None,
    demand: Limit | None = None,
    in_flight: int = 10**6,
    joins: Sequence[float] = (0.0,),
    retry_after: float | None = None,
    seed: int = 1,
) -> Run:
    """Run one client for each moment in `joins`; each makes calls as fast as its controller allows.

    A response takes `latency` plus up to `jitter` seconds, and a timer is up to `late` seconds late. `demand` is the
    maximum number of calls per second that a client has to make. `retry_after` comes with each 302.
    """
    random = Random(seed)
    paces = [PaceController(max_rate=max_rate, random=Random(random.random())) for _ in joins]
    wanted_at, under_way = list(joins), [0] * len(joins)
    order = itertools.count()
    answers: list[tuple[float, int, int, float, bool]] = []
    calls: list[Call] = []
    leaves: list[float | None] = [None] * len(joins)
    now = 0.0
    while now < seconds:
        for client, pace in enumerate(paces):
            if leaves[client] is None and under_way[client] < in_flight:
                wait = pace.wait(now)
                due = max(now + wait + (random.random() * late if wait else 0.0), wanted_at[client])
                leaves[client] = due
        at, client = min(((due, who) for who, due in enumerate(leaves) if due is not None), default=(float("inf"), 0))
        if answers and answers[0][0] <= at:
            now, _, client, sent_at, taken = heapq.heappop(answers)
            under_way[client] -= 1
            if taken:
                paces[client].succeeded(now, sent_at=sent_at)
            else:
                paces[client].limited(now, sent_at=sent_at, retry_after=retry_after)
            continue
        now, leaves[client] = at, None
        if paces[client].wait(now) > 1e-9:
            continue  # slowed down meanwhile
        wanted_at[client] = now + 1 / demand(now) if demand else now
        paces[client].reserve(now)
        taken = server.takes(now)
        calls.append(Call(now, client, taken))
        under_way[client] += 1
        heapq.heappush(answers, (now + latency + random.random() * jitter, next(order), client, now, taken))
    return Run(paces, calls)
