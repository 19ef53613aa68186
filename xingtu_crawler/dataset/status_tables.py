"""`scrapy status`: the state of a dataset as tables. Knows the keys of `dataset/status`, nothing of MongoDB."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from xingtu_crawler.dataset.fitting import FittingTable
from xingtu_crawler.dataset.status import AGES
from xingtu_crawler.verdict import Verdict

_FOOTNOTE = "~ marks an estimate: the collection is too large to count it quickly."
_REASONS = 3
"""Maximum number of reasons for the verdict on the last run."""


def render(state: dict[str, Any]) -> RenderableType:
    """Return the tables of a dataset's state, as `status.read` returns it, without tables that have no rows."""
    parts: list[RenderableType] = [_line(f"Database {state['database']} at {state['at']:%Y-%m-%d %H:%M:%S} UTC")]
    parts += [
        table
        for table in (
            _runs(state["runs"]),
            _sweeps(state["open_sweeps"]),
            _coverage(state["coverage"]),
            _failures(state["failures"]),
            _quarantine(state["quarantine"]),
            _days(state["days"]),
            _daily_calls(state["daily_calls"]),
            _documents(state["documents"], state["history"]),
        )
        if table.rows
    ]
    parts += [_line(line) for line in _lines(state)]
    return Group(*parts)


def _line(text: str) -> Text:
    """Return a line that wraps between words: a path stays whole, so that it can be copied."""
    return Text(text, overflow="ignore")


def _lines(state: dict[str, Any]) -> Iterator[str]:
    if not state["runs"]:
        name = state["database"]
        yield f"No crawl into the database {name} yet. MONGO_URI, MONGO_DATABASE and JUSTONEAPI_ENV choose it."
    else:
        yield from _reasons(state["runs"][0])
    spill = state["spill"]
    if spill["files"]:
        yield (
            f"Spill: {spill['answers']:,} answers in {spill['files']:,} files under {spill['directory']}; the next "
            "crawl loads them, or scrapy replay."
        )
    if spill["refused_files"]:
        yield (
            f"Spill: MongoDB refuses {spill['refused_answers']:,} answers in {spill['refused_files']:,} files under "
            f"{spill['directory']} (*.refused): correct what it refuses, then run scrapy replay."
        )
    if spill["broken_files"]:
        yield f"Spill: {spill['broken_files']:,} files under {spill['directory']} (*.broken) have incomplete lines."
    if state["quarantine"]:
        yield "Quarantine: scrapy replay --dry-run counts what the current models can recover."
    if any(count["estimate"] for count in state["documents"].values()):
        yield _FOOTNOTE


def _reasons(run: dict[str, Any]) -> Iterator[str]:
    """Yield the reasons for the verdict on the last run, without notes."""
    reasons = [found for found in run["findings"] if found["severity"] != Verdict.COMPLETE]
    if run["verdict"] is not None:
        for found in reasons[:_REASONS]:
            yield f"Last run {run['verdict']}: {found['message']}"
        if reasons[_REASONS:]:
            yield f"and {len(reasons) - _REASONS} more: scrapy status --json"


def _runs(runs: list[dict[str, Any]]) -> FittingTable:
    rows = (
        (
            _time(run["started_at"]),
            run["spider"] or "",
            run["close_reason"] or run["state"],
            run["verdict"] or "-",
            _number(run["calls"]),
            _number(run["authors"]),
            "" if run["seconds"] is None else f"{run['seconds']:,.1f}",
        )
        for run in runs
    )
    columns = ("began (UTC)", "spider", "ended", "verdict", "calls", "authors", "seconds")
    return FittingTable(
        "Last runs", columns, rows, numbers_from=4, wraps=("began (UTC)",), optional=("seconds", "spider")
    )


def _sweeps(sweeps: list[dict[str, Any]]) -> FittingTable:
    rows = (
        (
            _time(sweep["started_at"]),
            " ".join(f"{name}={value}" for name, value in sweep["filters"].items()) or "all authors",
            _number(sweep["pages_read"]),
            "none" if sweep["next_page"] is None else _number(sweep["next_page"]),
            _number(sweep["authors"]),
            _number(sweep["total_count"]) + (" or more" if sweep["capped"] else ""),
        )
        for sweep in sweeps
    )
    columns = ("began (UTC)", "query", "pages", "next", "authors", "of")
    title = "Open sweeps: the same command resumes them"
    return FittingTable(title, columns, rows, numbers_from=2, wraps=("query", "began (UTC)", "of"))


def _coverage(coverage: dict[str, Any]) -> FittingTable:
    rows = (
        (
            row["endpoint"],
            row["platform"],
            _count(row["authors"], row["estimate"]),
            *(_count(row["older_than"][age], row["estimate"]) for age in AGES),
        )
        for row in coverage["details"]
    )
    authors = _count(coverage["authors"]["count"], coverage["authors"]["estimate"])
    columns = ("endpoint", "platform", "authors", *(f"older than {age}" for age in AGES))
    title = f"Details ({authors} authors from the search)"
    return FittingTable(title, columns, rows, numbers_from=2, wraps=columns[3:])


def _failures(failures: list[dict[str, Any]]) -> FittingTable:
    rows = (
        (
            row["endpoint"],
            "" if row["code"] is None else str(row["code"]),
            row["reason"],
            "see Quarantine"
            if row["reason"] == "quarantined"
            else "unavailable"
            if row["terminal"]
            else "retried with failed=1",
            _number(row["count"]),
        )
        for row in failures
    )
    columns = ("endpoint", "code", "reason", "then", "requests")
    return FittingTable("Failures", columns, rows, numbers_from=4, wraps=("reason", "then"))


def _quarantine(quarantine: list[dict[str, Any]]) -> FittingTable:
    rows = ((row["reason"], _number(row["count"])) for row in quarantine)
    return FittingTable("Quarantine", ("reason", "answers"), rows, numbers_from=1, wraps=("reason",))


def _days(days: dict[str, Any]) -> FittingTable:
    total = [{"day": "all days", **days["total"]}] if days["recent"] else []
    rows = (
        (
            day["day"],
            _number(day["runs"]),
            _number(day["calls"]),
            _number(day["billed"]),
            # The sum is not the whole cost if the account endpoint failed for some runs.
            "unknown"
            if day["cost"] is None
            else day["cost"] + ("" if day["runs_with_cost"] == day["runs"] else f" ({day['runs_with_cost']} runs)"),
        )
        for day in [*days["recent"], *total]
    )
    title = "Runs by day (Asia/Shanghai)"
    return FittingTable(title, ("day", "runs", "calls", "billed", "cost"), rows, numbers_from=1)


def _daily_calls(daily: dict[str, Any]) -> FittingTable:
    rows = ((each["day"], _number(each["calls"])) for each in daily["days"])
    limit = "no limit" if daily["cap"] is None else f"limit {daily['cap']:,}"
    return FittingTable(f"Calls by day ({limit})", ("day (Asia/Shanghai)", "calls"), rows, numbers_from=1)


def _documents(documents: dict[str, dict[str, Any]], history: dict[str, Any]) -> FittingTable:
    spells = history["by_entity"] or {}
    rows = (
        (name, _count(count["count"], count["estimate"]), _number(spells[name]) if name in spells else "")
        for name, count in sorted(documents.items())
        if count["count"]
    )
    return FittingTable("Documents", ("collection", "documents", "ended spells"), rows, numbers_from=1)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _number(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _count(count: int, estimate: bool) -> str:
    return f"~{count:,}" if estimate else f"{count:,}"
