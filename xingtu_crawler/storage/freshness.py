"""When a detail document is fresh: by the start of the run that fetched it, not by the moment of its answer.

A daily job starts at the same minute every day, and takes hours. By the moments of the answers, most details would be
younger than a day when the next job starts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

FIELDS = {"crawl.fetched_at": 1, "crawl.run_started_at": 1}
"""The fields of a document that `fresh_at` reads."""
_RUN_ID = re.compile(r"([0-9]{8}T[0-9]{6})-[0-9a-f]+")


def fresh_at(crawl: Mapping[str, Any]) -> datetime:
    """Return when the content of a document counts as fetched; `crawl` is its provenance.

    Older documents do not have the start of their run; a clock that is set back during a run dates answers before it.
    """
    fetched_at: datetime = crawl["fetched_at"]
    return min(fetched_at, crawl.get("run_started_at") or fetched_at)


def is_fresh(crawl: Mapping[str, Any], *, since: datetime) -> bool:
    """Return whether a document was fetched by a run that started `since` then (UTC)."""
    # MongoDB stores milliseconds.
    return fresh_at(crawl) >= since.replace(microsecond=since.microsecond // 1000 * 1000)


def started_at_of(run_id: str) -> datetime | None:
    """Return when a run started, to the second, from its id; None if the id does not tell."""
    match = _RUN_ID.fullmatch(run_id)
    try:
        return datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) if match else None
    except ValueError:
        return None
