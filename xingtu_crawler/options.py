"""Can the settings mean anything? Asked before a crawl starts: every number is read once, a wrong one is named.

Knows the names and bounds of settings; nothing of what they do, and nothing of Scrapy.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xingtu_crawler.exceptions import SandboxError, UserError
from xingtu_crawler.sandbox import options


@dataclass(frozen=True, slots=True)
class Number:
    """How a numeric setting is written: its least value, whether that one is allowed, and whether it is whole."""

    least: int
    unit: str = ""
    whole: bool = False
    above: bool = False

    def allows(self, value: object) -> bool:
        """Tell whether a value, as typed or as a number, is one of these."""
        try:
            number = (int if self.whole else float)(str(value))
        except ValueError:
            return False
        return math.isfinite(number) and number >= self.least and not (self.above and number == self.least)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        bound = f"above {self.least}" if self.above else f"from {self.least} up"
        return f"{kind} of {self.unit} {bound}" if self.unit else f"{kind} {bound}"


NUMBERS: dict[str, Number] = {
    "XINGTU_MAX_RATE": Number(0, "calls per second"),
    "XINGTU_MAX_ATTEMPTS": Number(1, whole=True),
    "XINGTU_BACKOFF_BASE": Number(0, "seconds"),
    "XINGTU_BACKOFF_MAX": Number(0, "seconds"),
    "XINGTU_EMBEDDED_MIN_FREE": Number(0, "bytes", whole=True),
    "XINGTU_STORAGE_PATIENCE": Number(0, "seconds"),
    "XINGTU_DAILY_CALLS": Number(0, whole=True),
    # Scrapy's own, where a wrong one would be a traceback or a crawl that never ends.
    "CONCURRENT_REQUESTS": Number(1, whole=True),
    "CONCURRENT_ITEMS": Number(1, whole=True),
    "DOWNLOAD_TIMEOUT": Number(0, "seconds", above=True),
    "DOWNLOAD_MAXSIZE": Number(0, "bytes", whole=True),
}
"""Every numeric setting of the project."""

SWITCHES = ("XINGTU_HISTORY", "HTTPPROXY_ENABLED")
"""Settings that are on or off."""
_POSITIONS = {"0", "1", "true", "false", "True", "False"}

SLOTS = ("DOWNLOAD_DELAY", "DOWNLOAD_SLOTS", "AUTOTHROTTLE_ENABLED")
"""Scrapy's settings of slots, which this downloader does not have."""


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise `UserError`, naming the setting, for the first one that cannot mean anything."""
    for name, number in NUMBERS.items():
        if not number.allows(settings[name]):
            raise UserError(f"{name} is {str(settings[name])!r}: it is {number}.")
    for name in SWITCHES:
        if str(settings[name]) not in _POSITIONS:
            raise UserError(f"{name} is {str(settings[name])!r}: it is 0 or 1.")
    for name in SLOTS:
        if settings[name] and str(settings[name]) not in {"0", "0.0", "False", "false", "{}"}:
            raise UserError(
                f"{name} has no meaning here, the pace is found out: leave it out, or cap it with XINGTU_MAX_RATE."
            )
    sandbox_arguments(settings["XINGTU_SANDBOX"])


def check_log_level(level: object) -> None:
    """Raise `UserError` where Scrapy could not set the log up."""
    names = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")
    if not (isinstance(level, int) or level in names):
        raise UserError(f"LOG_LEVEL is {str(level)!r}: it is one of {', '.join(names)}.")


def sandbox_arguments(typed: str | None) -> list[str]:
    """Return `XINGTU_SANDBOX` as a list of words; raise `SandboxError` where the sandbox would not start with them."""
    try:
        words = shlex.split(typed or "")
        options.parse(words)
    except (SandboxError, ValueError) as error:
        reason = str(error) if isinstance(error, SandboxError) else f"{error}: close the quotation mark."
        raise SandboxError(f"XINGTU_SANDBOX: {reason}") from None
    return words
