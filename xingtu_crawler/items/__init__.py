"""Typed models of the payloads, and what is derived from them: content hash, videos, search page.

Knows nothing about Scrapy or MongoDB. Importing the package registers the models of the five endpoints.
"""

from __future__ import annotations

from xingtu_crawler.items import base_info, marketing_info, rec_videos, search, video_distribution
from xingtu_crawler.items.content_hash import VOLATILE, content_hash
from xingtu_crawler.items.page import SearchPage, parse_page, star_id_of
from xingtu_crawler.items.parsing import Parsed, parse
from xingtu_crawler.items.payload import MODELS, Part, Payload
from xingtu_crawler.items.videos import VideoFact, video_facts

SCHEMA_VERSION = 2
"""Version of the models, kept in `crawl.schema_version`: raised when a field's type or meaning changes."""

__all__ = [
    "MODELS",
    "SCHEMA_VERSION",
    "VOLATILE",
    "Parsed",
    "Part",
    "Payload",
    "SearchPage",
    "VideoFact",
    "base_info",
    "content_hash",
    "marketing_info",
    "parse",
    "parse_page",
    "rec_videos",
    "search",
    "star_id_of",
    "video_distribution",
    "video_facts",
]
