"""What the end of a search means for the verdict: missing pages, a limit of the user's, the cap. Plain Python."""

from __future__ import annotations

from collections.abc import Sequence

from xingtu_crawler.spiders.sweep import Phase, Sweep
from xingtu_crawler.storage.sweeps import LIMITS, RESULT_CAP
from xingtu_crawler.verdict import SHARE, Findings, Verdict

_ORDERS = {"FANS": "those with the most followers first", "DEFAULT": "those that the platform scores highest first"}
"""The order of the results by the value of the filter `sort`."""


def explain_missing(findings: Findings, sweeps: Sequence[Sweep]) -> None:
    """Add the missing pages, the ends that contradict the count of the search, and the authors that it did not show."""
    for sweep in sweeps:
        if sweep.stop is None or sweep.phase is Phase.RETRYING:  # the close reason says that it is not done
            continue
        query = sweep.query.describe() if len(sweeps) > 1 else None
        for number in sorted(sweep.holes):
            of = f" of {query}" if query else ""
            findings.add("pages_missing", "{count} search pages are missing", example=f"page {number}{of}")
        if sweep.was_cut_off:
            found = f"{len(sweep.seen):,} of {_total(sweep)} authors found"
            what = f"the search ended before page {sweep.stop.next_page} ({sweep.stop.reason}): {found}"
            findings.add("search_cut_off", what, example=query, key=sweep.name)
        if sweep.fewer is not None and sweep.fewer > 0:
            assert sweep.total_count
            what = f"{len(sweep.seen):,} distinct authors found, the search counts {sweep.total_count:,}"
            is_much = sweep.fewer >= SHARE * sweep.total_count
            severity = Verdict.INCOMPLETE if is_much and not sweep.holes else None
            findings.add("authors_missing", what, count=sweep.fewer, example=query, severity=severity, key=sweep.name)


def _total(sweep: Sweep) -> str:
    return "an unknown number of" if sweep.total_count is None else f"{sweep.total_count:,}"


def explain_ends(findings: Findings, sweeps: Sequence[Sweep], *, queries: int, cap: int = RESULT_CAP) -> None:
    """Add why sweeps show fewer authors than the search counts.

    Args:
        findings: of the crawl.
        sweeps: of the crawl, finished or not.
        queries: the number of queries; some may have no sweep, because a limit was reached before.
        cap: the number of authors that a search shows at most.
    """
    for sweep in sweeps:
        if sweep.stop is None:
            continue
        if sweep.stop.reason in LIMITS:
            _limited(findings, sweep, cap, alone=queries == 1)
        elif sweep.total_count is not None and sweep.total_count >= cap:
            _capped(findings, sweep, cap, alone=queries == 1)
    if len(sweeps) < queries and any(sweep.stop is not None and sweep.stop.reason in LIMITS for sweep in sweeps):
        findings.add("sampled", f"{queries - len(sweeps):,} of {queries:,} queries were not read", key="queries")


def _limited(findings: Findings, sweep: Sweep, cap: int, *, alone: bool) -> None:
    assert sweep.stop is not None
    shown = sum(sweep.seen.values()) if sweep.stop.reason == "max_authors" else len(sweep.seen)
    total = sweep.total_count
    if total is not None and total <= shown:
        return
    if total is None and sweep.stop.next_page is None:  # the page of the limit was the last one
        return
    sort = sweep.query.filters.get("sort", "FANS")
    order = _ORDERS.get(sort, f"in the order sort={sort}")
    what = f"{shown:,} of {_counted(total, cap)} authors, {order}: not a random sample"
    if alone:
        findings.add("sampled", what)
    else:
        findings.add("sampled", f"{{count}} queries were cut off by {sweep.stop.reason}", example=_of(sweep, what))


def _capped(findings: Findings, sweep: Sweep, cap: int, *, alone: bool) -> None:
    what = f"the search shows {cap:,} of {_counted(sweep.total_count, cap)} authors"
    if alone:
        findings.add("search_capped", what)
    else:
        findings.add("search_capped", f"{{count}} queries find more than {cap:,} authors", example=_of(sweep, what))


def _counted(total: int | None, cap: int) -> str:
    """Return `total_count` in words: the search counts no further than the cap."""
    if total is None:
        return "an unknown number of"
    return f"at least {total:,}" if total >= cap else f"{total:,}"


def _of(sweep: Sweep, what: str) -> str:
    return f"{sweep.query.describe()}: {what}"
