"""Compares the fields of a run's answers with those of an earlier run; reports what vanished or changed its type.

The counts of each run are in `runs.fields`. The earlier run is the last one that has ended and has enough answers of
the endpoint: one of the same queries, if there is one.
"""

from __future__ import annotations

from typing import Any

from pymongo import DESCENDING
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.items.drift import FEWEST_ANSWERS, Drift, EndpointCounts, FieldCounts, drifts
from xingtu_crawler.storage.collections import RUNS
from xingtu_crawler.verdict import SHARE, Findings, Verdict

MOST_FIELDS = 5
"""Maximum number of findings per endpoint; further fields are one finding together."""
_KINDS = {"vanished": "fields_vanished", "emptied": "fields_vanished", "retyped": "types_changed"}


async def report_drift(
    database: AsyncDatabase[dict[str, Any]], counts: FieldCounts, findings: Findings, *, run_id: str, population: str
) -> None:
    """Add a finding for each field that vanished, was emptied or changed its type since the last run.

    Args:
        database: the dataset.
        counts: the fields of this run's answers.
        findings: the findings of this run.
        run_id: this run.
        population: names the queries of this run, as `runs.fields.population` does.
    """
    for endpoint, now in counts.endpoints.items():
        if now.answers < FEWEST_ANSWERS:
            continue
        alike = await _earlier(database, endpoint, run_id, population)
        earlier = alike or await _earlier(database, endpoint, run_id)
        if earlier is None:
            continue
        before = EndpointCounts.of_document(earlier["fields"]["endpoints"][endpoint])
        found = list(drifts(now, before, alike=alike is not None))
        found.sort(key=lambda drift: (-drift.is_sure, -drift.affected))
        for drift in found[:MOST_FIELDS]:
            example = counts.example(endpoint, drift.path, drift.what)
            _add(findings, endpoint, drift, answers=now.answers, of=earlier["_id"], example=example)
        if more := found[MOST_FIELDS:]:
            message = f"{endpoint}: {{count}} more fields differ from run {earlier['_id']}"
            paths = ", ".join(drift.path for drift in more[:3])
            findings.add("fields_vanished", message, count=len(more), example=paths, key=f"{endpoint} more")


async def _earlier(
    database: AsyncDatabase[dict[str, Any]], endpoint: str, run_id: str, population: str | None = None
) -> dict[str, Any] | None:
    """Return the last run that has ended and has enough answers of an endpoint.

    With `population`, one of the same queries that has not stopped early: the authors of the first pages are not like
    the others.
    """
    condition: dict[str, Any] = {
        "_id": {"$ne": run_id},
        "state": "ended",
        f"fields.endpoints.{endpoint}.answers": {"$gte": FEWEST_ANSWERS},
    }
    if population is not None:
        condition["fields.population"] = population
        condition["$or"] = [
            {"verdict": {"$in": [Verdict.COMPLETE, Verdict.CAPPED, Verdict.SUSPICIOUS]}},
            {"close_reason": "max_authors"},
        ]
    fields = {"fields.population": 1, f"fields.endpoints.{endpoint}": 1}
    return await database[RUNS].find_one(condition, fields, sort=[("started_at", DESCENDING)])


def _add(
    findings: Findings,
    endpoint: str,
    drift: Drift,
    *,
    answers: int,
    of: str,
    example: str | None,
) -> None:
    is_suspicious = drift.is_sure and drift.affected >= SHARE * answers
    became = f"is {drift.what}" if drift.kind != "retyped" else f"is a {drift.what}"
    findings.add(
        _KINDS[drift.kind],
        f"{endpoint}: {drift.path} {became} in {{count}} of {drift.answers:,} answers; in run {of} it was so in "
        f"{drift.before[0]:,} of {drift.before[1]:,}",
        count=drift.affected,
        example=example,
        severity=Verdict.SUSPICIOUS if is_suspicious else None,
        key=f"{endpoint} {drift.path} {drift.what}",
    )
