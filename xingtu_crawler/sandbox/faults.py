"""The fault of each call: by rate, decided by (seed, call, attempt), or fixed, by endpoint and key.

This module only decides; `server` and `spoil` carry the fault out. Knows no HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox.population import scramble

WIRE_FAULTS = ("html", "garbage", "cut", "timeout", "reset", "redirect")
"""Faults below the envelope: there is no readable body."""
CONTENT_FAULTS = ("unknown_field", "bad_type", "deep", "surrogate", "bigint", "dotted", "wrong_id")
"""Answers with code 0 and unexpected contents."""
ENVELOPE_FAULTS = ("echo", "inner")
NAMES = (*WIRE_FAULTS, *ENVELOPE_FAULTS, *CONTENT_FAULTS)


def check_name(name: str) -> str:
    """Return the fault's name: a business code other than 0, or one of `NAMES`; raise `SandboxError` otherwise."""
    if name in NAMES:
        return name
    try:
        code = int(name)
    except ValueError:
        code = 0
    if code == 0:
        raise SandboxError(f"unknown fault {name!r}: use a business code (301, 302, ...) or {', '.join(NAMES)}.")
    return str(code)


def check_rates(rates: Mapping[str, float]) -> dict[str, float]:
    """Return fault name -> rate (0 to 1, at most 1 together); raise `SandboxError` if a name or rate is invalid."""
    checked: dict[str, float] = {}
    for name, rate in rates.items():
        if not (isinstance(rate, int | float) and math.isfinite(rate) and 0 <= rate <= 1):
            raise SandboxError(f"fault {name} has the rate {rate!r}: it must be a number from 0 to 1.")
        checked[check_name(name)] = float(rate)
    if sum(checked.values()) > 1 + 1e-9:
        raise SandboxError("the rates of the faults are more than 1 together: use smaller ones.")
    return checked


def parse_rates(specs: Sequence[str]) -> dict[str, float]:
    """Return fault name -> rate for `NAME=RATE` options; raise `SandboxError` if one is malformed."""
    rates: dict[str, float] = {}
    for spec in specs:
        name, separator, rate = spec.partition("=")
        try:
            rates[name] = float(rate)
        except ValueError:
            separator = ""
        if not separator:
            raise SandboxError(f"--fault {spec!r} is malformed: write --fault NAME=RATE, for example --fault 301=0.1.")
    return check_rates(rates)


def parse_failures(specs: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return (endpoint, star id or page) -> fault for `ENDPOINT:KEY=NAME` options.

    Raises `SandboxError` if one is malformed.
    """
    failures: dict[tuple[str, str], str] = {}
    for spec in specs:
        place, separator, name = spec.partition("=")
        endpoint, colon, key = place.partition(":")
        if not (separator and colon and key):
            raise SandboxError(
                f"--fail {spec!r} is malformed: write --fail ENDPOINT:KEY=NAME, for example --fail search:3=301."
            )
        if endpoint != SEARCH.name and endpoint not in DETAILS:
            raise SandboxError(
                f"--fail names endpoint {endpoint!r}: it must be one of {', '.join([SEARCH.name, *DETAILS])}."
            )
        failures[endpoint, key] = check_name(name)
    return failures


class Faults:
    """Chooses the fault of each call.

    `rates` can be replaced while the sandbox runs. Calls that are refused because of their token do not count as
    attempts, so the pace of a crawl does not change its faults.
    """

    def __init__(self, seed: int, rates: Mapping[str, float], sticky: Mapping[tuple[str, str], str]) -> None:
        self._seed = seed
        self.rates = dict(rates)
        self._sticky = dict(sticky)
        self._attempts: dict[int, int] = {}

    def choose(self, identity: int, endpoint: str, key: str) -> str | None:
        """Return the fault of this attempt of the call, or None.

        `identity` is a hash of the request, `key` a star id or a page number.
        """
        fault = self._sticky.get((endpoint, key))
        if fault is not None or not self.rates:
            return fault
        attempt = self._attempts[identity] = self._attempts.get(identity, 0) + 1
        draw = scramble(scramble(self._seed + identity) + attempt) / 2**64
        for name, rate in self.rates.items():
            if draw < rate:
                return name
            draw -= rate
        return None
