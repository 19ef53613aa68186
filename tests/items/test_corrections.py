"""Corrections: only where the answer itself proves that a value is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.items import parse
from xingtu_crawler.items.corrections import time_in_id

CREATED = 1_773_760_000
ITEM_ID = str(CREATED << 32 | 77)
HOURS = 3600


def create_time(seconds: int, item_id: object = ITEM_ID) -> datetime | None:
    video = {"item_id": item_id, "create_time": seconds}
    found: datetime | None = parse("rec_videos", {"newest_videos": [video]}, star_id="1").data["newest_videos"][0][
        "create_time"
    ]
    return found


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@given(late=st.integers(0, 599))
def test_a_time_that_is_8_hours_ahead_of_the_id_is_corrected(late: int) -> None:
    assert create_time(CREATED + 8 * HOURS + late) == moment(CREATED + late)


@pytest.mark.parametrize("ahead", [0, 59, -8 * HOURS, 7 * HOURS, 8 * HOURS + 601, 8 * HOURS - 601, 9 * HOURS])
def test_any_other_time_stands_as_it_came(ahead: int) -> None:
    assert create_time(CREATED + ahead) == moment(CREATED + ahead)


@pytest.mark.parametrize("item_id", ["5", "", None, "x", 10**19, "99999999999999999999", "-5", "７"])
def test_an_id_without_a_time_proves_nothing(item_id: object) -> None:
    assert create_time(CREATED + 8 * HOURS, item_id) == moment(CREATED + 8 * HOURS)


def test_a_video_without_a_time_stays_without_one() -> None:
    assert create_time(0) is None


def test_the_videos_of_the_sample_are_uploaded_within_minutes_of_their_ids(payloads: dict[str, Any]) -> None:
    data = parse("rec_videos", payloads["rec_videos"], star_id=None).data
    found = [video for name in data if name.endswith("_videos") for video in data[name]]
    assert len(found) == 6
    for video in found:
        in_id = time_in_id(video["item_id"])
        assert in_id is not None
        assert timedelta(0) < video["create_time"] - in_id < timedelta(minutes=4)
