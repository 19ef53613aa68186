"""`scrapy plan`: from an estimate of calls to time, cost and limits, as JSON or as a table.

Knows neither MongoDB nor spiders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xingtu_crawler.api.pace import START_RATE
from xingtu_crawler.dataset.experience import Experience, cost_of, days_needed
from xingtu_crawler.dataset.plan_bounds import Span
from xingtu_crawler.dataset.plan_estimate import NO_MATCH, Estimate

T = TypeVar("T")

CURRENCY = "CNY"
"""The currency of all money: the API bills in yuan."""
UNPROVEN = "start"
"""The source of the rate while no run has enough calls: the pace with which a crawl begins."""


def plan(
    estimate: Estimate,
    experience: Experience,
    *,
    spider: str,
    arguments: Mapping[str, str],
    max_rate: float,
    max_calls: int | None,
    daily_cap: int,
    daily_left: int | None,
    calls_made: int,
) -> dict[str, Any]:
    """Return the plan of a crawl; the keys are documented in docs/commands.md and stay.

    Args:
        estimate: the requests of the crawl.
        experience: pace and cost of earlier runs.
        spider: its name.
        arguments: the spider arguments, as given.
        max_rate: the maximum number of calls per second of all tokens together, 0 for no limit.
        max_calls: the maximum number of calls of the crawl, None for no limit.
        daily_cap: the maximum number of calls per day, 0 for no limit.
        daily_left: the calls left today, None for no limit.
        calls_made: the calls of the plan itself.
    """
    rate, rate_from = START_RATE, UNPROVEN
    if max_rate:
        rate, rate_from = max_rate, "XINGTU_MAX_RATE"
    elif experience.rate is not None and experience.rate_from is not None:
        rate, rate_from = experience.rate, experience.rate_from
    per_call = experience.cost_per_call
    retries = Span(0, experience.retries_of(estimate.calls.high))
    total = estimate.calls + retries
    notes = list(estimate.notes)
    if estimate.basis != "bounds" and total.is_too_wide:
        notes.append("The dataset leaves more open than a factor of 6: the low end is a sixth of the high end.")
        total = total.narrowed()
    billed = Span(total.low, total.high - retries.high)
    run = total.capped(max_calls).capped(daily_left)
    stopped_by = None
    if run != total:
        limits = ((max_calls, "max_calls"), (daily_left, "daily_calls"))
        stopped_by = min((limit, name) for limit, name in limits if limit is not None)[1]
    return {
        "spider": spider,
        "arguments": dict(arguments),
        "basis": estimate.basis,
        "authors": estimate.authors._asdict(),
        "calls": {
            "search": estimate.search._asdict(),
            "details": estimate.details._asdict(),
            "retries": retries._asdict(),
            "total": total._asdict(),
        },
        "fresh": estimate.fresh,
        "seconds": _seconds(total, rate),
        "cost": _cost(billed, per_call),
        "this_run": {
            "calls": run._asdict(),
            "stopped_by": stopped_by,
            "seconds": _seconds(run, rate),
            "cost": _cost(billed.capped(run.high), per_call),
        },
        "limits": {"max_calls": max_calls, "daily_cap": daily_cap or None, "daily_left": daily_left},
        "days": None
        if daily_left is None
        else Span(*(days_needed(calls, left=daily_left, cap=daily_cap) for calls in total))._asdict(),
        "rate": {"calls_per_second": round(rate, 3), "from": rate_from},
        "cost_per_call": None
        if per_call is None
        else {"cost": f"{round(per_call, 6).normalize():f}", "from": experience.cost_from},
        "calls_made": calls_made,
        "notes": notes,
    }


def _seconds(calls: Span, rate: float) -> dict[str, float]:
    return {"low": round(calls.low / rate, 1), "high": round(calls.high / rate, 1)}


def _cost(calls: Span, per_call: Decimal | None) -> dict[str, str] | None:
    if per_call is None:
        return None
    low, high = (str(cost_of(number, per_call)) for number in calls)
    return {"low": low, "high": high, "currency": CURRENCY}


def render(plan: dict[str, Any]) -> RenderableType:
    """Return a plan, as `plan` returns it, for a terminal."""
    about = "about " if plan["basis"] == "estimate" else ""
    table = Table(title=f"Plan of {plan['spider']}", show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _rows(plan, about):
        table.add_row(Text(name), Text(text))
    return Group(table, *(Text(line) for line in [*plan["notes"], *_limits(plan)]))


def _rows(plan: dict[str, Any], about: str) -> Iterator[tuple[str, str]]:
    calls = plan["calls"]
    matches_none = NO_MATCH in plan["notes"]
    yield "authors", "no author matches" if matches_none else about + _number(plan["authors"])
    yield "calls", about + _number(calls["total"])
    yield "  search pages", _number(calls["search"])
    yield "  details", about + _number(calls["details"])
    if calls["retries"]["high"]:
        yield "  retries", _number(calls["retries"])
    yield "already up to date", f"{plan['fresh']:,}"
    rate, cost = plan["rate"], plan["cost_per_call"]
    source = rate["from"] if rate["from"] == "XINGTU_MAX_RATE" else f"run {rate['from']}"
    if rate["from"] == UNPROVEN:
        source = "the pace with which a crawl begins, as no run has measured the API's limit"
    yield "time", f"{about}{_duration(plan['seconds'])} at {rate['calls_per_second']:g} calls/s ({source})"
    if cost is None:
        yield "cost", "unknown: no run has a known cost yet"
    else:
        yield "cost", f"{about}{_money(plan['cost'])} at {cost['cost']} per call (run {cost['from']})"
    if plan["calls_made"]:
        yield "already paid", f"{plan['calls_made']} for page 1: the crawl goes on behind it"


def _limits(plan: dict[str, Any]) -> Iterator[str]:
    """Yield where the limits end the crawl, and what the plan leaves out."""
    run, limits = plan["this_run"], plan["limits"]
    if run["stopped_by"] == "max_calls":
        yield f"max_calls ends the crawl after {_number(run['calls'])} calls{_worth(run)}."
    elif run["stopped_by"] == "daily_calls":
        yield (
            f"XINGTU_DAILY_CALLS={limits['daily_cap']} leaves {limits['daily_left']:,} calls today{_worth(run)}: "
            f"the whole crawl takes {_number(plan['days'])} days."
        )
    if not plan["calls"]["retries"]["high"]:
        yield "Retries come on top; most failed calls are not billed."


def _worth(run: dict[str, Any]) -> str:
    """Return the time and, if it is known, the cost of this run."""
    known = [_duration(run["seconds"])]
    known += [_money(run["cost"])] if run["cost"] else []
    return f" ({', '.join(known)})"


def _number(span: dict[str, int]) -> str:
    return _span(span, lambda number: f"{number:,}")


def _duration(seconds: dict[str, float]) -> str:
    return _span(seconds, lambda number: f"{number:.1f} s" if number < 60 else str(timedelta(seconds=round(number))))


def _span(span: dict[str, T], shown: Callable[[T], str]) -> str:
    low, high = shown(span["low"]), shown(span["high"])
    return low if low == high else f"{low} to {high}"


def _money(cost: dict[str, str]) -> str:
    return f"{cost['currency']} {_span({'low': cost['low'], 'high': cost['high']}, str)}"


def forecast(plan: dict[str, Any]) -> str:
    """Return the calls, the money and the time that a plan, as `plan` returns it, expects, in one line."""
    known = _number(plan["calls"]["total"])
    money = "cost unknown" if plan["cost"] is None else _money(plan["cost"])
    rest = next(_limits(plan)) if plan["this_run"]["stopped_by"] else ""
    return f"{known} calls, {money}, {_duration(plan['seconds'])}" + (f". {rest}" if rest else "")
