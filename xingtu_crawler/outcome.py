"""The outcome of a crawl: its figures, its close reason, its verdict with the findings, and the exit code.

Plain Python. The verdict is computed here and nowhere else: the log, the closing table, `runs`, `scrapy status` and the
exit code show this one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from xingtu_crawler.api.tokens import QUOTA_ZONE
from xingtu_crawler.verdict import SHARE, Finding, Findings, Verdict, by_severity, judge


@dataclass(frozen=True, slots=True)
class CloseReason:
    """What a close reason means, and what the user should do; docs/close-reasons.md is printed from these.

    `verdict`: the verdict on a crawl without findings. `before_calls`: it can also end a crawl before its first call,
    with exit code 2.
    """

    meaning: str
    advice: str | None
    verdict: Verdict = Verdict.INCOMPLETE
    before_calls: bool = False


_RESUME = "Run the same command again to go on where this crawl stopped."
CLOSE_REASONS: dict[str, CloseReason] = {
    "finished": CloseReason("Everything was fetched, or was up to date already.", None, Verdict.COMPLETE),
    "max_calls": CloseReason("The crawl has made max_calls calls, retries included.", _RESUME, Verdict.LIMITED),
    "max_authors": CloseReason(
        "The crawl has done max_authors authors.",
        "For more authors, run the command with a larger max_authors or without it: within max_age it goes on behind "
        "the pages that this crawl read.",
        Verdict.LIMITED,
    ),
    "daily_calls": CloseReason(
        "The crawls into this database have made XINGTU_DAILY_CALLS calls today (Beijing time).",
        "Run the same command again tomorrow (Beijing time), or raise XINGTU_DAILY_CALLS.",
        Verdict.LIMITED,
    ),
    "declined": CloseReason(
        "The user answered no to the forecast after page 1. The page is stored.",
        "Run the same command with a limit (max_calls, max_authors, max_pages), or answer yes: the crawl goes on "
        "behind page 1.",
        verdict=Verdict.LIMITED,
    ),
    "planned": CloseReason(
        "scrapy plan has stored the first page of each query.",
        "Run scrapy crawl with the same arguments: it goes on behind that page.",
        Verdict.LIMITED,
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
    "api_failing": CloseReason(
        "Endpoints of the API fail for many requests in a row, and no other request is left. The crawl has left the "
        "rest of their requests open.",
        "Run the same command again later: it requests only what is missing. If it fails again, send the provider the "
        "request ids: scrapy find failures",
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

_SCRAPYS_LIMIT = (
    "It ends a crawl in the middle of its work; max_calls and max_authors are limits that a crawl plans for."
)
SCRAPYS_REASONS: dict[str, CloseReason] = {
    "closespider_timeout": CloseReason("CLOSESPIDER_TIMEOUT seconds are over.", _RESUME),
    "closespider_itemcount": CloseReason("CLOSESPIDER_ITEMCOUNT items are stored.", _RESUME),
    "closespider_pagecount": CloseReason("CLOSESPIDER_PAGECOUNT responses have arrived.", _RESUME),
    "closespider_errorcount": CloseReason(
        "CLOSESPIDER_ERRORCOUNT errors have occurred.", f"Read the ERROR lines of the log. {_RESUME}"
    ),
    "closespider_timeout_no_item": CloseReason("No item was stored for CLOSESPIDER_TIMEOUT_NO_ITEM seconds.", _RESUME),
    "closespider_pagecount_no_item": CloseReason(
        "CLOSESPIDER_PAGECOUNT_NO_ITEM responses have arrived without an item.", _RESUME
    ),
    "memusage_exceeded": CloseReason(
        "The crawl uses more memory than MEMUSAGE_LIMIT_MB.", f"Raise MEMUSAGE_LIMIT_MB. {_RESUME}"
    ),
    "cancelled": CloseReason("A spider or an extension of yours closed the crawl without a reason.", _RESUME),
}
"""Scrapy's own close reasons."""
UNKNOWN_REASON = CloseReason("A spider or an extension of yours closed the crawl.", _RESUME)
"""What every other close reason means."""

REFUSAL_STAT = "xingtu/refusal"
"""The error that ends a crawl, one line of text."""
SECONDS_STAT = "xingtu/seconds"
"""Seconds from the start of the run until every answer is stored."""
CLOSING_ERRORS_STAT = "xingtu/closing_errors"
"""Steps of the closing that failed; Scrapy no longer counts log records then."""
MAX_REASONS = 5
"""Maximum number of reasons that the line with the verdict names."""
MAX_FINDINGS = 200
"""Maximum number of findings in `runs`, so that the document stays small."""


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
    fresh_by_endpoint: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    open_failures: int = 0
    terminal_failures: int = 0
    quarantined: int = 0
    unparsed: int = 0
    unknown_fields: int = 0
    authors: int = 0
    errors: int = 0
    closing_errors: int = 0
    spilled: int = 0
    page_bytes_left_out: int = 0
    refusal: str | None = None
    """The error that ended the crawl, if any: it says already what to do."""
    changes: tuple[str, ...] = ()
    """What a repeated crawl has changed, in lines for the log."""
    collected: tuple[Finding, ...] = ()
    """What the parts of the crawl have found; `findings` has the rest too."""

    @classmethod
    def of(
        cls, stats: Mapping[str, Any], close_reason: str, *, seconds: float, collected: Iterable[Finding] = ()
    ) -> Self:
        """Return the outcome of a crawl.

        Args:
            stats: Scrapy's stats of the crawl.
            close_reason: why it was closed; empty while it runs.
            seconds: how long it took.
            collected: what its parts have found.
        """

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
            fresh_by_endpoint=under("fresh"),
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
            closing_errors=stats.get(CLOSING_ERRORS_STAT, 0),
            spilled=stats.get("xingtu/spilled", 0),
            page_bytes_left_out=stats.get("xingtu/page_bytes_left_out", 0),
            refusal=stats.get(REFUSAL_STAT),
            collected=tuple(collected),
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
            "verdict": str(self.verdict) if self.close_reason else None,
            "findings": [found.as_document() for found in self.findings[:MAX_FINDINGS]],
        }

    # --- Verdict -------------------------------------------------------------------------------------------

    @property
    def reason(self) -> CloseReason:
        """What the close reason means."""
        return CLOSE_REASONS.get(self.close_reason) or SCRAPYS_REASONS.get(self.close_reason) or UNKNOWN_REASON

    @property
    def verdict(self) -> Verdict:
        """The verdict on the crawl."""
        verdict = judge(self.reason.verdict, self.findings)
        return Verdict.FAILED if verdict is Verdict.INCOMPLETE and not self._has_result else verdict

    @property
    def _has_result(self) -> bool:
        """Whether the crawl has stored something, found it up to date, or learned that the API does not have it."""
        is_unavailable = any(found.kind == "details_unavailable" for found in self._judged)
        return bool(self.stored or self.fresh or is_unavailable)

    @property
    def findings(self) -> list[Finding]:
        """The reasons for the verdict and notes beside it, the most severe first."""
        own = Findings()
        if self.close_reason:
            self._explain_end(own)
        if self.spilled:
            own.add("spilled", "{count} answers are in a spill file: MongoDB was gone", count=self.spilled)
        if self.closing_errors:
            own.add("closing_errors", "{count} steps of the closing failed", count=self.closing_errors)
        if self.page_bytes_left_out:
            own.add(
                "page_bytes_left_out",
                "search pages say {count} bytes more beside their authors than is stored",
                count=self.page_bytes_left_out,
            )
        self._cover_the_rest(own)
        return by_severity([*own, *self._with_shares()])

    def _explain_end(self, own: Findings) -> None:
        reason = self.reason
        if reason.verdict is not Verdict.COMPLETE:
            kind = "limited" if reason.verdict is Verdict.LIMITED else "interrupted"
            message = self.refusal or reason.meaning.split(". ")[0].rstrip(".")
            own.add(kind, f"{self.close_reason}: {message}", advice=reason.advice, severity=reason.verdict)

    def _cover_the_rest(self, own: Findings) -> None:
        """Add a finding for each figure that no collected finding explains."""
        kinds = {found.kind for found in self.collected}
        if self.quarantined and "quarantined" not in kinds:
            own.add("quarantined", "{count} answers are no documents: they are in quarantine", count=self.quarantined)
        is_explained = judge(self.reason.verdict, [*own, *self.collected]).rank >= Verdict.INCOMPLETE.rank
        if self.open_failures and not is_explained:
            own.add("requests_failed", "{count} requests failed", count=self.open_failures)
        elif self.errors and not is_explained:
            own.add("log_errors", "{count} errors are in the log", count=self.errors)

    def _with_shares(self) -> list[Finding]:
        """Return the collected findings; an endpoint that lacks many authors' details makes the run incomplete."""
        unavailable: Counter[str] = Counter()
        for found in self._judged:
            if found.kind == "details_unavailable":
                unavailable[found.endpoint] += found.count
        return [
            replace(found, severity=Verdict.INCOMPLETE)
            if found.kind == "details_unavailable"
            and unavailable[found.endpoint] >= SHARE * self._wanted(found.endpoint, unavailable[found.endpoint])
            else found
            for found in self._judged
        ]

    @property
    def _judged(self) -> list[Finding]:
        """Return the collected findings; where an endpoint refuses too often, nothing of it counts as unavailable."""
        often = {found.endpoint for found in self.collected if found.kind == "refused_often"}
        return [found for found in self.collected if found.kind != "details_unavailable" or found.endpoint not in often]

    def _wanted(self, endpoint: str, unavailable: int) -> int:
        """Return the number of details of an endpoint that the crawl wanted."""
        failed = sum(
            found.count for found in self.collected if found.kind == "details_failed" and found.endpoint == endpoint
        )
        received = self.answers.get(endpoint, {}).get("0", 0)
        return received + unavailable + failed + self.fresh_by_endpoint.get(endpoint, 0)

    def exit_code(self) -> int:
        """Return the exit code of the crawl; 2 where it was refused before its first call."""
        if self.refusal is not None and self.calls == 0:
            return 2
        return 0 if self.verdict.is_good else 1

    # --- Last lines ----------------------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        """Yield the last lines of a crawl: what it did, what it cost, what failed, what to do next, the verdict."""
        writes = "" if self.changes else f"{sum(self.stored.values())} writes, "
        yield (
            f"Closed ({self.close_reason}) after {self.seconds:.1f} s: {self.authors} authors, {writes}{self.fresh} "
            "details already up to date"
        )
        yield from self.changes
        yield (
            f"Cost: {self.calls} calls, {self.billed} of them billed and {self.maybe_billed} possibly billed, "
            f"{self.retries} retries"
        )
        if self.failures or self.quarantined:
            what = ", ".join(f"{name}: {count}" for name, count in self.failures.items()) or "none"
            yield f"Failed: {what}; quarantined: {self.quarantined}"
        for found in self.findings:
            if not _is_reason(found):
                yield f"Note: {found.line}"
        if self.refusal is None and (step := self.next_step()):
            yield f"Next: {step}"
        yield self.verdict_line()

    def verdict_line(self) -> str:
        """Return the verdict with its reasons in one line."""
        reasons = [found.line for found in self.findings if _is_reason(found)]
        shown = "; ".join(reasons[:MAX_REASONS])
        more = f"; and {len(reasons) - MAX_REASONS} more in runs.findings" if reasons[MAX_REASONS:] else ""
        return f"Verdict: {self.verdict}" + (f": {shown}{more}" if reasons else "")

    def next_step(self) -> str | None:
        """Return what to do next, or None if nothing is left to do."""
        if self.reason.advice:
            return self.reason.advice
        steps = (found.advice for found in self.findings if found.severity is not Verdict.COMPLETE)
        return next((step for step in steps if step), None)


def _is_reason(found: Finding) -> bool:
    """Return whether a finding belongs to the verdict; what an incomplete or limited run has covered does."""
    return found.severity is not Verdict.COMPLETE or found.kind == "coverage"


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
