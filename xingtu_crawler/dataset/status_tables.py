"""`scrapy status`: the state of a dataset as tables. Knows the keys of `dataset/status`, nothing of MongoDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xingtu_crawler.dataset.status import AGES

_FOOTNOTE = "~ marks an estimate: the collection is too large to count it quickly."


def render(state: dict[str, Any]) -> RenderableType:
    """Return the tables of a dataset's state, as `status.read` returns it, without tables that have no rows."""
    parts: list[RenderableType] = [Text(f"Database {state['database']} at {_time(state['at'])} UTC")]
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
        if table.row_count
    ]
    parts += [Text(line) for line in _lines(state)]
    return Group(*parts)


def _lines(state: dict[str, Any]) -> Iterator[str]:
    if not state["runs"]:
        yield f"No crawl into the database {state['database']} yet; for sandbox crawls set JUSTONEAPI_ENV=sandbox."
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


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int) -> Table:
    table = Table(title=title, title_justify="left")
    for at, column in enumerate(columns):
        right = at >= numbers_from
        table.add_column(column, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _runs(runs: list[dict[str, Any]]) -> Table:
    rows = (
        (
            _time(run["started_at"]),
            run["spider"] or "",
            run["close_reason"] or run["state"],
            _number(run["calls"]),
            _number(run["authors"]),
            "" if run["seconds"] is None else f"{run['seconds']:,.1f}",
        )
        for run in runs
    )
    return _table("Last runs", ("began (UTC)", "spider", "ended", "calls", "authors", "seconds"), rows, numbers_from=3)


def _sweeps(sweeps: list[dict[str, Any]]) -> Table:
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
    return _table("Open sweeps: the same command resumes them", columns, rows, numbers_from=2)


def _coverage(coverage: dict[str, Any]) -> Table:
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
    return _table(f"Details ({authors} authors from the search)", columns, rows, numbers_from=2)


def _failures(failures: list[dict[str, Any]]) -> Table:
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
    return _table("Failures", ("endpoint", "code", "reason", "", "requests"), rows, numbers_from=4)


def _quarantine(quarantine: list[dict[str, Any]]) -> Table:
    rows = ((row["reason"], _number(row["count"])) for row in quarantine)
    return _table("Quarantine", ("reason", "answers"), rows, numbers_from=1)


def _days(days: dict[str, Any]) -> Table:
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
    return _table(title, ("day", "runs", "calls", "billed", "cost"), rows, numbers_from=1)


def _daily_calls(daily: dict[str, Any]) -> Table:
    rows = ((each["day"], _number(each["calls"])) for each in daily["days"])
    limit = "no limit" if daily["cap"] is None else f"limit {daily['cap']:,}"
    return _table(f"Calls by day ({limit})", ("day (Asia/Shanghai)", "calls"), rows, numbers_from=1)


def _documents(documents: dict[str, dict[str, Any]], history: dict[str, Any]) -> Table:
    spells = history["by_entity"] or {}
    rows = (
        (name, _count(count["count"], count["estimate"]), _number(spells[name]) if name in spells else "")
        for name, count in sorted(documents.items())
        if count["count"]
    )
    return _table("Documents", ("collection", "documents", "ended spells"), rows, numbers_from=1)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _number(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _count(count: int, estimate: bool) -> str:
    return f"~{count:,}" if estimate else f"{count:,}"
