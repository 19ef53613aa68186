"""The outcome of a crawl: its figures, its close reason with the advice for it, and the exit code. Plain Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from xingtu_crawler.api.tokens import QUOTA_ZONE


@dataclass(frozen=True, slots=True)
class CloseReason:
    """What a close reason means, and what the user should do; docs/close-reasons.md is printed from these.

    `is_success`: the crawl did what it was asked to do, limits included, so the exit code is 0 unless something is
    missing. `before_calls`: it can also end a crawl before its first call, with exit code 2. Otherwise the code is 1.
    """

    meaning: str
    advice: str | None
    is_success: bool = False
    before_calls: bool = False


_RESUME = "Run the same command again to go on where this crawl stopped."
CLOSE_REASONS: dict[str, CloseReason] = {
    "finished": CloseReason("Everything was fetched, or was up to date already.", None, is_success=True),
    "max_calls": CloseReason("The crawl has made max_calls calls, retries included.", _RESUME, is_success=True),
    "max_authors": CloseReason(
        "The crawl has done max_authors authors.",
        "For more authors, run the command with a larger max_authors or without it: within max_age it goes on behind "
        "the pages that this crawl read.",
        is_success=True,
    ),
    "daily_calls": CloseReason(
        "The crawls into this database have made XINGTU_DAILY_CALLS calls today (Beijing time).",
        "Run the same command again tomorrow (Beijing time), or raise XINGTU_DAILY_CALLS.",
        is_success=True,
    ),
    "planned": CloseReason(
        "scrapy plan has stored the first page of each query.",
        "Run scrapy crawl with the same arguments: it goes on behind that page.",
        is_success=True,
    ),
    "no_valid_token": CloseReason(
        "The API refused every token (code 100 or 101).",
        "Copy the token again from the provider's dashboard into JUSTONEAPI_TOKEN, then run the same command again.",
    ),
    "quota_exhausted": CloseReason(
        "The daily quota of every token is used up (code 303).",
        "Run the same command again tomorrow (Beijing time), or add another token.",
    ),
    "insufficient_balance": CloseReason(
        "The account has no money left (code 601), or every token has reached its spend limit (code 602).",
        "Top up the account or raise the limit, then run the same command again.",
    ),
    "storage_unavailable": CloseReason(
        "MongoDB could not be opened, or was away for longer than XINGTU_STORAGE_PATIENCE. Paid answers that it did "
        "not take are in a spill file under XINGTU_DATA_DIR.",
        "Bring MongoDB back, then run the same command again: it loads the spill file first.",
        before_calls=True,
    ),
    "api_unavailable": CloseReason(
        "The API's host is unknown, refuses connections, has a wrong certificate, or is not the API.",
        "Check JUSTONEAPI_BASE_URL, JUSTONEAPI_ENV and the network, then run the same command again.",
        before_calls=True,
    ),
    "shutdown": CloseReason(
        "Ctrl-C, SIGTERM, SIGHUP or scrapyd's cancel ended the crawl. What was in flight is stored, unless a second "
        "Ctrl-C ended the crawl at once.",
        _RESUME,
    ),
    "start_error": CloseReason(
        "The spider failed before its first request: a defect.", "Report it with the traceback in the log."
    ),
}
"""Every close reason of this project."""

AFTER_FAILURES = "Run the same command again: it fetches only what failed."
AFTER_QUARANTINE = "Look at the answers that are no documents: scrapy find quarantine."

SECONDS_STAT = "xingtu/seconds"
"""Seconds from the start of the run until every answer is stored."""
CLOSING_ERRORS_STAT = "xingtu/closing_errors"
"""Steps of the closing that failed; Scrapy no longer counts log records then."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of one crawl. The keys of the dictionaries are endpoints, collections or business codes."""

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
        """Return the figures in a crawl's `stats`; `seconds` is how long it took."""

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
            errors=(
                stats.get("log_count/ERROR", 0)
                + stats.get("spider_exceptions/count", 0)
                + stats.get(CLOSING_ERRORS_STAT, 0)
            ),
        )

    def figures(self) -> dict[str, Any]:
        """Return the figures for `runs`. Every key is a valid field name in MongoDB."""
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
        """Whether the crawl did what it was asked to do and nothing is missing that the API has."""
        reason = CLOSE_REASONS.get(self.close_reason)
        missed = self.open_failures or self.quarantined or self.errors
        return reason is not None and reason.is_success and not missed

    def exit_code(self, *, refused: bool) -> int:
        """Return the exit code of the crawl; `refused`: the user has to correct something first."""
        if refused and self.calls == 0:
            return 2
        return 0 if self.did_its_job else 1

    def lines(self, *, refusal: str | None) -> Iterator[str]:
        """Yield the last lines of a crawl: what it did, what it cost, what failed and what to do next.

        `refusal` is the error that ended the crawl, if any: it says already what to do.
        """
        documents = sum(self.stored.values())
        yield (
            f"Closed ({self.close_reason}) after {self.seconds:.1f} s: {self.authors} authors, {documents} writes, "
            f"{self.fresh} details already up to date"
        )
        yield (
            f"Cost: {self.calls} calls, {self.billed} of them billed and {self.maybe_billed} possibly billed, "
            f"{self.retries} retries"
        )
        if self.failures or self.quarantined:
            what = ", ".join(f"{name}: {count}" for name, count in self.failures.items()) or "none"
            yield f"Failed: {what}; quarantined: {self.quarantined}"
        if refusal is None and (step := self.next_step()):
            yield f"Next: {step}"

    def next_step(self) -> str | None:
        """Return what to do next, or None if nothing is left to do."""
        if self.close_reason == "finished" and self.open_failures:
            return AFTER_FAILURES
        if self.close_reason == "finished" and self.quarantined:
            return AFTER_QUARANTINE
        reason = CLOSE_REASONS.get(self.close_reason)
        return reason.advice if reason else None


class CallsByDay:
    """The calls of a run by day (Asia/Shanghai): each call of `until` counts what is new as that day's."""

    def __init__(self) -> None:
        self._days: dict[str, dict[str, int]] = {}
        self._counted = {"calls": 0, "billed": 0}

    def until(self, now: datetime, outcome: Outcome) -> dict[str, dict[str, int]]:
        """Count the calls since the last time as today's; return `calls` and `billed` of every day with calls."""
        figures = {"calls": outcome.calls, "billed": outcome.billed}
        if figures != self._counted:
            today = self._days.setdefault(now.astimezone(QUOTA_ZONE).date().isoformat(), {"calls": 0, "billed": 0})
            for name, figure in figures.items():
                today[name] += figure - self._counted[name]
            self._counted = figures
        return self._days
