"""What a crawl came to: figures from its stats, the words for them, and the exit code. Plain Python, no Scrapy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from xingtu_crawler.api.tokens import QUOTA_ZONE

DONE = frozenset({"finished", "max_authors", "max_calls", "daily_calls", "planned"})
"""The close reasons of a crawl that did what it was asked to, the limits that were typed included."""

NEXT_STEP: dict[str, str] = {
    "max_calls": "Type the same command again to go on where this crawl stopped.",
    "daily_calls": "The daily cap is reached: type the same command again tomorrow (Beijing time).",
    "max_authors": "For more, type it with a larger max_authors or without: what is fresh is not asked again.",
    "no_valid_token": "Every token was refused: check JUSTONEAPI_TOKEN, then type the same command again.",
    "quota_exhausted": "The daily quota is used up: type the same command again tomorrow (Beijing time).",
    "insufficient_balance": "The account has no money left: top it up, then type the same command again.",
    "storage_unavailable": "Bring MongoDB back, then type the same command again.",
    "api_unavailable": "When the API can be reached, type the same command again.",
    "shutdown": "Type the same command again to go on where this crawl stopped.",
    "start_error": "A defect: report it with the traceback that the log holds.",
}
"""What to do after each close reason; `finished` needs nothing."""


SECONDS_STAT = "xingtu/seconds"
"""From the start of the run until everything that was answered is stored."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of one crawl; dictionaries are keyed by endpoint, collection or outcome."""

    close_reason: str
    seconds: float
    calls: int
    answers: dict[str, dict[str, int]] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    billed: int = 0
    maybe_billed: int = 0
    fresh: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    open_failures: int = 0
    terminal_failures: int = 0
    quarantined: int = 0
    unparsed: int = 0
    unknown_fields: int = 0
    authors: int = 0
    errors: int = 0

    @classmethod
    def of(cls, stats: Mapping[str, Any], close_reason: str, *, seconds: float) -> Self:
        """Read the figures from a crawl's stats, by name."""

        def under(prefix: str) -> dict[str, int]:
            start = f"xingtu/{prefix}/"
            return {key[len(start) :]: value for key, value in sorted(stats.items()) if key.startswith(start)}

        answers: dict[str, dict[str, int]] = {}
        for key, count in under("answers").items():
            endpoint, outcome = key.split("/", 1)
            answers.setdefault(endpoint, {})[outcome] = count
        failures = {key: count for key, count in under("failures").items() if "/" in key}
        return cls(
            close_reason=close_reason,
            seconds=round(seconds, 3),
            calls=stats.get("xingtu/calls", 0),
            answers=answers,
            stored=under("stored"),
            billed=stats.get("xingtu/billed", 0),
            maybe_billed=stats.get("xingtu/maybe_billed", 0),
            retries=stats.get("xingtu/retries", 0),
            fresh=stats.get("xingtu/fresh", 0),
            failures=failures,
            open_failures=stats.get("xingtu/failures/open", 0),
            terminal_failures=stats.get("xingtu/failures/terminal", 0),
            quarantined=stats.get("xingtu/quarantined", 0),
            unparsed=sum(under("unparsed").values()),
            unknown_fields=sum(under("unknown_fields").values()),
            authors=stats.get("xingtu/authors", 0),
            errors=stats.get("log_count/ERROR", 0) + stats.get("spider_exceptions/count", 0),
        )

    def figures(self) -> dict[str, Any]:
        """Return what goes into `runs`; keys that hold an endpoint or a code are safe field names."""
        return {
            "seconds": self.seconds,
            "calls": {
                "total": self.calls,
                "billed": self.billed,
                "maybe_billed": self.maybe_billed,
                "retries": self.retries,
                "by_endpoint": self.answers,
            },
            "authors": self.authors,
            "stored": self.stored,
            "fresh": self.fresh,
            "failures": {
                "open": self.open_failures,
                "terminal": self.terminal_failures,
                "by_reason": [{"what": what, "count": count} for what, count in self.failures.items()],
            },
            "quarantined": self.quarantined,
            "unparsed": self.unparsed,
            "unknown_fields": self.unknown_fields,
        }

    @property
    def did_its_job(self) -> bool:
        """Whether everything that was asked for is there, as far as it exists."""
        missed = self.open_failures or self.quarantined or self.errors
        return self.close_reason in DONE and not missed

    def lines(self, *, refusal: str | None) -> Iterator[str]:
        """Yield the last lines of a crawl: what was done, what it cost, what failed, what to type next."""
        documents = sum(self.stored.values())
        yield (
            f"Closed ({self.close_reason}) after {self.seconds:.1f} s: {self.authors} authors, {documents} writes, "
            f"{self.fresh} details fresh enough to be left"
        )
        yield (
            f"Cost: {self.calls} calls, {self.billed} of them billed and {self.maybe_billed} that may have been, "
            f"{self.retries} retries"
        )
        if self.failures or self.quarantined:
            what = ", ".join(f"{name}: {count}" for name, count in self.failures.items()) or "none"
            yield f"Failed: {what}; quarantined: {self.quarantined}"
        if refusal is None and (step := self.next_step()):
            yield f"Next: {step}"

    def next_step(self) -> str | None:
        """Return what to type next, where something is left to be done."""
        if self.close_reason == "finished" and self.open_failures:
            return "Type the same command again: only what failed is asked again."
        if self.close_reason == "finished" and self.quarantined:
            return "Look at the answers that do not fit: scrapy find quarantine."
        return NEXT_STEP.get(self.close_reason)


class CallsByDay:
    """The calls of a run by the day (Asia/Shanghai) on which they were made, as closely as it is asked for them."""

    def __init__(self) -> None:
        self._days: dict[str, dict[str, int]] = {}
        self._counted = {"calls": 0, "billed": 0}

    def until(self, now: datetime, outcome: Outcome) -> dict[str, dict[str, int]]:
        """Count as today's what has come since the last time; return `calls` and `billed` of every day with calls."""
        figures = {"calls": outcome.calls, "billed": outcome.billed}
        if figures != self._counted:
            today = self._days.setdefault(now.astimezone(QUOTA_ZONE).date().isoformat(), {"calls": 0, "billed": 0})
            for name, figure in figures.items():
                today[name] += figure - self._counted[name]
            self._counted = figures
        return self._days
