"""What a failed request and a quarantined answer add to the findings of a crawl."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.verdict import AFTER_FAILURES, Findings


def note_failure(findings: Findings, failed: FailedRequest, label: str, *, run_id: str) -> None:
    """Add a failed request for details; `label` is its code and reason.

    The search notes its own missing pages, and `note_quarantined` the requests whose body is in quarantine.
    """
    if failed.star_id is None or failed.reason == "quarantined":
        return
    if not failed.terminal:
        kind, message = "details_failed", f"{{count}} requests for {failed.endpoint} failed ({label})"
    elif failed.body is not None:
        return
    elif failed.code is not None:
        kind, message = "details_unavailable", f"{{count}} authors have no {failed.endpoint} ({label})"
    else:
        kind, message = "answers_given_up", f"{{count}} answers of {failed.endpoint} were not received ({label})"
    condition = {"run_id": run_id, "endpoint": failed.endpoint, "terminal": failed.terminal}
    advice = f"List them: scrapy find failures --filter '{json.dumps(condition)}' --limit 0"
    if kind == "details_failed":
        advice = f"{AFTER_FAILURES} {advice}"
    findings.add(kind, message, example=failed.star_id, advice=advice, key=f"{failed.endpoint} {label}")


def note_quarantined(findings: Findings, request: Mapping[str, Any], reason: str) -> None:
    """Add a quarantined answer, or a part of one, to `request`."""
    where = request.get("star_id") or f"page {request.get('page')}"
    findings.add(
        "quarantined",
        "{count} answers are no documents: they are in quarantine",
        example=f"{request['endpoint']} of {where}: {reason}",
    )
