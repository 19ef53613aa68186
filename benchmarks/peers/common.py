"""What the peers agree on: their command line, the API's paths, where an answer is written to.

Knows no HTTP client and nothing of this project's crawler.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import UpdateOne

SEARCH = "/api/douyin-xingtu/gw/api/gsearch/search_for_author_square/v1"
DETAILS = {
    "author_base_info": "/api/douyin-xingtu/gw/api/author/get_author_base_info/v1",
    "author_marketing_info": "/api/douyin-xingtu/gw/api/author/get_author_marketing_info/v1",
    "author_rec_videos": "/api/douyin-xingtu/gw/api/data_sp/author_rec_videos_v2/v1",
    "author_video_distribution": "/api/douyin-xingtu/gw/api/data_sp/author_video_distribution/v1",
}
PLATFORM = "SHORT_VIDEO"
TRY_AGAIN = frozenset({301, 302})
"""Codes after which both peers ask again: the collection failed, the rate limit was exceeded."""


@dataclass(frozen=True, slots=True)
class Work:
    """What to crawl and where to write it; `star_ids` None: every author of the search."""

    base_url: str
    token: str
    mongo_uri: str
    database: str
    in_flight: int
    star_ids: tuple[str, ...] | None


def parse_work() -> Work:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    for name in ("base_url", "token", "mongo_uri", "database"):
        parser.add_argument(name)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--star-ids-file", type=Path)
    typed = parser.parse_args()
    star_ids = tuple(typed.star_ids_file.read_text().split()) if typed.star_ids_file else None
    return Work(typed.base_url, typed.token, typed.mongo_uri, typed.database, typed.in_flight, star_ids)


def upsert(star_id: str, data: Any) -> UpdateOne:
    """Return the plain upsert of one answer."""
    return UpdateOne({"_id": star_id}, {"$set": {"star_id": star_id, "data": data}}, upsert=True)
