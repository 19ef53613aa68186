"""A search query: the filters that the sandbox applies, and the parameters that it refuses.

Other filters are accepted and ignored. Knows no authors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_RANGE = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", re.ASCII)
_GENDERS = {"MALE": 1, "1": 1, "男性": 1, "FEMALE": 2, "2": 2, "女性": 2}
_PAGE = re.compile(r"[1-9]\d{0,8}", re.ASCII)

# Price types by all the names that they have had -> the video_type to filter by, None if the type is ignored.
PRICE_TYPES: dict[str, int | None] = {
    "视频1_20s": 1,
    "VIDEO_1_20S": 1,
    "视频21_60s": 2,
    "VIDEO_21_60S": 2,
    "PRODUCT_PLACEMENT_VIDEO": 2,
    "植入视频": 2,
    "视频60s以上": 71,
    "VIDEO_OVER_60S": 71,
    "CUSTOM_VIDEO": 71,
    "定制视频": 71,
    "抖音短视频共创_参与达人": 91,
    "DOUYIN_SHORT_VIDEO_CO_CREATION_PARTICIPANT": 91,
} | dict.fromkeys(
    (
        "定制短剧单集",
        "千次自然播放量",
        "短直种草视频",
        "短直预热视频",
        "短直明星种草",
        "短直明星预热",
        "明星视频",
        "合集视频",
        "抖音短视频共创_主投稿达人",
        "CUSTOM_SHORT_DRAMA_EPISODE",
        "NATURAL_PLAY_CPM",
        "SHORT_LIVE_SEEDING_VIDEO",
        "SHORT_LIVE_WARMUP_VIDEO",
        "CELEBRITY_SHORT_LIVE_SEEDING",
        "CELEBRITY_SHORT_LIVE_WARMUP",
        "CELEBRITY_VIDEO",
        "COLLECTION_VIDEO",
        "DOUYIN_SHORT_VIDEO_CO_CREATION_MAIN_CREATOR",
    )
)


class InvalidQueryError(ValueError):
    """A parameter is malformed: the sandbox responds with business code 400. Raised by `parse`."""


@dataclass(frozen=True, slots=True)
class Query:
    """One search, without its page; bounds are inclusive, prices in yuan."""

    keyword: str = ""
    by_content: bool = False
    shuffled: bool = False
    followers: tuple[float, float] | None = None
    price_type: int | None = None
    price: tuple[float, float] | None = None
    tags: tuple[str, ...] = ()
    gender: int | None = None
    places: tuple[str, ...] = ()


def parse(params: Mapping[str, str]) -> tuple[Query, int]:
    """Return the query and the page (from 1) of these request parameters.

    Raises `InvalidQueryError` if a parameter is malformed.
    """
    page = params.get("page") or "1"
    if not _PAGE.fullmatch(page):
        raise InvalidQueryError("page must be a positive integer")
    price_name = params.get("kolPriceType") or None
    price = _range(params, "kolPriceRange")
    if price_name is not None and price_name not in PRICE_TYPES:
        raise InvalidQueryError("kolPriceType is not one of the available values")
    if price is not None and price_name is None:
        raise InvalidQueryError("kolPriceRange needs kolPriceType")
    gender = params.get("gender") or None
    if gender is not None and gender not in _GENDERS:
        raise InvalidQueryError("gender must be MALE or FEMALE")
    query = Query(
        keyword=params.get("keyword", "").strip(),
        by_content=_choice(params, "searchType", ("NICKNAME", "CONTENT")) == "CONTENT",
        shuffled=_choice(params, "sort", ("FANS", "DEFAULT")) == "DEFAULT",
        followers=_range(params, "followerRange"),
        price_type=PRICE_TYPES[price_name] if price_name is not None else None,
        price=price,
        tags=_words(params, "contentTag"),
        gender=_GENDERS[gender] if gender is not None else None,
        places=_words(params, "location"),
    )
    return query, int(page)


def _choice(params: Mapping[str, str], name: str, values: tuple[str, str]) -> str:
    value = params.get(name) or values[0]
    if value not in values:
        raise InvalidQueryError(f"{name} must be {values[0]} or {values[1]}")
    return value


def _range(params: Mapping[str, str], name: str) -> tuple[float, float] | None:
    value = params.get(name)
    if not value:
        return None
    match = _RANGE.fullmatch(value)
    if match is None or float(match[1]) > float(match[2]):
        raise InvalidQueryError(f"{name} must be min-max")
    return float(match[1]), float(match[2])


def _words(params: Mapping[str, str], name: str) -> tuple[str, ...]:
    # Sorted, so that the same filter is the same query in every process.
    return tuple(sorted({word for part in params.get(name, "").split(",") if (word := part.strip())}))
