"""Which stored authors match a search query, and which queries contain which: for `scrapy plan` alone.

Stored values do not prove what the API does with a filter. So every rule is tested on authors that the search has
shown: a rule that denies one of them is not used (`Matcher.learn`). A filter without a rule leaves the match open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from xingtu_crawler.arguments.filters import FILTERS, Kind

DRIFT_PER_DAY = 0.02
"""Share by which a count may change in a day: near the end of a range, an older value leaves the match open."""
_PRICED_BY = {
    "视频1_20s": 1,
    "VIDEO_1_20S": 1,
    "视频21_60s": 2,
    "VIDEO_21_60S": 2,
    "PRODUCT_PLACEMENT_VIDEO": 2,
    "视频60s以上": 71,
    "VIDEO_OVER_60S": 71,
    "CUSTOM_VIDEO": 71,
    "抖音短视频共创_参与达人": 91,
    "DOUYIN_SHORT_VIDEO_CO_CREATION_PARTICIPANT": 91,
}
"""The `video_type` of a price, by the price types that have one."""
_COUNTS = {
    "followerRange": "follower",
    "expectedPlayRange": "expected_play_num",
    "interactionRateRange": "interact_rate_within_30d",
    "completionRateRange": "play_over_rate_within_30d",
}
"""The attribute that a range filter is about."""
_GENDERS = {"MALE": 1, "FEMALE": 2}
_ORDER_ONLY = frozenset({"sort", "searchType", "kolPriceType"})
"""Filters that do not decide by themselves who matches."""

FIELDS = {
    "data.attribute_datas": 1,
    "data.task_infos.price_infos.price": 1,
    "data.task_infos.price_infos.video_type": 1,
    "crawl.fetched_at": 1,
}
"""The fields of an author document that the rules read."""


class Match(IntEnum):
    """Whether an author matches; the least of several decides."""

    NO = 0
    OPEN = 1
    YES = 2


Rule = Callable[[Mapping[str, Any], float], Match]
"""Takes an author document and the share by which its counts may have changed."""


class Matcher:
    """Judges stored authors by the filters of one query at the time `now` (UTC)."""

    def __init__(self, filters: Mapping[str, str], now: datetime) -> None:
        self._rules = {name: _rule(name, value, filters) for name, value in deciding(filters).items()}
        self._now = now
        self.refuted: list[str] = []
        """The filters that the search applies in another way than their rules do."""

    def learn(self, shown: Iterable[Mapping[str, Any]]) -> None:
        """Drop the rules that deny one of these author documents, which the search has shown."""
        authors = list(shown)
        for name, rule in self._rules.items():
            if any(rule(author, self._drift(author)) is Match.NO for author in authors):
                self.refuted.append(name)
        self._rules |= dict.fromkeys(self.refuted, _open)

    def judge(self, author: Mapping[str, Any]) -> Match:
        """Return whether an author document matches the query."""
        drift = self._drift(author)
        return min((rule(author, drift) for rule in self._rules.values()), default=Match.YES)

    def _drift(self, author: Mapping[str, Any]) -> float:
        fetched_at = author.get("crawl", {}).get("fetched_at")
        age = self._now - fetched_at if fetched_at else timedelta(days=1)
        return DRIFT_PER_DAY * max(0.0, age / timedelta(days=1))


def deciding(filters: Mapping[str, str]) -> dict[str, str]:
    """Return the filters that decide who matches: without the order, and without values that are the API's default."""
    return {
        name: value
        for name, value in filters.items()
        if name not in _ORDER_ONLY and not (name in FILTERS and FILTERS[name].default == value)
    }


def is_by_followers(filters: Mapping[str, str]) -> bool:
    """Return whether the search lists the authors with the most followers first."""
    return filters.get("sort", FILTERS["sort"].default) == "FANS"


def implies(narrow: Mapping[str, str], wide: Mapping[str, str]) -> bool:
    """Return whether every author who matches the filters `narrow` matches `wide` too."""
    mine = deciding(narrow)
    return all(name in mine and _implied(name, narrow, wide) for name in deciding(wide))


def are_disjoint(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether no author can match both of these filters."""
    if {one.get("gender"), other.get("gender")} == {"MALE", "FEMALE"}:
        return True
    mine, theirs = _range(one.get("followerRange")), _range(other.get("followerRange"))
    if mine and theirs and (mine[1] < theirs[0] or theirs[1] < mine[0]):
        return True
    places, others = _labels(one.get("location", "")), _labels(other.get("location", ""))
    provinces = frozenset(FILTERS["location"].known)
    return bool(places and others) and places | others <= provinces and not places & others


def _implied(name: str, narrow: Mapping[str, str], wide: Mapping[str, str]) -> bool:
    value, other = narrow[name], wide[name]
    if name == "keyword":
        kinds = {each.get("searchType", "NICKNAME") for each in (narrow, wide)}
        return len(kinds) == 1 and (value == other or (kinds == {"NICKNAME"} and other in value))
    if name == "kolPriceRange" and narrow.get("kolPriceType") != wide.get("kolPriceType"):
        return False
    if value == other:
        return True
    kind = FILTERS[name].kind if name in FILTERS else None
    if kind is Kind.LABELS:
        return _labels(value) <= _labels(other)
    if kind in {Kind.INTEGERS, Kind.DECIMALS, Kind.FRACTIONS}:
        mine, theirs = _range(value), _range(other)
        return mine is not None and theirs is not None and theirs[0] <= mine[0] and mine[1] <= theirs[1]
    return False


# --- Rules -------------------------------------------------------------------------------------------------


def _rule(name: str, value: str, filters: Mapping[str, str]) -> Rule:
    span = _range(value)
    rule: Rule = _open
    if name in _COUNTS and span:
        rule = _count_within(_COUNTS[name], *span)
    elif name == "gender" and value in _GENDERS:
        rule = _has_gender(_GENDERS[value])
    elif name == "location":
        rule = _lives_in(_labels(value))
    elif name == "contentTag":
        rule = _has_tag(_labels(value))
    elif name == "keyword" and not any(map(str.isspace, value)):
        rule = _mentions(value) if filters.get("searchType") == "CONTENT" else _is_called(value)
    elif name == "kolPriceRange" and span and filters.get("kolPriceType") in _PRICED_BY:
        rule = _costs(_PRICED_BY[filters["kolPriceType"]], *span)
    return rule


def _open(_author: Mapping[str, Any], _drift: float) -> Match:
    return Match.OPEN


def _count_within(attribute: str, low: float, high: float) -> Rule:
    def rule(author: Mapping[str, Any], drift: float) -> Match:
        count = _attributes(author).get(attribute)
        if not isinstance(count, int | float):
            return Match.OPEN
        if low * (1 + drift) <= count <= high * (1 - drift):
            return Match.YES
        return Match.OPEN if low * (1 - drift) <= count <= high * (1 + drift) else Match.NO

    return rule


def _has_gender(code: int) -> Rule:
    def rule(author: Mapping[str, Any], _drift: float) -> Match:
        gender = _attributes(author).get("gender")
        return Match.OPEN if gender is None else _yes(gender == code)

    return rule


def _lives_in(places: frozenset[str]) -> Rule:
    bare = {place.removesuffix("市") for place in places}
    provinces = frozenset(FILTERS["location"].known)

    def rule(author: Mapping[str, Any], _drift: float) -> Match:
        province, city = (_attributes(author).get(name) for name in ("province", "city"))
        if province in places or (city and city.removesuffix("市") in bare):
            return Match.YES
        return Match.OPEN if province is None or (city is None and not places <= provinces) else Match.NO

    return rule


def _has_tag(tags: frozenset[str]) -> Rule:
    def rule(author: Mapping[str, Any], _drift: float) -> Match:
        names = _tags(author)
        return Match.OPEN if not names else _yes(not names.isdisjoint(tags))

    return rule


def _is_called(keyword: str) -> Rule:
    def rule(author: Mapping[str, Any], _drift: float) -> Match:
        name = _attributes(author).get("nick_name")
        return _yes(keyword.casefold() in name.casefold()) if isinstance(name, str) and name else Match.OPEN

    return rule


def _mentions(keyword: str) -> Rule:
    def rule(author: Mapping[str, Any], _drift: float) -> Match:
        themes = _attributes(author).get("content_theme_labels_180d")
        texts = [*_tags(author), *(text for text in themes or [] if isinstance(text, str))]
        return _yes(any(keyword in text for text in texts)) if texts else Match.OPEN

    return rule


def _costs(video_type: int, low: float, high: float) -> Rule:
    def rule(author: Mapping[str, Any], _drift: float) -> Match:
        tasks = author.get("data", {}).get("task_infos")
        if tasks is None:
            return Match.OPEN
        offers = (offer for task in tasks if task for offer in task.get("price_infos") or [] if offer)
        prices = [offer.get("price") for offer in offers if offer.get("video_type") == video_type]
        return _yes(any(isinstance(price, int) and low <= price <= high for price in prices))

    return rule


def _yes(holds: bool) -> Match:
    return Match.YES if holds else Match.NO


def _attributes(author: Mapping[str, Any]) -> Mapping[str, Any]:
    attributes = author.get("data", {}).get("attribute_datas")
    return attributes if isinstance(attributes, Mapping) else {}


def followers_of(author: Mapping[str, Any]) -> int | None:
    """Return the followers of an author document, None if they are unknown."""
    followers = _attributes(author).get("follower")
    return followers if isinstance(followers, int) else None


def _tags(author: Mapping[str, Any]) -> frozenset[str]:
    """Return the content tags of both levels."""
    relation = _attributes(author).get("tags_relation")
    if not isinstance(relation, Mapping):
        return frozenset()
    return frozenset(relation) | {tag for tags in relation.values() for tag in tags or [] if isinstance(tag, str)}


def _labels(value: str) -> frozenset[str]:
    return frozenset(label for label in value.split(",") if label)


def _range(value: str | None) -> tuple[float, float] | None:
    """Return the bounds of `min-max`, None for anything else."""
    low, dash, high = (value or "").partition("-")
    try:
        return (float(low), float(high)) if dash else None
    except ValueError:
        return None
