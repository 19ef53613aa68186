"""`scrapy crawl`: the closing table of a crawl, with the next commands."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.outcome import Outcome
from xingtu_crawler.storage.collections import AUTHORS
from xingtu_crawler.verdict import Verdict

_WORTH_A_LOOK = [DETAILS["marketing_info"].collection, *(endpoint.collection for endpoint in DETAILS.values())]
_MOST_FINDINGS = 12
"""Maximum number of findings in the table; `runs.findings` has all."""
_EXAMPLES = 450
"""Maximum number of characters of the examples of a finding: twenty ids."""


def render(outcome: Outcome, *, sandbox: bool) -> RenderableType:
    """Return the tables of a crawl: documents by collection, calls by endpoint and code, findings, next steps."""
    overview = Table(title="Crawl", show_header=False, title_justify="left")
    overview.add_row("verdict", str(outcome.verdict))
    overview.add_row("closed", outcome.close_reason)
    overview.add_row("time", f"{outcome.seconds:.1f} s")
    overview.add_row("authors", f"{outcome.authors:,}")
    overview.add_row("calls", f"{outcome.calls:,} ({outcome.retries:,} retries)")
    overview.add_row("already up to date", f"{outcome.fresh:,}")
    overview.add_row("failed", f"{outcome.open_failures:,}")
    overview.add_row("unavailable (400, 404, empty)", f"{outcome.terminal_failures:,}")
    overview.add_row("quarantined", f"{outcome.quarantined:,}")

    stored = Table(title="Written", title_justify="left")
    stored.add_column("collection")
    stored.add_column("writes", justify="right")
    for collection, count in sorted(outcome.stored.items()):
        stored.add_row(collection, f"{count:,}")

    codes = sorted({code for answers in outcome.answers.values() for code in answers})
    calls = Table(title="Calls by endpoint and code", title_justify="left")
    calls.add_column("endpoint")
    for code in codes:
        calls.add_column(code, justify="right")
    for endpoint, answers in sorted(outcome.answers.items()):
        calls.add_row(endpoint, *(f"{answers[code]:,}" if code in answers else "" for code in codes))

    parts: list[RenderableType] = [overview]
    parts += [stored] if outcome.stored else []
    parts += [calls] if outcome.answers else []
    if outcome.failures:
        failures = Table(title="Failures", title_justify="left")
        failures.add_column("endpoint and reason")
        failures.add_column("requests", justify="right")
        for what, count in outcome.failures.items():
            failures.add_row(Text(what), f"{count:,}")
        parts.append(failures)
    if outcome.findings:
        findings = Table(title="Findings", title_justify="left", show_lines=True)
        findings.add_column("severity")
        findings.add_column("finding", overflow="fold")
        findings.add_column("what to do", overflow="fold")
        for found in outcome.findings[:_MOST_FINDINGS]:
            severity = "note" if found.severity is Verdict.COMPLETE else str(found.severity)
            findings.add_row(severity, Text(found.shown(_EXAMPLES)), Text(found.advice or ""))
        parts.append(findings)
    parts += [Text(f"Next: {step}") for step in next_steps(outcome, sandbox=sandbox)]
    return Group(*parts)


def next_steps(outcome: Outcome, *, sandbox: bool) -> list[str]:
    """Return what to do next, as commands where possible."""
    steps = [step] if (step := outcome.next_step()) else []
    if outcome.stored:
        where = "JUSTONEAPI_ENV=sandbox " if sandbox else ""  # synthetic data has its own database
        seen = [name for name in _WORTH_A_LOOK if name in outcome.stored]
        steps.append(f"look at the data: {where}scrapy find {(seen or [AUTHORS])[0]} --limit 1")
    if sandbox:
        steps.append("use the real API: export JUSTONEAPI_TOKEN, unset JUSTONEAPI_ENV, and run the same command again")
    return steps
