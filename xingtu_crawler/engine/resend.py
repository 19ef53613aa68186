"""Sends a request again: through the scheduler, which holds it back where it has to pause."""

from __future__ import annotations

import time

from scrapy import Request

from xingtu_crawler.engine import meta


def resend(request: Request, *, pause: float = 0.0) -> Request:
    """Return a copy of a request to send after a pause in seconds."""
    again = request.copy()
    again.meta[meta.NOT_BEFORE] = time.monotonic() + pause if pause else 0.0
    return again
