"""The detail endpoints: the shapes of the API's documented examples, at every path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sandbox.shapes import POPULATION, old_card, paths, sample
from xingtu_crawler.api.endpoints import DETAILS, Platform
from xingtu_crawler.sandbox import prices, search_record
from xingtu_crawler.sandbox.details import RENDERERS


@pytest.mark.parametrize("endpoint", DETAILS)
def test_the_details_have_the_shape_of_the_examples(endpoint: str) -> None:
    shape = set(paths(sample(endpoint)))
    seen: set[tuple[str, str]] = set()
    for index in filter(old_card, range(POPULATION.size)):
        for platform in Platform:
            seen |= set(paths(json.loads(RENDERERS[endpoint](POPULATION, index, platform, 3))))
    fills = {("$.order_hot_videos[]", "dict")}  # empty in the sample
    # What the sample lacks: a paid video, and a price per 1,000 plays.
    lacking = ("$.order_hot_videos[]", "$.price_info[].price_extra_info")
    assert {path for path in seen if not path[0].startswith(lacking)} == shape - fills
    inside = {(path.replace("order_hot", "newest"), kind) for path, kind in seen if "order_hot" in path}
    assert inside <= seen


def test_the_newer_rate_card() -> None:
    index = next(i for i in range(100) if POPULATION.priced(i) and POPULATION.new_card(i))
    record = json.loads(search_record.render(POPULATION, index, 0))
    assert "price_1_20" not in record["attribute_datas"]
    assert "price_60" in record["attribute_datas"]
    offers = json.loads(RENDERERS["marketing_info"](POPULATION, index, Platform.SHORT_VIDEO, 0))["price_info"]
    desc = {offer["video_type"]: offer["desc"] for offer in offers}
    assert {2, 71, 150, 151, 103, 104, 105} <= set(desc)
    assert 1 not in desc
    assert desc[2] != prices.OLD_CARD[2]
    assert all("sku_version" in offer["price_extra_info"] for offer in offers if offer["enable"])
    assert all("sku_version" in info["price_extra_info"] for info in record["task_infos"][0]["price_infos"])


def test_placeholders_are_not_offers() -> None:
    for index in range(100):
        answer = json.loads(RENDERERS["marketing_info"](POPULATION, index, Platform.SHORT_VIDEO, 0))
        for price in answer["price_info"]:
            if price["task_category"] == 103:
                assert (price["price"], price["enable"], price["online_status"]) == (100, False, 2)
            elif price["video_type"] == 92:
                bounds = price["price_extra_info"]
                assert 10 <= price["price"] < 30
                assert int(bounds["floor_price"]) < int(bounds["ceiling_price"])
            else:
                assert price["price"] > 100


def test_authors_without_offers() -> None:
    without = [i for i in range(POPULATION.size) if not POPULATION.priced(i)]
    records = [json.loads(search_record.render(POPULATION, i, 0))["attribute_datas"] for i in without]
    assert not any(name.startswith("price_") or name.endswith("_cpm") for record in records for name in record)
    listed = [json.loads(RENDERERS["marketing_info"](POPULATION, i, Platform.SHORT_VIDEO, 0)) for i in without]
    assert {len(answer["price_info"]) for answer in listed} == {0, 3}


def test_some_lists_are_empty_and_platforms_differ() -> None:
    def answers(endpoint: str, platform: Platform) -> list[Any]:
        return [json.loads(RENDERERS[endpoint](POPULATION, i, platform, 0)) for i in range(200)]

    videos = answers("rec_videos", Platform.SHORT_VIDEO)
    assert any(not any(value for name, value in answer.items() if name != "base_resp") for answer in videos)
    spread = answers("video_distribution", Platform.SHORT_VIDEO)
    assert any(not answer["video_content_distribution"] for answer in spread)
    for endpoint in DETAILS:
        pairs = zip(answers(endpoint, Platform.SHORT_VIDEO), answers(endpoint, Platform.LIVE_STREAMING), strict=True)
        assert sum(one != other for one, other in pairs) > 100
