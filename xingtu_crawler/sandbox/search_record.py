"""One author in the author search: about 75 attributes, all of them strings.

Knows the population; does not know queries or pages.
"""

from __future__ import annotations

import statistics
from typing import Any

from xingtu_crawler.sandbox import prices, rendering, videos
from xingtu_crawler.sandbox.population import DAY_SECONDS, DAY_ZERO, Author, Population

_FIXED: dict[str, str] = {
    "author_avatar_frame_icon": "0",
    "brand_boost_vv": "0",
    "grade": "0",
    "is_black_horse_author": "false",
    "is_cocreate_author": "false",
    "is_cpm_project_author": "0",
    "is_excellenct_author": "0",
    "local_lower_threshold_author": "false",
    "pic_brand_boost": "false",
    "pic_brand_boost_vv": "0",
    "star_excellent_author": "0",
    "star_qianchuan_high_potential": "0",
    "star_whispers_author": "0",
    "video_brand_boost": "false",
    "video_brand_boost_vv": "0",
}
_EXTRA_DATA: dict[str, Any] = {
    "content_query_from_word": "",
    "content_query_score": 0,
    "debug_info": "",
    "demander_behavior": {"added_author_list": False, "cooperated": False, "viewd_author_page": False},
    "recall_from": ["1_0"],
    "recall_return_infos": {},
    "recommend_types": [],
}
# video_type -> the duration in the names of its attributes.
_DURATIONS = {1: "1_20", 2: "20_60", 71: "60"}
_ORDER_VALUES = ("0-50", "50-200", "200-500", ">500")
_GMV = ("<1w", "1w-10w", "10w-100w", ">100w")
_GPM = ("<100", "100-1000", "1000-3000", ">3000")


def has_city(author: Author) -> bool:
    """Return whether the search returns the author's city."""
    return author.quirk & 7 != 0


def has_more_figures(author: Author) -> bool:
    """Return whether the search returns the attributes that only some authors have."""
    return author.quirk >> 55 & 7 == 0


def render(population: Population, index: int, day: int) -> bytes:
    """Return the author as an element of `data.authors`, with a placeholder for the avatar's signature."""
    author = population.author(index)
    newest = videos.latest_number(population, index, day)
    recent = videos.at(population, index, range(newest, newest - 10, -1), day)
    offers = {
        video_type: amount
        for video_type in prices.card(population, index)
        if (amount := prices.price(population, index, day, video_type)) is not None
    }
    best = max(recent, key=lambda one: one.plays)
    return rendering.body(
        {
            "attribute_datas": _attributes(population, author, day, recent, offers),
            "extra_data": _EXTRA_DATA,
            "items": [{"item_id": best.item_id, "video_tag": 3, "vv": best.item_plays}]
            if author.quirk >> 3 & 7
            else [],
            "star_id": author.star_id,
            "task_infos": [_task_info(author, offers)],
        }
    )


def _attributes(
    population: Population, author: Author, day: int, recent: list[videos.Video], offers: dict[int, int]
) -> dict[str, str]:
    index, quirk = author.index, author.quirk
    followers = population.followers(index, day)
    gained = followers - population.followers(index, day - 15)
    plays = videos.expected_plays(population, index, day)
    interact = round(0.005 + (quirk >> 8 & 255) / 255 * 0.08, 4)
    # The cost per engagement implies fewer interactions than the rate does, as in the responses of the API.
    engaged = interact * (0.6 + (quirk >> 52 & 15) / 50)
    play_over = str(round(0.1 + (quirk >> 16 & 255) / 255 * 0.3, 4))
    score = [str(round(40 + (quirk >> shift & 255) / 255 * 59.9, 2)) for shift in (24, 28, 32, 36, 40)]
    attributes = _FIXED | {
        "author_ecom_level": f"L{quirk >> 6 & 3}",
        "author_level_game": f"Lv{1 + (quirk >> 10 & 3)}",
        "author_level_other": f"Lv{1 + (quirk >> 12 & 3)}",
        "author_status": "1",
        "author_thin_mid_word_association_index": rendering.text({"清爽": 0.003, author.themes[0]: interact}),
        "author_type": str(1 + (quirk >> 14 & 3)),
        "avatar_uri": rendering.avatar_uri("p3-sandbox", quirk),
        "content_theme_labels_180d": rendering.text(author.themes),
        "core_user_id": str(10**10 + quirk % (9 * 10**10)),
        "e_commerce_enable": str(quirk >> 18 & 1),
        "ecom_avg_order_value_30d_range": _ORDER_VALUES[quirk >> 19 & 3],
        "ecom_gmv_30d_range": _GMV[quirk >> 21 & 3],
        "ecom_gpm_30d_range": _GPM[quirk >> 23 & 3],
        "ecom_score": str(60 + (quirk >> 25 & 31)),
        "ecom_video_product_num_30d": str(quirk >> 30 & 15),
        "ecom_watch_pv_30d": str(round(plays * (quirk >> 34 & 15) / 1000, 1)),
        "expected_cpa3_level": str(1 + (quirk >> 38 & 3)),
        "expected_natural_play_num": str(int(plays * 1.282)),
        "expected_play_num": str(plays),
        "fans_increment_rate_within_15d": str(gained / followers),
        "fans_increment_within_15d": str(gained),
        # As implausible as in the responses of the API.
        "fans_increment_within_30d": str(round(followers * 0.131 + 0.33, 2)),
        "follower": str(followers),
        "game_type": '{"\\u5c04\\u51fb": 1.0}' if "游戏" in author.tags.relation else "{}",
        "gender": str(author.look.gender),
        "id": author.star_id,
        "interact_rate_within_30d": str(interact),
        "is_short_drama": str(int(quirk >> 42 & 15 == 0)),
        "last_10_items": _last_items(recent),
        "link_convert_index": score[0],
        "link_convert_index_by_industry": score[0],
        "link_i_cnt_by_industry": str(followers * 7 // 10),
        "link_k_cnt_by_industry": str(followers // 800),
        "link_l_cnt_by_industry": str(followers * 9 // 10),
        "link_link_cnt_by_industry": str(followers * 3 // 2),
        "link_n_cnt_by_industry": str(followers // 2),
        "link_recommend_index_by_industry": score[1],
        "link_shopping_index": score[1],
        "link_spread_index": score[2],
        "link_spread_index_by_industry": score[2],
        "link_star_index": score[3],
        "link_star_index_by_industry": score[3],
        "link_user_type_by_industry": str(1 + (quirk >> 44 & 1)),
        "nick_name": author.nick_name,
        "pic_expected_play_num": str(plays * 4 // 25),
        "play_over_rate_within_30d": play_over,
        "promotion_prospective_vv": str(int(plays * 1.3)),
        "province": author.look.province,
        "search_after_view_index_by_industry": score[4],
        "sn_expected_play_num": str(plays),
        "sn_interact_rate_within_30d": str(interact),
        "sn_play_over_rate_within_30d": play_over,
        "star_index": str(40 + (quirk & 0xFFFFFF) / 0x1000000 * 59),
        "tags_relation": rendering.text(author.tags.relation),
    }
    if has_city(author):
        attributes["city"] = author.look.city
    if quirk >> 46 & 3 == 0:
        attributes["author_level_food"] = f"Lv{1 + (quirk >> 48 & 3)}"
    if quirk >> 50 & 7 == 0:
        attributes["author_level_beauty"] = f"Lv{1 + (quirk >> 53 & 3)}"
    if has_more_figures(author):
        attributes |= _more_figures(author, recent, plays)
    for video_type, name in _DURATIONS.items():
        if video_type in offers and (author.new_card or video_type != 71):
            attributes |= _money(name, offers[video_type], plays, engaged)
    return dict(sorted(attributes.items()))


def _more_figures(author: Author, recent: list[videos.Video], plays: int) -> dict[str, str]:
    quirk = author.quirk
    return {
        "assign_cpm_suggest_price": str(10 + (quirk >> 5 & 31)),
        "avg_sale_amount_range": "1000-5000",
        "avg_search_after_view_rate_30d": str((quirk >> 9 & 15) / 10_000),
        "burst_text_rate": str(round((quirk >> 13 & 15) / 15, 4)),
        "ecom_gpm_30days_range": "5以下",
        "ecom_video_ctr_30d_range": "2%-4%",
        "ecom_video_mid_click_pv_30d_range": "5000-1万",
        "game_item_count_90d": str(quirk >> 17 & 3),
        "interaction_median_30d": str(statistics.median(one.likes for one in recent)),
        "is_ad_star_cur_high_quality_author": str(quirk >> 19 & 1),
        "playlet_author_types": "[3]",
        "star_ecom_main_price_30days": str((quirk >> 20 & 255) + 0.5),
        "star_ecom_video_num_30d": str(quirk >> 28 & 3),
        "star_ecom_video_product_num_30d": str(quirk >> 28 & 3),
        "star_item_count_within_30d": str(quirk >> 30 & 7),
        "vv_median_30d": str(statistics.median(one.plays for one in recent)),
    }


def _money(duration: str, price: int, plays: int, engaged: float) -> dict[str, str]:
    cpm = str(round(price / plays * 1000, 4))
    return {
        f"price_{duration}": str(price),
        f"promotion_prospective_{duration}_cpm": str(round(price / int(plays * 1.3) * 1000, 2)),
        f"prospective_{duration}_cpm": cpm,
        f"sn_prospective_{duration}_cpm": cpm,
        f"sn_prospective_{duration}_cpe": str(round(price / (plays * engaged), 4)),
    }


def _last_items(recent: list[videos.Video]) -> str:
    return rendering.text(
        [
            {
                "comment_cnt": str(one.comments),
                "is_high_quality_item": str(int(one.good)),
                "item_create_time": str(one.item_create_time),
                "item_id": one.item_id,
                "item_publish_time": str(one.item_publish_time),
                "item_title": one.title,
                "like_cnt": str(one.likes),
                "share_cnt": str(one.shares),
                "vv": str(one.plays),
            }
            for one in recent
        ]
    )


def _task_info(author: Author, offers: dict[int, int]) -> dict[str, Any]:
    return {
        "online_status": 2,
        "platform_source": 1,
        "price_infos": [
            {
                "end_time": "2145916800",
                "platform_source": 1,
                "price": amount,
                "price_extra_info": {"sku_version": 2} if author.new_card else {},
                "start_time": str(DAY_ZERO - author.quirk % 300 * DAY_SECONDS),
                "task_category": 1,
                "video_type": video_type,
                "video_type_status": 1,
            }
            for video_type, amount in offers.items()
        ],
        "task_category": 1,
        "task_status": 1,
    }
