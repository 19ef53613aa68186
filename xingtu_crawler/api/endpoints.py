"""The registry of endpoints: an endpoint is crawled if it has an entry here and a model in `items/`.

Source of paths and parameters: the API's documentation pages ("Author Search (V1)", "Author Base Info
(V1)", "Author Marketing Info (V1)", "Author Recommended Videos (V1)", "Author Video Distribution (V1)").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlencode


class Platform(StrEnum):
    """Values of the detail endpoints' `platform` parameter; `SHORT_VIDEO` is the API's default."""

    SHORT_VIDEO = "SHORT_VIDEO"
    LIVE_STREAMING = "LIVE_STREAMING"
    PICTURE_TEXT = "PICTURE_TEXT"
    SHORT_DRAMA = "SHORT_DRAMA"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the API.

    `name` is the name in `-a endpoints=`, in the stats and in `crawl.endpoint`. `collection` is the MongoDB collection
    of its documents. `title` is the title of its documentation page.
    """

    name: str
    path: str
    collection: str
    title: str


PAGE_SIZE = 20
"""Number of authors on a search page."""

SEARCH = Endpoint(
    "search", "/api/douyin-xingtu/gw/api/gsearch/search_for_author_square/v1", "authors", "Author Search (V1)"
)

DETAILS: dict[str, Endpoint] = {
    endpoint.name: endpoint
    for endpoint in (
        Endpoint(
            "base_info",
            "/api/douyin-xingtu/gw/api/author/get_author_base_info/v1",
            "author_base_info",
            "Author Base Info (V1)",
        ),
        Endpoint(
            "marketing_info",
            "/api/douyin-xingtu/gw/api/author/get_author_marketing_info/v1",
            "author_marketing_info",
            "Author Marketing Info (V1)",
        ),
        Endpoint(
            "rec_videos",
            "/api/douyin-xingtu/gw/api/data_sp/author_rec_videos_v2/v1",
            "author_rec_videos",
            "Author Recommended Videos (V1)",
        ),
        Endpoint(
            "video_distribution",
            "/api/douyin-xingtu/gw/api/data_sp/author_video_distribution/v1",
            "author_video_distribution",
            "Author Video Distribution (V1)",
        ),
    )
}
"""The detail endpoints by name, in the order in which they are requested for each author."""


def search_url(base_url: str, filters: dict[str, str], page: int) -> str:
    """Return the URL of a page of the author search, without a token; the keys of `filters` are the API's names."""
    return f"{base_url}{SEARCH.path}?{urlencode({**filters, 'page': page})}"


def detail_url(base_url: str, endpoint: Endpoint, star_id: str, platform: Platform) -> str:
    """Return the URL of a detail endpoint for one author, without a token."""
    return f"{base_url}{endpoint.path}?oAuthorId={quote(star_id, safe='')}&platform={platform}"
