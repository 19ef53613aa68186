"""The health of the endpoints: what is logged and found, and when the crawl ends."""

from __future__ import annotations

import pytest

from tests.middlewares.sessions import Session
from xingtu_crawler.api.action import decide, decide_without_response
from xingtu_crawler.api.breaker import Hold, Leave
from xingtu_crawler.api.tokens import TokenPool
from xingtu_crawler.extensions.health import FAILING, Health

SUCCESS = decide(200, b'{"code": 0, "data": {}}')
FAILURE = decide_without_response("timeout", "no answer within 60 s")


@pytest.fixture
def session() -> Session:
    """A crawl of two endpoints."""
    one = Session(TokenPool.from_text("one"))
    one.health.endpoints = ["base_info", "rec_videos"]
    return one


def trip(health: Health, endpoint: str) -> None:
    """Let every call fail until the requests of the endpoint are left."""
    now = 0.0
    while not isinstance(health.check(endpoint, now, has_failed=False), Leave):
        if health.check(endpoint, now, has_failed=False) is None:
            health.started(endpoint)
            health.ended(endpoint, FAILURE, now=now, sent_at=now)
        now += 0.01


def test_one_warning_when_failures_begin_and_one_when_they_do_not_end(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    trip(session.health, "base_info")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "base_info: 16 attempts in a row have failed" in caplog.messages[0]
    assert session.closing.reasons == []


def test_the_crawl_ends_when_every_endpoint_fails(session: Session) -> None:
    trip(session.health, "base_info")
    trip(session.health, "rec_videos")
    assert session.closing.reasons == [FAILING]
    assert session.health.close_reason == FAILING


def test_the_requests_of_another_endpoint_are_sent(session: Session) -> None:
    trip(session.health, "base_info")
    assert session.health.check("rec_videos", 0.0, has_failed=False) is None


def test_a_success_makes_an_endpoint_count_as_working(session: Session) -> None:
    trip(session.health, "base_info")
    session.health.ended("base_info", SUCCESS, now=1e6, sent_at=1e6)
    assert session.health.check("base_info", 1e6, has_failed=False) is None
    trip(session.health, "rec_videos")
    assert session.closing.reasons == []


def test_what_is_left_open_is_found_and_counted(session: Session) -> None:
    trip(session.health, "base_info")
    (found,) = list(session.findings)  # the crawl may end now, before a request is looked at
    assert found.text == (
        "base_info: 20 attempts in a row have failed, the last one with timeout; its other requests are left to the "
        "next crawl"
    )
    for _ in range(3):
        session.health.leave_open("base_info", FAILING)
    (found,) = list(session.findings)
    assert (found.kind, found.count) == ("endpoint_failing", 3)
    assert session.counts["left_open/base_info"] == 3


def test_the_quota_is_the_reason_where_another_endpoint_fails(session: Session) -> None:
    trip(session.health, "base_info")
    session.health.leave_open("rec_videos", "quota_exhausted")
    assert session.closing.reasons == ["quota_exhausted"]


def test_requests_are_held_back_while_a_probe_is_on_its_way(session: Session) -> None:
    health = session.health
    for _ in range(16):
        health.ended("base_info", FAILURE, now=0.0, sent_at=0.0)
    assert isinstance(health.check("base_info", 0.0, has_failed=False), Hold)
    assert session.closing.reasons == []
