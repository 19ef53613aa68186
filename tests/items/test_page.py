from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items import SearchPage, parse_page, star_id_of


def test_the_sample_page(search_page: dict[str, Any]) -> None:
    page = parse_page(search_page)

    assert (page.page, page.limit, page.has_more, page.total_count) == (1, 20, True, 10000)
    assert page.authors == search_page["authors"]
    assert page.raw_meta == {name: search_page[name] for name in ("base_resp", "extra_data", "pagination")}


def test_numbers_may_come_as_text() -> None:
    pagination = {"page": "3", "limit": "20", "has_more": "false", "total_count": "45", "new": 1}

    page = parse_page({"authors": [], "pagination": pagination, "zzz": 1})

    expected = {"pagination": pagination, "zzz": 1}
    assert page == SearchPage(page=3, limit=20, has_more=False, total_count=45, authors=[], raw_meta=expected)


@pytest.mark.parametrize(
    "pagination",
    [None, [], "x", {}, {"page": "x", "limit": True, "has_more": "maybe", "total_count": 1.5}, {"total_count": {}}],
)
def test_figures_that_cannot_be_read_are_none(pagination: object) -> None:
    page = parse_page({"authors": None, "pagination": pagination})

    assert page == SearchPage(None, None, None, None, [], {"pagination": pagination})


@pytest.mark.parametrize("payload", [None, [], "x", 5, {}, {"pagination": {}}, {"authors": {}}, {"authors": "x"}])
def test_what_is_no_page_is_refused(payload: object) -> None:
    with pytest.raises(IdentityError, match="search page"):
        parse_page(payload)


@pytest.mark.parametrize(
    ("element", "star_id"),
    [
        ({"star_id": "6855230644880949262"}, "6855230644880949262"),
        ({"star_id": 6855230644880949262}, "6855230644880949262"),
        ({"star_id": ""}, None),
        ({"star_id": "0"}, None),
        ({"star_id": 0}, None),
        ({"star_id": -5}, None),
        ({"star_id": True}, None),
        ({"star_id": 6.8e18}, None),
        ({"star_id": " 1\t"}, "1"),
        ({"attribute_datas": {"id": "7"}}, "7"),
        ({"star_id": 6.8e18, "attribute_datas": {"id": 7}}, "7"),
        ({"star_id": "x", "attribute_datas": {"id": "7"}}, None),
        ({"star_id": None, "attribute_datas": {"id": 6.8e18}}, None),
        ({"star_id": None, "attribute_datas": ["7"]}, None),
        ({"star_id": "١٢"}, None),
        ({"star_id": "1" * 21}, None),
        ({"star_id": ["1"]}, None),
        ({}, None),
        (None, None),
        ("1", None),
        ([], None),
    ],
)
def test_star_id_of(element: object, star_id: str | None) -> None:
    assert star_id_of(element) == star_id


@given(st.integers(1, 10**20 - 1))
def test_an_id_is_the_same_as_text_and_as_number(star_id: int) -> None:
    assert star_id_of({"star_id": star_id}) == star_id_of({"star_id": str(star_id)}) == str(star_id)
