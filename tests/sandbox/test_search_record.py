"""An author in the search: the shape of the API's documented example, at every path."""

from __future__ import annotations

import json

from tests.sandbox.shapes import POPULATION, old_card, paths, sample
from xingtu_crawler.api.endpoints import Platform
from xingtu_crawler.sandbox import search_record
from xingtu_crawler.sandbox.details import RENDERERS

MORE = (
    "assign_cpm_suggest_price",
    "avg_sale_amount_range",
    "avg_search_after_view_rate_30d",
    "burst_text_rate",
    "ecom_gpm_30days_range",
    "ecom_video_ctr_30d_range",
    "ecom_video_mid_click_pv_30d_range",
    "game_item_count_90d",
    "interaction_median_30d",
    "is_ad_star_cur_high_quality_author",
    "playlet_author_types",
    "star_ecom_main_price_30days",
    "star_ecom_video_num_30d",
    "star_ecom_video_product_num_30d",
    "star_item_count_within_30d",
    "vv_median_30d",
)
"""Attributes of ordinary answers that the documented example lacks."""


def test_an_author_has_the_shape_of_the_example() -> None:
    shape = set(paths(sample("search")["authors"][0]))
    extras = {("$.attribute_datas.author_level_food", "str"), ("$.attribute_datas.author_level_beauty", "str")}
    more = {(f"$.attribute_datas.{name}", "str") for name in MORE}
    exact = 0
    for index in filter(old_card, range(POPULATION.size)):
        record = json.loads(search_record.render(POPULATION, index, 3))
        seen = set(paths(record))
        exact += seen == shape
        assert seen <= shape | extras | (more if search_record.has_more_figures(POPULATION.author(index)) else set())
        missing = {path for path, _ in shape - seen}
        assert missing <= {"$.attribute_datas.city", *(p for p, _ in shape if p.startswith("$.items[]"))}
    assert exact > 20


def test_all_attributes_are_strings_and_json_in_them_is_json() -> None:
    for index in range(100):
        attributes = json.loads(search_record.render(POPULATION, index, 0))["attribute_datas"]
        assert {type(value) for value in attributes.values()} == {str}
        items = json.loads(attributes["last_10_items"])
        assert len(items) == 10
        expected = {"comment_cnt", "is_high_quality_item", "item_create_time", "item_publish_time"}
        expected |= {"item_id", "item_title"}
        expected |= {"like_cnt", "share_cnt", "vv"}
        assert all(set(item) == expected and {type(v) for v in item.values()} == {str} for item in items)
        assert isinstance(json.loads(attributes["tags_relation"]), dict)
        assert isinstance(json.loads(attributes["content_theme_labels_180d"]), list)


def test_prices_and_cpm_are_consistent() -> None:
    checked = 0
    for index in range(POPULATION.size):
        attributes = json.loads(search_record.render(POPULATION, index, 9))["attribute_datas"]
        for duration in ("1_20", "20_60", "60"):
            if f"price_{duration}" in attributes:
                cpm = int(attributes[f"price_{duration}"]) / int(attributes["expected_play_num"]) * 1000
                assert abs(cpm - float(attributes[f"prospective_{duration}_cpm"])) < 1e-4
                checked += 1
                rate = float(attributes["interact_rate_within_30d"])
                engagements = int(attributes[f"price_{duration}"]) / float(attributes[f"sn_prospective_{duration}_cpe"])
                assert engagements < 0.95 * int(attributes["expected_play_num"]) * rate
    assert checked > 400


def test_details_and_search_agree_about_the_author() -> None:
    for index in range(50):
        base = json.loads(RENDERERS["base_info"](POPULATION, index, Platform.SHORT_VIDEO, 4))
        record = json.loads(search_record.render(POPULATION, index, 4))
        assert base["id"] == record["star_id"] == record["attribute_datas"]["id"] == POPULATION.star_id(index)
        assert str(base["follower"]) == record["attribute_datas"]["follower"]
        assert json.loads(base["tags"]) == list(base["tags_relation"])
