"""The answers' shapes are those of the API's documented answers, at every path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xingtu_crawler.api.endpoints import DETAILS, Platform
from xingtu_crawler.sandbox import prices, search_record
from xingtu_crawler.sandbox.details import RENDERERS
from xingtu_crawler.sandbox.population import Population

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
POPULATION = Population(seed=1, size=400)
# Its keys are tags, words or other data, not fields.
OPEN = {"$.tags_relation"}


def paths(value: Any, path: str = "$") -> Iterator[tuple[str, str]]:
    """Yield (path, JSON type) for everything in `value`; elements of a list share one path."""
    kind = "number" if type(value) in (int, float) else type(value).__name__
    yield path, kind
    if isinstance(value, dict) and path not in OPEN:
        for name, inner in value.items():
            yield from paths(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{path}[]")


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"author_{name}.json").read_text(encoding="utf-8"))["data"]


def old_card(index: int) -> bool:
    return POPULATION.priced(index) and not POPULATION.new_card(index)


@pytest.mark.parametrize("endpoint", DETAILS)
def test_details_have_the_samples_shape(endpoint: str) -> None:
    shape = set(paths(sample(endpoint)))
    seen: set[tuple[str, str]] = set()
    for index in filter(old_card, range(POPULATION.size)):
        for platform in Platform:
            seen |= set(paths(json.loads(RENDERERS[endpoint](POPULATION, index, platform, 3))))
    fills = {("$.order_hot_videos[]", "dict")}  # empty in the sample
    assert {path for path in seen if not path[0].startswith("$.order_hot_videos[]")} == shape - fills
    inside = {(path.replace("order_hot", "newest"), kind) for path, kind in seen if "order_hot" in path}
    assert inside <= seen


def test_an_author_of_the_search_has_the_samples_shape() -> None:
    shape = set(paths(sample("search")["authors"][0]))
    extras = {("$.attribute_datas.author_level_food", "str"), ("$.attribute_datas.author_level_beauty", "str")}
    exact = 0
    for index in filter(old_card, range(POPULATION.size)):
        record = json.loads(search_record.render(POPULATION, index, 3))
        seen = set(paths(record))
        exact += seen == shape
        assert seen <= shape | extras
        missing = {path for path, _ in shape - seen}
        assert missing <= {"$.attribute_datas.city", *(p for p, _ in shape if p.startswith("$.items[]"))}
    assert exact > 20


def test_all_attributes_are_strings_and_json_in_them_is_json() -> None:
    for index in range(100):
        attributes = json.loads(search_record.render(POPULATION, index, 0))["attribute_datas"]
        assert {type(value) for value in attributes.values()} == {str}
        items = json.loads(attributes["last_10_items"])
        assert len(items) == 10
        expected = {"comment_cnt", "is_high_quality_item", "item_create_time", "item_id", "item_title"}
        expected |= {"like_cnt", "share_cnt", "vv"}
        assert all(set(item) == expected and {type(v) for v in item.values()} == {str} for item in items)
        assert isinstance(json.loads(attributes["tags_relation"]), dict)
        assert isinstance(json.loads(attributes["content_theme_labels_180d"]), list)


def test_money_is_consistent() -> None:
    checked = 0
    for index in range(POPULATION.size):
        attributes = json.loads(search_record.render(POPULATION, index, 9))["attribute_datas"]
        for duration in ("1_20", "20_60", "60"):
            if f"price_{duration}" in attributes:
                cpm = int(attributes[f"price_{duration}"]) / int(attributes["expected_play_num"]) * 1000
                assert abs(cpm - float(attributes[f"prospective_{duration}_cpm"])) < 1e-4
                checked += 1
    assert checked > 400


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
            else:
                assert price["price"] > 100


def test_authors_who_offer_nothing() -> None:
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


def test_details_and_search_agree_about_the_author() -> None:
    for index in range(50):
        base = json.loads(RENDERERS["base_info"](POPULATION, index, Platform.SHORT_VIDEO, 4))
        record = json.loads(search_record.render(POPULATION, index, 4))
        assert base["id"] == record["star_id"] == record["attribute_datas"]["id"] == POPULATION.star_id(index)
        assert str(base["follower"]) == record["attribute_datas"]["follower"]
        assert json.loads(base["tags"]) == list(base["tags_relation"])
