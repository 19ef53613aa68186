from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from xingtu_crawler.items import VideoFact, parse, video_facts
from xingtu_crawler.items.videos import FIELDS

STAR_ID = "6629722295873044494"


def facts_of(endpoint: str, payload: Any) -> list[VideoFact]:
    return video_facts(endpoint, parse(endpoint, payload, star_id=None).data, STAR_ID)


def filled(fact: VideoFact) -> dict[str, Any]:
    return {name: value for name, value in fact.data.items() if value is not None}


def test_recommended_videos(payloads: dict[str, Any]) -> None:
    facts = facts_of("rec_videos", payloads["rec_videos"])

    assert [(fact.item_id, fact.sources) for fact in facts] == [
        ("7553989899192519974", ("rec_videos.masterpiece_videos",)),
        ("7579880027882799283", ("rec_videos.masterpiece_videos",)),
        ("7608935920095612211", ("rec_videos.newest_videos",)),
        ("7607135237205921062", ("rec_videos.newest_videos",)),
        ("7564021773411372327", ("rec_videos.personal_hot_videos",)),
        ("7569946527527885642", ("rec_videos.personal_hot_videos",)),
    ]
    assert {fact.star_id for fact in facts} == {STAR_ID}
    assert all(list(fact.data) == list(FIELDS) for fact in facts)
    assert filled(facts[0]) == {
        "created_at": datetime(2025, 9, 25, 11, 39, 4, tzinfo=UTC),
        "play": 8543418,
        "play_from": "play_in_rec",
        "play_in_rec": 8543418,
    }


def test_a_video_in_several_lists_is_one_fact(payloads: dict[str, Any]) -> None:
    payload = copy.deepcopy(payloads["rec_videos"])
    again = {**payload["masterpiece_videos"][0], "like": 7, "play": 1, "item_cover": "https://c"}
    payload["order_hot_videos"] = [again, again]

    first, *others = facts_of("rec_videos", payload)

    assert first.sources == ("rec_videos.masterpiece_videos", "rec_videos.order_hot_videos")
    assert (first.data["play"], first.data["like"], first.data["cover"]) == (8543418, 7, "https://c")
    assert len(others) == 5


def test_a_play_of_zero_is_a_figure(payloads: dict[str, Any]) -> None:
    payload = copy.deepcopy(payloads["rec_videos"])
    payload["masterpiece_videos"][0]["play"] = 0
    payload["order_hot_videos"] = [{**payload["masterpiece_videos"][0], "play": 9}]

    assert facts_of("rec_videos", payload)[0].data["play"] == 0


def test_videos_of_the_search(payloads: dict[str, Any]) -> None:
    payload = copy.deepcopy(payloads["search"])
    item = {
        "item_id": "7604417718469233650",
        "item_title": "标题",
        "item_create_time": "1772962802",
        "item_publish_time": "1772967600",
        "vv": "1",
        "like_cnt": "2",
        "comment_cnt": "0",
        "share_cnt": "4",
        "duration": "15",
        "is_high_quality_item": "0",
    }
    other = {
        "item_id": 5,
        "title": "t",
        "play_cnt": 1,
        "like": 2,
        "comment": 3,
        "share": 4,
        "item_url": "u",
        "cover": "c",
    }
    payload["attribute_datas"]["last_10_items"] = json.dumps([item, None, other, {"vv": 1}, {"item_id": "0"}])

    both, recent = facts_of("search", payload)

    assert both.sources == ("search.last_10_items", "search.items")
    assert filled(both) == {
        "title": "标题",
        "created_at": datetime(2026, 3, 8, 9, 40, 2, tzinfo=UTC),
        "published_at": datetime(2026, 3, 8, 11, tzinfo=UTC),
        "play": 1,
        "play_from": "play_in_last_10",
        "play_in_last_10": 1,
        "play_in_items": 67750569,
        "like": 2,
        "comment": 0,
        "share": 4,
        "duration_s": 15.0,
        "video_tag": 3,
        "is_high_quality": False,
    }
    assert recent.item_id == "5"
    assert recent.sources == ("search.last_10_items",)
    assert filled(recent) == {
        "title": "t",
        "play": 1,
        "play_from": "play_in_last_10",
        "play_in_last_10": 1,
        "like": 2,
        "comment": 3,
        "share": 4,
        "url": "u",
        "cover": "c",
    }


def test_a_cut_list_costs_only_itself(payloads: dict[str, Any]) -> None:
    (fact,) = facts_of("search", payloads["search"])

    assert (fact.item_id, fact.sources, filled(fact)) == (
        "7604417718469233650",
        ("search.items",),
        {"play": 67750569, "play_from": "play_in_items", "play_in_items": 67750569, "video_tag": 3},
    )


@pytest.mark.parametrize("endpoint", ["base_info", "marketing_info", "video_distribution"])
def test_other_endpoints_have_no_videos(payloads: dict[str, Any], endpoint: str) -> None:
    assert facts_of(endpoint, payloads[endpoint]) == []


@pytest.mark.parametrize("data", [{}, {"items": None, "attribute_datas": None}, {"items": "x"}, {"items": [1, None]}])
def test_data_without_videos(data: dict[str, Any]) -> None:
    assert video_facts("search", data, STAR_ID) == []
