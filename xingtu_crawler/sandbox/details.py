"""The `data` of the four detail endpoints, in the exact shapes of the API's documented examples.

Knows the population; does not know requests, tokens or envelopes.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

from xingtu_crawler.api.endpoints import Platform
from xingtu_crawler.sandbox import prices, rendering, videos
from xingtu_crawler.sandbox.population import DAY_SECONDS, DAY_ZERO, Author, Population, scramble

_PLACE = {platform: place for place, platform in enumerate(Platform)}
_PRICE_FACTOR = {0: 1.0, 1: 0.8, 2: 0.5, 3: 1.25}
_PLACEHOLDERS = {103: "单视频推送广告平台", 104: "多视频推送广告平台", 105: "下载"}
_OPEN_ENDED = "2145916800"
_GENERAL_NAMES = ("随拍", "音乐", "美食", "旅行", "生活", "剧情搞笑", "萌宠", "时尚")

# One video: only three values are filled, as in the responses of the API.
_VIDEO = (
    '{"acu":0,"avg_watch":0,"barrage":0,"biz_id":"0","comment":0,"core_user_id":"0","create_time":%d,'
    '"create_timestamp":0,"duration":0,"duration_min":0,"fans_club":0,"favorite":"0","finish_time":0,'
    '"head_image_uri":"","head_image_uris":[],"head_image_url_signed":"","height":"0","impression":0,'
    '"industry":"","interact_rate":0,"is_hot":false,"is_playlet":0,"item_animated_cover":"","item_cover":"",'
    '"item_date":"","item_id":"%s","item_title":"","like":0,"live_status":0,"max_watch":0,"media_type":"0",'
    '"original_status":0,"play":%d,"play_over_5min":0,"read_cnt":"0","repin":0,"send_gift":0,"send_prop":0,'
    '"send_red_packet":0,"share":0,"status":0,"title":"","url":"","video_id":"","width":"0"}'
)


def base_info(population: Population, index: int, platform: Platform, day: int) -> bytes:
    """Return `data` of "Author Base Info (V1)", with placeholders for the avatar's signature and `modify_time`."""
    author, place = population.author(index), _PLACE[platform]
    quirk, tags = author.quirk, author.tags
    account = str(10**8 + quirk % (9 * 10**8))
    offers = [amount for kind in (1, 2, 71) if (amount := prices.price(population, index, day, kind)) is not None]
    return rendering.body(
        {
            "abandon_sign_result": 0,
            "appeal_id": "0",
            "author_avatar_frame_icon": 0,
            "author_type": 1 + (quirk >> 14 & 3),
            "avatar_uri": rendering.avatar_uri("p11-sandbox", quirk),
            "avg_play": 0 if place == 0 else videos.expected_plays(population, index, day) // (place + 1),
            "aweme_tags": [],
            "base64_qrcode": _qrcode(quirk),
            "base_resp": {"status_code": 0, "status_message": "Success"},
            "category_id": "1",
            "city": author.look.city,
            "content_theme_labels": author.themes,
            "core_user_id": str(10**10 + quirk % (9 * 10**10)),
            "create_time": str(DAY_ZERO - (200 + quirk % 2600) * DAY_SECONDS + quirk % 86_399),
            "creator_type": 0,
            "e_commerce_enable": bool(quirk >> 18 & 1),
            "follower": population.followers(index, day),
            "gender": author.look.gender,
            "grade": 0,
            "has_phone": bool(quirk & 15),
            "id": author.star_id,
            "industry_list": [],
            "is_cpm_project_author": False,
            "is_game_author": "游戏" in tags.relation,
            "is_online": True,
            "is_plan_author": False,
            "is_star": True,
            "is_visible": True,
            # Not the minimum of the prices, as in the responses of the API.
            "lowest_price": round(min(offers) * 0.2 * _PRICE_FACTOR[place] / 100) * 100 if offers else 0,
            "mcn_introduction": "",
            "mcn_logo": "",
            "mcn_name": f"测试机构{quirk >> 20 & 63:03d}" if quirk >> 26 & 3 == 0 else "",
            "modify_time": rendering.MODIFIED_MARK,
            "nick_name": author.nick_name,
            "online_status": 1,
            "opened_task_category": "[1, 103]" if offers else "[]",
            "platform": [1, 5],
            "platform_channel": [1],
            "platform_source": 1,
            "protocol_id": "20210524",
            "province": author.look.province,
            "qrcode_url": "",
            "sec_uid": "MS4wLjABAAAA" + base64.urlsafe_b64encode(b"%032x" % quirk).decode()[:43],
            "short_id": account,
            "star_tags": [{"tag_type": 3, "tag_value": 1}],
            "status": 1,
            "tags": json.dumps(list(tags.relation)),
            "tags_author_style": "[]",
            "tags_ids": json.dumps(tags.ids),
            "tags_ids_level_two": json.dumps(tags.ids_level_two),
            "tags_level_two": json.dumps([name for names in tags.relation.values() for name in names]),
            "tags_relation": tags.relation,
            "task_status": 1,
            "unique_id": account,
        }
    )


def marketing_info(population: Population, index: int, platform: Platform, day: int) -> bytes:
    """Return `data` of "Author Marketing Info (V1)": the author's rate card on the platform, and placeholders."""
    author, place = population.author(index), _PLACE[platform]
    card = prices.card(population, index)
    offers = []
    for video_type, desc in card.items():
        amount = prices.price(population, index, day, video_type)
        if amount is not None and (place == 0 or video_type != 91):
            amount = max(200, round(amount * _PRICE_FACTOR[place] / 100) * 100)
            offers.append(_price_info(author, video_type, desc, amount))
    if offers and author.quirk >> 58 & 7 == 0:
        offers.append(_price_per_1000(author, offers[0]["price"]))
    placeholders = [_placeholder(author.star_id, kind, desc) for kind, desc in _PLACEHOLDERS.items()]
    # Half of the authors without offers have the placeholders, the other half have an empty list.
    listed = offers[:-1] + placeholders + offers[-1:] if offers or author.quirk & 1 else []
    return rendering.body(
        {
            "activity_info": [],
            "base_resp": {"status_code": 0, "status_message": "Success"},
            "hot_list_ranks": [],
            "industry_tags": [f"{author.tags.primary}-{name}" for name in author.themes[: author.quirk >> 4 & 3]],
            "price_info": listed,
        }
    )


def rec_videos(population: Population, index: int, platform: Platform, day: int) -> bytes:
    """Return `data` of "Author Recommended Videos (V1)"; all four lists are empty for one author in sixteen."""
    place = _PLACE[platform]
    bits = scramble(population.seed + index * 4 + place)
    lists: dict[str, list[int]] = {"masterpiece": [], "newest": [], "order_hot": [], "personal_hot": []}
    if bits & 15:
        newest = videos.latest_number(population, index, day) - place
        chosen = random.Random(bits + newest // 10)
        lists["newest"] = list(range(newest, newest - 2 - (bits >> 4 & 7), -1))
        lists["masterpiece"] = chosen.sample(range(newest - 45, newest - 5), 2 + (bits >> 7 & 3))
        lists["personal_hot"] = chosen.sample(range(newest - 45, newest - 5), 2 + (bits >> 9 & 3))
        if bits >> 11 & 1 and population.priced(index):
            lists["order_hot"] = chosen.sample(range(newest - 30, newest - 5), 1 + (bits >> 12 & 1))
    parts = ['{"base_resp":{"status_code":0,"status_message":""}']
    for name, numbers in lists.items():
        listed = videos.at(population, index, numbers, day)
        rendered = ",".join(_VIDEO % (video.rec_create_time, video.item_id, video.rec_plays) for video in listed)
        parts.append(f'"{name}_videos":[{rendered}]')
    return (",".join(parts) + "}").encode()


def video_distribution(population: Population, index: int, platform: Platform, day: int) -> bytes:
    """Return `data` of "Author Video Distribution (V1)"; empty for one author in sixteen."""
    bits = scramble(population.seed + index * 4 + _PLACE[platform] + 1_000_003)
    distribution: list[dict[str, Any]] = []
    if bits & 15:
        start = bits >> 4 & 7
        general = [_GENERAL_NAMES[(start + step) % len(_GENERAL_NAMES)] for step in range(bits >> 7 & 3)]
        names = list(dict.fromkeys([*population.author(index).tags.relation, *general]))
        recent = videos.latest_number(population, index, day) % 8
        counts = [1 + (bits >> 10 + 4 * place & 15) + (recent if place == 0 else 0) for place in range(len(names))]
        distribution = [
            {"cnt": count, "name": name, "proportion": round(count / sum(counts), 4)}
            for name, count in zip(names, counts, strict=True)
        ]
    return rendering.body(
        {"base_resp": {"status_code": 0, "status_message": ""}, "video_content_distribution": distribution}
    )


RENDERERS: dict[str, Callable[[Population, int, Platform, int], bytes]] = {
    "base_info": base_info,
    "marketing_info": marketing_info,
    "rec_videos": rec_videos,
    "video_distribution": video_distribution,
}
"""Endpoint name -> the function that renders its `data`."""


def _qrcode(quirk: int) -> str:
    # As large as a real one, with the first bytes of a picture, but no code that a phone can read.
    picture = b"\x89PNG\r\n\x1a\n" + random.Random(quirk).randbytes(660)
    return base64.b64encode(picture).decode()


def _price_info(author: Author, video_type: int, desc: str, amount: int) -> dict[str, Any]:
    info = {
        "activity_info": [],
        "author_id": author.star_id,
        "desc": desc,
        "do_fold": video_type == 91,
        "enable": True,
        "end_time": _OPEN_ENDED,
        "field": "long_video_price" if video_type == 2 else "price",
        "has_discount": False,
        "is_open": True,
        "need_price": True,
        "online_status": 1,
        "origin_price": amount,
        "platform_activity_id": "0",
        "platform_source": 1,
        "price": amount,
        "settlement_desc": "固定价格",
        "settlement_type": 2,
        "start_time": "1630425600",
        "task_category": 1,
        "task_category_status": 1,
        "template_list": [],
        "video_type": video_type,
    }
    return info | {"price_extra_info": {"sku_version": 2}} if author.new_card else info


def _price_per_1000(author: Author, price: int) -> dict[str, Any]:
    """Return the price of 1,000 natural plays, with the bounds of the total."""
    info = _price_info(author, 92, "千次自然播放量", 10 + author.quirk % 20)
    bounds = {"ceiling_price": str(price), "floor_price": str(price // 10)}
    return info | {"price_extra_info": info.get("price_extra_info", {}) | bounds}


def _placeholder(star_id: str, video_type: int, desc: str) -> dict[str, Any]:
    return {
        "activity_info": [],
        "author_id": star_id,
        "desc": desc,
        "enable": False,
        "end_time": _OPEN_ENDED,
        "field": "price",
        "has_discount": False,
        "is_open": True,
        "need_price": True,
        "online_status": 2,
        "origin_price": 100,
        "platform_activity_id": "0",
        "platform_source": 1,
        "price": 100,
        "settlement_desc": "固定价格",
        "settlement_type": 2,
        "start_time": "1626393600",
        "task_category": 103,
        "task_category_status": 1,
        "template_list": [],
        "video_type": video_type,
    }
