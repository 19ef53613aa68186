from __future__ import annotations

import ast
import copy
import json
from datetime import UTC, datetime
from typing import Any

import bson
import pytest

from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items import MODELS, Parsed, Part, Payload, parse, star_id_of
from xingtu_crawler.items.fields import Int, Text, about
from xingtu_crawler.items.readers import reader_of
from xingtu_crawler.items.storable import Notes

STAR_ID = "6629722295873044494"
HOSTILE = {"a\0b": 1, "\ud800": 2, "wide": 2**70, "text": "\udfff", "deep": json.loads("[" * 200 + "]" * 200)}


def changed(payload: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy of `payload` with `value` at `path` (`price_info.3.price`)."""
    result = copy.deepcopy(payload)
    holder: Any = result
    *parents, last = path.split(".")
    for name in parents:
        holder = holder[int(name)] if isinstance(holder, list) else holder[name]
    holder[int(last) if isinstance(holder, list) else last] = value
    return result


def recent(items: list[Any]) -> str:
    return json.dumps(items, ensure_ascii=False)


@pytest.fixture
def base(payloads: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = copy.deepcopy(payloads["base_info"])
    return data


@pytest.fixture
def marketing(payloads: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = copy.deepcopy(payloads["marketing_info"])
    return data


@pytest.fixture
def search(payloads: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = copy.deepcopy(payloads["search"])
    return data


def test_base_info_is_typed(base: dict[str, Any]) -> None:
    parsed = parse("base_info", base, star_id=STAR_ID)

    assert parsed.unparsed == {}
    assert parsed.unknown_fields == []
    data = parsed.data
    assert data["create_time"] == datetime(2018, 11, 30, 18, 28, 29, tzinfo=UTC)
    assert data["tags"] == ["游戏"]
    assert data["tags_ids"] == ["23"]
    assert data["opened_task_category"] == [1, 103]
    assert data["tags_author_style"] == []
    assert data["tags_relation"] == {"游戏": ["游戏集锦"]}
    assert data["star_tags"] == [{"tag_type": 3, "tag_value": 1}]
    assert data["is_star"] is True
    assert data["city"] == ""


def test_json_fields_may_come_decoded(base: dict[str, Any]) -> None:
    base.update(tags=["游戏"], tags_ids=[23], opened_task_category=[1, "103"], tags_level_two=None)

    parsed = parse("base_info", base, star_id=STAR_ID)

    assert parsed.unparsed == {}
    assert parsed.data["tags"] == ["游戏"]
    assert parsed.data["tags_ids"] == ["23"]
    assert parsed.data["opened_task_category"] == [1, 103]
    assert parsed.data["tags_level_two"] is None


def test_search_attributes_are_typed(search: dict[str, Any]) -> None:
    parsed = parse("search", search, star_id=None)

    attributes = parsed.data["attribute_datas"]
    assert attributes["follower"] == 63747138
    assert attributes["fans_increment_within_30d"] == 8352287.33
    assert attributes["ecom_gmv_30d_range"] == ">100w"
    assert attributes["is_black_horse_author"] is False
    assert attributes["e_commerce_enable"] is True
    assert attributes["game_type"] == {"射击": 1.0}
    assert attributes["tags_relation"] == {"影视娱乐": ["明星资讯"]}
    assert attributes["id"] == search["star_id"]
    assert attributes["price_60"] is None
    price = parsed.data["task_infos"][0]["price_infos"][0]
    assert price["end_time"] == datetime(2038, 1, 1, tzinfo=UTC)
    assert parsed.unknown_fields == []
    # The sample cuts this text, so it is no JSON.
    raw = search["attribute_datas"]["last_10_items"]
    assert parsed.unparsed == {"attribute_datas.last_10_items": {"raw": raw, "error": "not JSON, or cut short"}}
    assert attributes["last_10_items"] is None


def test_recent_items_are_typed_and_only_what_came_is_kept(search: dict[str, Any]) -> None:
    item = {"item_id": 7614816000000000001, "vv": "12", "like_cnt": "0", "item_create_time": "1772962802", "new": "x"}
    search["attribute_datas"]["last_10_items"] = recent([item])

    parsed = parse("search", search, star_id=None)

    assert parsed.data["attribute_datas"]["last_10_items"] == [
        {
            "item_id": "7614816000000000001",
            "vv": 12,
            "like_cnt": 0,
            "item_create_time": datetime(2026, 3, 8, 9, 40, 2, tzinfo=UTC),
            "new": "x",
        }
    ]
    assert parsed.unknown_fields == ["attribute_datas.last_10_items[].new"]


def test_the_newer_rate_card_is_known(search: dict[str, Any], marketing: dict[str, Any]) -> None:
    newer = {
        "price_60": "1",
        "prospective_60_cpm": "1.5",
        "sn_prospective_60_cpm": "1.5",
        "sn_prospective_60_cpe": "2.5",
        "promotion_prospective_60_cpm": "3",
    }
    search["attribute_datas"].update(newer)
    search["task_infos"][0]["price_infos"][0]["price_extra_info"] = {"sku_version": "2"}
    marketing["price_info"][0]["price_extra_info"] = {"sku_version": 2}

    found = parse("search", search, star_id=None)
    prices = parse("marketing_info", marketing, star_id=STAR_ID)

    assert found.unknown_fields == prices.unknown_fields == []
    assert {name: found.data["attribute_datas"][name] for name in newer} == {
        "price_60": 1,
        "prospective_60_cpm": 1.5,
        "sn_prospective_60_cpm": 1.5,
        "sn_prospective_60_cpe": 2.5,
        "promotion_prospective_60_cpm": 3.0,
    }
    assert found.data["task_infos"][0]["price_infos"][0]["price_extra_info"] == {"sku_version": "2"}
    assert prices.data["price_info"][0]["price_extra_info"] == {"sku_version": 2}


def test_zeros_of_recommended_videos_are_not_supplied(payloads: dict[str, Any]) -> None:
    payload = changed(payloads["rec_videos"], "masterpiece_videos.0.play", 0)
    payload = changed(payload, "masterpiece_videos.1.like", 5)
    payload["masterpiece_videos"][0]["item_id"] = "0"
    payload["masterpiece_videos"][0]["unknown_zero"] = 0

    first, second = parse("rec_videos", payload, star_id=STAR_ID).data["masterpiece_videos"]

    filled = {name: value for name, value in first.items() if value is not None}
    assert filled == {
        "item_id": "0",
        "play": 0,
        "create_time": datetime(2025, 9, 25, 19, 39, 4, tzinfo=UTC),
        "unknown_zero": 0,
    }
    assert second["like"] == 5
    assert second["comment"] is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("price_info.3.price", "a lot"),
        ("price_info.3.price", True),
        ("price_info.0.end_time", "soon"),
        ("price_info.6", "no object"),
        ("price_info.6.price_extra_info", [1]),
        ("industry_tags.1", 7),
        ("industry_tags", {"a": 1}),
        ("price_info.2.enable", {"deep": [1, {"er": 2}]}),
        ("base_resp", 5),
    ],
)
def test_a_value_that_does_not_fit_is_null_and_kept_raw(marketing: dict[str, Any], path: str, value: object) -> None:
    clean = parse("marketing_info", marketing, star_id=STAR_ID)

    parsed = parse("marketing_info", changed(marketing, path, value), star_id=STAR_ID)

    assert list(parsed.unparsed) == [path]
    assert parsed.unparsed[path]["raw"] == value
    assert type(parsed.unparsed[path]["raw"]) is type(value)
    assert parsed.data == changed(clean.data, path, None)


def test_many_misfits_are_all_kept(marketing: dict[str, Any]) -> None:
    for index, price in enumerate(marketing["price_info"]):
        price["price"] = f"about {index}"
    marketing["price_info"].append("no price")

    parsed = parse("marketing_info", marketing, star_id=STAR_ID)

    raws = {path: misfit["raw"] for path, misfit in parsed.unparsed.items()}
    assert raws == {f"price_info.{index}.price": f"about {index}" for index in range(7)} | {"price_info.7": "no price"}
    assert [price and price["origin_price"] for price in parsed.data["price_info"]] == [
        price["origin_price"] for price in marketing["price_info"][:7]
    ] + [None]


def test_a_misfit_inside_a_json_text_costs_only_itself(search: dict[str, Any]) -> None:
    items = [{"item_id": "1", "vv": "many"}, 5, {"item_id": "2", "vv": "7"}]
    search["attribute_datas"]["last_10_items"] = recent(items)
    search["attribute_datas"]["game_type"] = '{"射击": "NaN", "x": 0.5}'
    search["attribute_datas"]["tags_relation"] = '{"a": ["b", 1], "c": 2}'

    parsed = parse("search", search, star_id=None)

    attributes = parsed.data["attribute_datas"]
    assert attributes["last_10_items"] == [{"item_id": "1", "vv": None}, None, {"item_id": "2", "vv": 7}]
    assert attributes["game_type"] == {"射击": None, "x": 0.5}
    assert attributes["tags_relation"] == {"a": ["b", None], "c": None}
    assert {path: misfit["raw"] for path, misfit in parsed.unparsed.items()} == {
        "attribute_datas.last_10_items.0.vv": "many",
        "attribute_datas.last_10_items.1": 5,
        "attribute_datas.game_type.射击": "NaN",
        "attribute_datas.tags_relation.a.1": 1,
        "attribute_datas.tags_relation.c": 2,
    }


def test_json_text_of_the_wrong_shape_is_kept_as_text(base: dict[str, Any]) -> None:
    base.update(tags="5", tags_ids='{"a": 1}', tags_relation="[1]")

    parsed = parse("base_info", base, star_id=STAR_ID)

    raws = {path: misfit["raw"] for path, misfit in parsed.unparsed.items()}
    assert raws == {"tags": "5", "tags_ids": '{"a": 1}', "tags_relation": "[1]"}
    assert all(parsed.data[name] is None for name in raws)


def test_an_integer_beyond_64_bits_is_kept_as_text(base: dict[str, Any]) -> None:
    base.update(follower=2**70, zzz=2**70, core_user_id=2**70)

    parsed = parse("base_info", base, star_id=STAR_ID)

    assert parsed.unparsed["follower"] == {"raw": str(2**70), "error": "an integer beyond 64 bits"}
    assert parsed.unparsed["zzz"]["raw"] == str(2**70)
    assert parsed.data["zzz"] is None
    assert parsed.data["core_user_id"] == str(2**70)


def test_unknown_fields_are_named_and_kept(marketing: dict[str, Any]) -> None:
    marketing["zzz"] = {"new": [1, {"x": 2}]}
    marketing["price_info"][0]["new_field"] = "a"
    marketing["price_info"][5]["new_field"] = "b"
    marketing["base_resp"]["extra"] = None

    parsed = parse("marketing_info", marketing, star_id=STAR_ID)

    assert parsed.unknown_fields == ["base_resp.extra", "price_info[].new_field", "zzz"]
    assert parsed.data["zzz"] == {"new": [1, {"x": 2}]}
    assert [price.get("new_field") for price in parsed.data["price_info"]] == ["a", None, None, None, None, "b", None]
    assert parsed.unparsed == {}


@pytest.mark.parametrize("path", ["", "price_info.0", "activity_info.0", "price_info.0.price_extra_info", "base_resp"])
def test_what_mongodb_cannot_hold_is_kept_as_text(marketing: dict[str, Any], path: str) -> None:
    marketing["activity_info"] = [{}]
    marketing["price_info"][0]["price_extra_info"] = {}
    holder: Any = marketing
    for name in path.split(".") if path else ():
        holder = holder[int(name)] if isinstance(holder, list) else holder[name]
    holder.update(HOSTILE)
    before = json.dumps(marketing)

    parsed = parse("marketing_info", marketing, star_id=STAR_ID)

    bson.encode({"data": parsed.data, "unparsed": parsed.unparsed, "unknown": parsed.unknown_fields})
    raws = [misfit["raw"] for misfit in parsed.unparsed.values()]
    assert '"\\udfff"' in raws
    assert str(2**70) in raws
    assert '"a\\u0000b"' in raws or "a\0b" in raws
    assert '"\\ud800"' in raws
    assert json.dumps(marketing) == before


@pytest.mark.parametrize(("key", "stored"), [("a\0b", "a\\u0000b"), ("\ud800", "\\ud800")])
@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("{}", ""),
        ("{'base_resp': {}}", "base_resp."),
        ("{'star_tags': [{}]}", "star_tags.0."),
        ("{'zzz': [{}]}", "zzz.0."),
        ("{'industry_list': [{}]}", "industry_list.0."),
        ("{'tags_relation': {}}", "tags_relation."),
    ],
)
def test_a_field_name_that_cannot_be_stored_is_escaped(
    base: dict[str, Any], key: str, stored: str, place: str, path: str
) -> None:
    base.update(ast.literal_eval(place))
    holder: Any = base
    for step in path.split(".")[:-1]:
        holder = holder[int(step)] if isinstance(holder, list) else holder[step]
    holder[key] = None

    parsed = parse("base_info", base, star_id=STAR_ID)

    bson.encode({"data": parsed.data, "unparsed": parsed.unparsed, "unknown": parsed.unknown_fields})
    found: Any = parsed.data
    for step in path.split(".")[:-1]:
        found = found[int(step)] if isinstance(found, list) else found[step]
    assert stored in found
    assert list(parsed.unparsed) == [f"{path}{stored}"]
    assert parsed.unparsed[f"{path}{stored}"]["error"] == "the field name cannot be stored as it is"


def test_a_field_name_in_a_json_text_is_escaped_too(base: dict[str, Any]) -> None:
    base["tags_relation"] = '{"a\\u0000b": ["c"]}'

    parsed = parse("base_info", base, star_id=STAR_ID)

    bson.encode(parsed.data)
    assert parsed.data["tags_relation"] == {"a\\u0000b": ["c"]}


def test_two_paths_that_look_alike_are_both_kept(base: dict[str, Any]) -> None:
    base.update({"a.b": 2**70, "a": {"b": 2**71}})

    parsed = parse("base_info", base, star_id=STAR_ID)

    assert sorted(misfit["raw"] for misfit in parsed.unparsed.values()) == [str(2**70), str(2**71)]


def test_a_payload_too_deep_for_anything_is_an_identity_error(base: dict[str, Any]) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    base["zzz"] = deep

    with pytest.raises(IdentityError, match="nested too deeply"):
        parse("base_info", base, star_id=STAR_ID)
    while deep:  # taken apart, as freeing it recursively is slow
        deep = deep.pop()


def test_the_result_shares_nothing_with_the_payload(base: dict[str, Any]) -> None:
    base.update(zzz={"a": [1]}, industry_list=[{"a": 1}])

    parsed = parse("base_info", base, star_id=STAR_ID)
    parsed.data["zzz"]["a"].append(2)
    parsed.data["industry_list"][0]["a"] = 2
    parsed.data["star_tags"].clear()

    assert base["zzz"] == {"a": [1]}
    assert base["industry_list"] == [{"a": 1}]
    assert len(base["star_tags"]) == 1


@pytest.mark.parametrize(
    ("endpoint", "change", "reason"),
    [
        ("base_info", {"id": 6.6e18}, f"id is 6.6e+18 and not '{STAR_ID}'"),
        ("base_info", {"id": [STAR_ID]}, "id is list and not an id"),
        ("base_info", {"id": "1"}, f"id is '1' and not '{STAR_ID}'"),
        ("search", {"star_id": "abc"}, "star_id is missing or not a number"),
        ("search", {"star_id": None, "attribute_datas": {}}, "star_id is missing or not a number"),
        ("search", {"star_id": 0, "attribute_datas": None}, "star_id is missing or not a number"),
        ("search", {"star_id": 6.6e18}, "star_id is 6.6e+18 and not '6855230644880949262'"),
        ("search", {"star_id": "1"}, "attribute_datas.id is '6855230644880949262' and not '1'"),
        ("search", {"attribute_datas": {"id": True}}, "attribute_datas.id is bool and not an id"),
        ("marketing_info", {"price_info": [{"author_id": "1"}]}, f"price_info.0.author_id is '1' and not '{STAR_ID}'"),
        (
            "marketing_info",
            {"price_info": [{}, {"author_id": 1.5}]},
            f"price_info.1.author_id is 1.5 and not '{STAR_ID}'",
        ),
    ],
)
def test_another_authors_answer_is_refused(
    payloads: dict[str, Any], endpoint: str, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(IdentityError) as refused:
        parse(endpoint, {**payloads[endpoint], **change}, star_id=None if endpoint == "search" else STAR_ID)

    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("endpoint", "change"),
    [
        ("base_info", {"id": None}),
        ("base_info", {"id": ""}),
        ("base_info", {"id": 0}),
        ("marketing_info", {"price_info": [{"price": 1}, {"author_id": None}]}),
    ],
)
def test_an_absent_id_is_accepted_and_noted(payloads: dict[str, Any], endpoint: str, change: dict[str, Any]) -> None:
    assert parse(endpoint, {**payloads[endpoint], **change}, star_id=STAR_ID).is_anonymous
    assert not parse(endpoint, payloads[endpoint], star_id=STAR_ID).is_anonymous


@pytest.mark.parametrize("given", [f" {STAR_ID}\n", float(STAR_ID)])
def test_an_id_that_is_padded_or_has_lost_digits_contradicts_nothing(payloads: dict[str, Any], given: object) -> None:
    parsed = parse("base_info", {**payloads["base_info"], "id": given}, star_id=STAR_ID)
    assert not parsed.is_anonymous


@pytest.mark.parametrize("given", [None, "", "0", 0, 0.0, 6855230644880949262.0, " 6855230644880949262 "])
def test_the_id_of_an_author_is_taken_from_the_attributes_where_star_id_is_none(
    search: dict[str, Any], given: object
) -> None:
    element = {**search, "star_id": given}
    assert star_id_of(element) == "6855230644880949262"
    parsed = parse("search", element, star_id="6855230644880949262")
    assert parsed.is_anonymous == (not isinstance(given, str) or given in {"", "0"})


def test_a_search_author_other_than_the_requested_one_is_refused(search: dict[str, Any]) -> None:
    with pytest.raises(IdentityError):
        parse("search", search, star_id=STAR_ID)


def test_ids_that_are_numbers_are_the_same_ids(
    base: dict[str, Any], marketing: dict[str, Any], search: dict[str, Any]
) -> None:
    base["id"] = int(base["id"])
    marketing["price_info"][0]["author_id"] = int(STAR_ID)
    marketing["price_info"][1]["author_id"] = None
    search["star_id"] = int(search["star_id"])

    assert parse("base_info", base, star_id=STAR_ID).data["id"] == STAR_ID
    assert parse("marketing_info", marketing, star_id=STAR_ID).data["price_info"][0]["author_id"] == STAR_ID
    assert parse("search", search, star_id=None).data["star_id"] == "6855230644880949262"


@pytest.mark.parametrize("endpoint", ["base_info", "marketing_info", "rec_videos", "video_distribution", "search"])
@pytest.mark.parametrize("payload", [None, [], "x", 5, True, {}, {"zzz": 1}])
def test_what_is_no_answer_of_the_endpoint_is_refused(endpoint: str, payload: object) -> None:
    with pytest.raises(IdentityError) as refused:
        parse(endpoint, payload, star_id=STAR_ID)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("endpoint", ["base_info", "marketing_info", "rec_videos", "video_distribution"])
def test_the_status_layer_alone_is_an_empty_answer(endpoint: str) -> None:
    parsed = parse(endpoint, {"base_resp": {"status_code": 0}}, star_id=STAR_ID)

    assert parsed.unparsed == {}
    assert {name for name, value in parsed.data.items() if value is not None} == {"base_resp"}


def test_an_empty_text_or_list_in_place_of_an_object_is_empty(
    search: dict[str, Any], marketing: dict[str, Any], base: dict[str, Any]
) -> None:
    search["extra_data"] = ""
    search["task_infos"][0]["price_infos"][0]["price_extra_info"] = []
    search["attribute_datas"]["tags_relation"] = "[]"
    marketing["price_info"][0]["price_extra_info"] = ""
    marketing["price_info"][1] |= {"activity_info": "", "template_list": {}}
    base["tags_relation"] = []

    parsed = [
        parse("search", search, star_id=None),
        parse("marketing_info", marketing, star_id=STAR_ID),
        parse("base_info", base, star_id=STAR_ID),
    ]

    assert [list(each.unparsed) for each in parsed] == [["attribute_datas.last_10_items"], [], []]


def test_an_answer_with_one_list_is_an_answer() -> None:
    parsed = parse("video_distribution", {"video_content_distribution": []}, star_id=STAR_ID)

    assert parsed == Parsed({"base_resp": None, "video_content_distribution": []}, {}, [])


def test_a_sixth_endpoint_needs_only_a_class() -> None:
    class Inner(Part):
        n: Int = about("A number.")

    class Sixth(Payload, endpoint="sixth"):
        name: Text = about("A name.")
        by_name: dict[str, Inner | None] | None = about("Numbers.")

    try:
        parsed = parse("sixth", {"name": "x", "by_name": {"a": {"n": "1", "m": 2}, "b": {"n": "x"}}}, star_id=None)
    finally:
        del MODELS["sixth"]

    assert parsed.data == {"name": "x", "by_name": {"a": {"n": 1, "m": 2}, "b": {"n": None}}}
    assert parsed.unparsed == {"by_name.b.n": {"raw": "x", "error": "not an integer"}}
    assert parsed.unknown_fields == ["by_name.a.m"]


def test_key_that_mongodb_cannot_hold_costs_a_map_only_its_name(search: dict[str, Any]) -> None:
    search["attribute_datas"]["game_type"] = {"a\0b": "1", "\ud800": "2", "x": "3"}

    parsed = parse("search", search, star_id=None)

    assert parsed.data["attribute_datas"]["game_type"] == {"a\\u0000b": 1.0, "\\ud800": 2.0, "x": 3.0}
    assert parsed.unparsed["attribute_datas.game_type.a\\u0000b"]["raw"] == "a\0b"
    assert parsed.unparsed["attribute_datas.game_type.\\ud800"]["raw"] == '"\\ud800"'


@pytest.mark.parametrize("endpoint", sorted(MODELS))
def test_every_field_of_every_model_has_a_reader(endpoint: str) -> None:
    assert reader_of(MODELS[endpoint])(None, "", "", Notes()) is None


def test_field_without_a_reader_is_a_defect_of_its_model() -> None:
    class Strict(Part):
        number: int

    with pytest.raises(TypeError, match="no reader fits the type <class 'int'>"):
        reader_of(Strict)
