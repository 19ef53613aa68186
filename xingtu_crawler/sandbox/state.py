"""The part of a running sandbox that changes: the ledger, the tokens' counts, and what `/__control` can set.

`server` reads it for every call and `control` changes it. Knows no HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox import faults, tokens
from xingtu_crawler.sandbox.faults import Faults
from xingtu_crawler.sandbox.ledger import Ledger
from xingtu_crawler.sandbox.options import Config
from xingtu_crawler.sandbox.tokens import Tokens


@dataclass(slots=True)
class State:
    """The state of one sandbox; `latency` and `jitter` are in milliseconds, `day` counts from 0."""

    day: int
    latency: float
    jitter: float
    faults: Faults
    tokens: Tokens
    ledger: Ledger = field(default_factory=Ledger)

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return the state in which a sandbox with this configuration starts."""
        return cls(
            day=config.day,
            latency=config.latency,
            jitter=config.jitter,
            faults=Faults(config.seed, config.rates, config.failures),
            tokens=Tokens(config.tokens, config.rate),
        )

    def summary(self) -> dict[str, Any]:
        """Return the current settings, ready for JSON."""
        return {
            "day": self.day,
            "faults": self.faults.rates,
            "rate": self.tokens.rate,
            "latency": self.latency,
            "jitter": self.jitter,
        }

    def change(self, changes: dict[str, Any]) -> None:
        """Apply all of `changes`; if one of them is invalid, raise `SandboxError` and change nothing.

        `day` (int), `rate` (calls/s), `latency` and `jitter` (milliseconds), `faults` {name: rate} and `tokens`
        {name: spec} replace the previous value. `reset_ledger` (true) clears the ledger.
        """
        # Every value is checked before the first one is set.
        for apply in [self._step(name, value) for name, value in changes.items()]:
            apply()

    def _step(self, name: str, value: Any) -> Callable[[], None]:
        """Return the function that makes one change; raise `SandboxError` if the value is invalid."""
        match name:
            case "day":
                if type(value) is not int or not 0 <= value <= 100_000:
                    raise SandboxError(f"day is {value!r}: it must be an integer from 0 to 100000.")
                return partial(setattr, self, name, value)
            case "latency" | "jitter":
                if type(value) not in (int, float) or not (math.isfinite(value) and value >= 0):
                    raise SandboxError(f"{name} is {value!r}: it must be a number of milliseconds.")
                return partial(setattr, self, name, float(value))
            case "faults":
                return partial(setattr, self.faults, "rates", faults.check_rates(_mapping(name, value)))
            case "rate":
                return partial(self.tokens.set_rate, tokens.check_rate(value))
            case "tokens":
                specs = {token: tokens.parse_spec(str(spec)) for token, spec in _mapping(name, value).items()}
                tokens.check_accounts(specs)
                return partial(self.tokens.configure, specs)
            case "reset_ledger":
                if type(value) is not bool:
                    raise SandboxError(f"reset_ledger is {value!r}: it must be true or false.")
                return self.ledger.reset if value else _nothing
        raise SandboxError(f"unknown change {name!r}: use day, faults, rate, latency, jitter, tokens or reset_ledger.")


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SandboxError(f"{name} is {value!r}: it must be a JSON object.")
    return value


def _nothing() -> None:
    """Make no change."""
