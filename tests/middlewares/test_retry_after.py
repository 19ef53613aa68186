"""How long the API asks to wait: seconds, a date, or nothing that can be read."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from scrapy.http import Response

from xingtu_crawler.middlewares.business_code import _retry_after

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
        ("9" * 400, 86_400.0),
        ("Sun, 08 Mar 2126 12:00:00 GMT", 86_400.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("\xb2", None),
    ],
)
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York"])
def test_what_it_asks_for(
    header: str, seconds: float | None, zone: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    request.addfinalizer(time.tzset)
    response = Response("http://127.0.0.1/", headers={"Retry-After": header.encode("latin-1")})
    assert _retry_after(response, NOW) == seconds


def test_it_need_not_ask() -> None:
    assert _retry_after(Response("http://127.0.0.1/"), NOW) is None
