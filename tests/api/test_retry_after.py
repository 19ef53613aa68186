"""`Retry-After`: a number of seconds, a date, or nothing that can be parsed."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from xingtu_crawler.api.action import retry_after

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        (" 7 ", 7.0),
        ("Sun, 08 Mar 2026 12:01:30 GMT", 90.0),
        ("Sun, 08 Mar 2026 20:00:10 +0800", 10.0),
        ("Sun, 08 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun Mar  8 12:01:30 2026", 90.0),
        ("Sun, 08 Mar 2026 12:01:30 -0000", 90.0),
        ("9" * 400, 3_600.0),
        ("Sun, 08 Mar 2126 12:00:00 GMT", 3_600.0),
        ("1772971230", 30.0),  # seconds since 1970
        ("1772971230000", 30.0),  # milliseconds
        ("1772971100", 0.0),
        ("86400", 3_600.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("\xb2", None),
    ],
)
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York"])
def test_the_header_is_read_as_seconds_from_now_whatever_the_local_time_zone(
    header: str, seconds: float | None, zone: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    request.addfinalizer(time.tzset)
    assert retry_after(header.encode("latin-1"), NOW) == seconds


def test_a_missing_header_requests_no_pause() -> None:
    assert retry_after(None, NOW) is None
