"""Which stored authors match a query, and which queries contain which."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from xingtu_crawler.dataset.plan_match import Match, Matcher, are_disjoint, implies

NOW = datetime(2026, 3, 8, tzinfo=UTC)
YES, NO, OPEN = Match.YES, Match.NO, Match.OPEN


def author(age: timedelta = timedelta(0), prices: dict[int, int] | None = None, **attributes: Any) -> dict[str, Any]:
    offers = [{"video_type": video_type, "price": price} for video_type, price in (prices or {}).items()]
    return {
        "data": {"attribute_datas": attributes, "task_infos": [{"price_infos": offers}]},
        "crawl": {"fetched_at": NOW - age},
    }


@pytest.mark.parametrize(
    ("filters", "stored", "match"),
    [
        ({}, author(), YES),
        ({"sort": "DEFAULT", "industry": "ALL"}, author(), YES),
        ({"industry": "GAMES"}, author(), OPEN),
        ({"followerRange": "100-200"}, author(follower=150), YES),
        ({"followerRange": "100-200"}, author(follower=201), NO),
        ({"followerRange": "100-200"}, author(timedelta(days=1), follower=201), OPEN),
        ({"followerRange": "100-200"}, author(timedelta(days=1), follower=199), OPEN),
        ({"followerRange": "100-200"}, author(), OPEN),
        ({"gender": "FEMALE"}, author(gender=2), YES),
        ({"gender": "FEMALE"}, author(gender=0), NO),
        ({"location": "广东省"}, author(province="广东省"), YES),
        ({"location": "广东省"}, author(province="浙江省"), NO),
        ({"location": "深圳市"}, author(province="广东省", city="深圳"), YES),
        ({"location": "深圳市"}, author(province="广东省", city="广州市"), NO),
        ({"location": "深圳市"}, author(province="广东省"), OPEN),
        ({"contentTag": "美妆,穿搭"}, author(tags_relation={"时尚": ["穿搭"]}), YES),
        ({"contentTag": "美妆"}, author(tags_relation={"时尚": ["穿搭"]}), NO),
        ({"contentTag": "美妆"}, author(), OPEN),
        ({"keyword": "小厨"}, author(nick_name="小厨日记"), YES),
        ({"keyword": "小厨"}, author(nick_name="日记"), NO),
        ({"keyword": "菜", "searchType": "CONTENT"}, author(content_theme_labels_180d=["家常菜谱"]), YES),
        ({"keyword": "菜", "searchType": "CONTENT"}, author(tags_relation={"美妆": []}), NO),
        ({"keyword": "家常 菜谱"}, author(nick_name="家常菜谱"), OPEN),
        ({"kolPriceType": "VIDEO_21_60S", "kolPriceRange": "1-9"}, author(prices={2: 5}), YES),
        ({"kolPriceType": "VIDEO_21_60S", "kolPriceRange": "1-9"}, author(prices={1: 5}), NO),
        ({"gender": "FEMALE", "industry": "GAMES"}, author(gender=1), NO),
    ],
)
def test_stored_values_say_who_matches(filters: dict[str, str], stored: dict[str, Any], match: Match) -> None:
    assert Matcher(filters, NOW).judge(stored) is match


def test_a_rule_that_denies_an_author_whom_the_search_shows_is_not_used() -> None:
    matcher = Matcher({"gender": "FEMALE", "location": "广东省"}, NOW)
    matcher.learn([author(gender=1, province="广东省"), author(gender=2, province="广东省")])
    assert matcher.refuted == ["gender"]
    assert matcher.judge(author(gender=1, province="广东省")) is OPEN
    assert matcher.judge(author(gender=1, province="浙江省")) is NO


@pytest.mark.parametrize(
    ("narrow", "wide", "holds"),
    [
        ({"gender": "MALE"}, {}, True),
        ({}, {"gender": "MALE"}, False),
        ({"gender": "MALE", "sort": "DEFAULT"}, {"gender": "MALE"}, True),
        ({"followerRange": "20-30"}, {"followerRange": "10-30"}, True),
        ({"followerRange": "5-30"}, {"followerRange": "10-30"}, False),
        ({"contentTag": "美妆"}, {"contentTag": "美妆,穿搭"}, True),
        ({"contentTag": "美妆,穿搭"}, {"contentTag": "美妆"}, False),
        ({"keyword": "小厨娘"}, {"keyword": "小厨"}, True),
        ({"keyword": "小厨娘", "searchType": "CONTENT"}, {"keyword": "小厨", "searchType": "CONTENT"}, False),
        ({"keyword": "小厨"}, {"keyword": "小厨", "searchType": "CONTENT"}, False),
        ({"kolPriceRange": "1-2", "kolPriceType": "A"}, {"kolPriceRange": "1-2", "kolPriceType": "B"}, False),
    ],
)
def test_a_query_contains_another_one(narrow: dict[str, str], wide: dict[str, str], holds: bool) -> None:
    assert implies(narrow, wide) is holds


@pytest.mark.parametrize(
    ("one", "other", "holds"),
    [
        ({"gender": "MALE"}, {"gender": "FEMALE"}, True),
        ({"gender": "MALE"}, {}, False),
        ({"followerRange": "1-9"}, {"followerRange": "10-20"}, True),
        ({"followerRange": "1-10"}, {"followerRange": "10-20"}, False),
        ({"location": "广东省"}, {"location": "浙江省"}, True),
        ({"location": "广东省"}, {"location": "深圳市"}, False),
        ({"contentTag": "美妆"}, {"contentTag": "时尚"}, False),
    ],
)
def test_queries_that_no_author_can_match_twice(one: dict[str, str], other: dict[str, str], holds: bool) -> None:
    assert are_disjoint(one, other) is are_disjoint(other, one) is holds
