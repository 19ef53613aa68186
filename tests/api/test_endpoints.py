"""The registry of endpoints and the URLs made from it."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.api.endpoints import DETAILS, SEARCH, Platform, detail_url, search_url

BASE = "https://api.example.com"


def test_names_paths_and_collections_are_those_of_the_documentation() -> None:
    prefix = "/api/douyin-xingtu/gw/api/"
    assert {each.name: (each.path.removeprefix(prefix), each.collection) for each in (SEARCH, *DETAILS.values())} == {
        "search": ("gsearch/search_for_author_square/v1", "authors"),
        "base_info": ("author/get_author_base_info/v1", "author_base_info"),
        "marketing_info": ("author/get_author_marketing_info/v1", "author_marketing_info"),
        "rec_videos": ("data_sp/author_rec_videos_v2/v1", "author_rec_videos"),
        "video_distribution": ("data_sp/author_video_distribution/v1", "author_video_distribution"),
    }
    assert all(each.path.startswith(prefix) for each in (SEARCH, *DETAILS.values()))


@pytest.mark.parametrize("platform", list(Platform))
def test_a_detail_url_names_one_author_and_one_platform(platform: Platform) -> None:
    parts = urlsplit(detail_url(BASE, DETAILS["base_info"], "7000000000000000001", platform))
    assert f"{parts.scheme}://{parts.netloc}" == BASE
    assert parts.path == DETAILS["base_info"].path
    assert parse_qsl(parts.query) == [("oAuthorId", "7000000000000000001"), ("platform", platform.value)]


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1)), st.integers(1, 500))
def test_a_search_url_contains_every_filter_unchanged_and_the_page(filters: dict[str, str], page: int) -> None:
    url = search_url(BASE, filters, page)
    assert url.isascii()
    assert dict(parse_qsl(urlsplit(url).query)) == {**filters, "page": str(page)}
