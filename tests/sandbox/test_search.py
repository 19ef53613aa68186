"""The author search: filters, order, cap and pages."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingtu_crawler.sandbox import prices, search_record
from xingtu_crawler.sandbox.answers import Answers
from xingtu_crawler.sandbox.population import Population
from xingtu_crawler.sandbox.query import PRICE_TYPES, InvalidQueryError, parse
from xingtu_crawler.sandbox.search import Search
from xingtu_crawler.sandbox.vocabulary import LOOK_SLOTS

POPULATION = Population(seed=5, size=2_000)
SEARCH = Search(POPULATION)
ANSWERS = Answers(POPULATION, SEARCH)


def found(day: int = 0, **params: str) -> list[int]:
    """Return all hits of a query, page by page."""
    query, number = parse(params)
    hits: list[int] = []
    while True:
        page = SEARCH.page(query, number, day)
        hits += page.indexes
        if not page.has_more:
            assert len(hits) == page.total_count
            return hits
        assert len(page.indexes) == 20
        number += 1


@cache
def attributes(index: int, day: int = 0) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(search_record.render(POPULATION, index, day))["attribute_datas"]
    return record


def test_without_filters_all_authors_are_found_by_followers() -> None:
    assert found() == list(range(2_000))


def test_default_order_is_a_stable_shuffle_of_the_same_authors() -> None:
    shuffled = found(sort="DEFAULT")
    assert shuffled == found(sort="DEFAULT")
    assert shuffled != found()
    assert sorted(shuffled) == found()


@given(low=st.integers(0, 10**8), width=st.integers(0, 10**7), day=st.integers(0, 50))
def test_follower_range(low: int, width: int, day: int) -> None:
    expected = [i for i in range(2_000) if low <= POPULATION.followers(i, day) <= low + width]
    assert found(day, followerRange=f"{low}-{low + width}") == expected


@given(
    name=st.sampled_from(
        ["视频1_20s", "VIDEO_1_20S", "视频21_60s", "VIDEO_21_60S", "PRODUCT_PLACEMENT_VIDEO", "CUSTOM_VIDEO"]
    ),
    low=st.integers(0, 100_000),
    width=st.integers(0, 100_000),
    day=st.integers(0, 200),
)
def test_price_range_under_all_names(name: str, low: int, width: int, day: int) -> None:
    kind = {"视": 1 if "1_20" in name[:6] else 2, "C": 71, "P": 2}.get(name[0], 1 if name == "VIDEO_1_20S" else 2)
    expected = [
        i
        for i in range(2_000)
        if (price := prices.price(POPULATION, i, day, kind)) is not None and low <= price <= low + width
    ]
    assert found(day, kolPriceType=name, kolPriceRange=f"{low}-{low + width}") == expected


def test_the_filtered_price_is_the_price_in_the_response() -> None:
    hits = found(3, kolPriceType="VIDEO_1_20S", kolPriceRange="5000-20000")
    assert hits
    assert all(5_000 <= int(attributes(i, 3)["price_1_20"]) <= 20_000 for i in hits)


def test_keyword_in_nick_name() -> None:
    assert [POPULATION.nick_name(i) for i in found(keyword="美食")] == [
        name for name in map(POPULATION.nick_name, range(2_000)) if "美食" in name
    ]
    assert found(keyword="001234") == [1_234]
    assert set(found(keyword="测试")) == set(range(2_000))
    assert found(keyword="unknown") == []


@given(st.integers(0, 1_999), st.integers(0, 12), st.integers(1, 8))
def test_any_part_of_a_name_finds_it(index: int, start: int, length: int) -> None:
    name = POPULATION.nick_name(index)
    part = name[start : start + length]
    hits = found(keyword=part)
    assert index in hits
    assert all(part in POPULATION.nick_name(i) for i in hits)


def test_keyword_in_content() -> None:
    hits = found(keyword="探店", searchType="CONTENT")
    text = "content_theme_labels_180d", "tags_relation"
    expected = [i for i in range(2_000) if any("探店" in attributes(i)[name] for name in text)]
    assert hits == expected
    assert 10 < len(hits) < 2_000


@pytest.mark.parametrize("tags", ["美食", "美食探店", "美食产品测评", "舞蹈,游戏", "nonsense"])
def test_content_tag_of_either_level(tags: str) -> None:
    def has(index: int) -> bool:
        relation = json.loads(attributes(index)["tags_relation"])
        return bool({*relation, *(name for names in relation.values() for name in names)} & set(tags.split(",")))

    hits = found(contentTag=tags)
    assert hits == list(filter(has, range(2_000)))
    assert bool(hits) == (tags != "nonsense")


def test_gender_and_location() -> None:
    hits = found(gender="FEMALE", location="广东省,成都市")
    looks = [LOOK_SLOTS[POPULATION.look_column[i]] for i in range(2_000)]
    expected = [
        i for i, look in enumerate(looks) if look.gender == 2 and (look.province == "广东省" or look.city == "成都市")
    ]
    assert hits == expected
    assert hits
    assert {attributes(i)["gender"] for i in hits[:20]} == {"2"}


def test_other_filters_are_ignored() -> None:
    assert found(expectedPlayRange="0-1", authorList="SHORT_DRAMA_ACTORS", isSuperstar="true") == found()


@pytest.mark.parametrize(
    "params",
    [
        {"followerRange": "100"},
        {"followerRange": "500-100"},
        {"followerRange": "a-b"},
        {"followerRange": "100-"},
        {"kolPriceRange": "1-2"},
        {"kolPriceType": "VIDEO_21_60S", "kolPriceRange": "1~2"},
        {"kolPriceType": "VIDEO_2H"},
        {"gender": "ROBOT"},
        {"sort": "PRICE"},
        {"searchType": "ANY"},
        {"page": "0"},
        {"page": "first"},
    ],
)
def test_malformed_parameters_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(InvalidQueryError):
        parse(params)


@given(
    st.dictionaries(
        st.sampled_from(
            ["keyword", "searchType", "followerRange", "kolPriceType", "kolPriceRange", "contentTag", "page"]
        ),
        st.text(max_size=12)
        | st.from_regex(r"\d{1,400}-\d{1,400}", fullmatch=True)
        | st.sampled_from(list(PRICE_TYPES)),
    )
)
def test_no_query_breaks_the_search(params: dict[str, str]) -> None:
    answer = ANSWERS.answer("search", params, 0, 1)
    assert answer.code in {0, 400}
    assert json.loads(answer.data) is None or answer.code == 0


def test_ten_thousand_are_reachable_of_a_million() -> None:
    search = Search(Population(seed=1, size=1_000_000))
    query, _ = parse({})
    last, after = search.page(query, 500, 0), search.page(query, 501, 0)
    assert (len(last.indexes), last.has_more, last.total_count) == (20, False, 10_000)
    assert (after.indexes, after.has_more, after.total_count) == ([], False, 10_000)


def test_a_page_after_the_last_one_is_empty() -> None:
    query, _ = parse({"keyword": "001234"})
    page = SEARCH.page(query, 2, 0)
    assert (page.indexes, page.has_more, page.total_count) == ([], False, 1)


def test_overlap_repeats_authors_and_loses_none() -> None:
    search = Search(POPULATION, overlap=0.3)
    query, number = parse({})
    hits: list[int] = []
    repeated = 0
    while (page := search.page(query, number, 0)).has_more or page.indexes:
        repeated += bool(hits) and page.indexes[0] == hits[-1]
        hits += page.indexes
        number += 1
    assert 10 < repeated < 60
    assert len(hits) == 2_000 + repeated
    assert set(hits) == set(range(2_000))
