"""The model of "Author Base Info (V1)": an author's profile, whose `id` is the requested author."""

from __future__ import annotations

from typing import Any, ClassVar

from xingtu_crawler.items.fields import (
    AnyList,
    AnyObject,
    Bool,
    Float,
    Id,
    IdList,
    Int,
    IntList,
    Text,
    TextList,
    TextListMap,
    Time,
    about,
)
from xingtu_crawler.items.payload import BaseResp, Part, Payload, is_absent, require_same_id


class StarTag(Part):
    """One element of `star_tags`."""

    sparse: ClassVar[bool] = True

    tag_type: Int = about("Code of the kind of tag; codes not documented by the provider.", "by_name", "none")
    tag_desc: Text = about("Name of the tag; null in every answer seen.", "by_name", "quasi")
    tag_value: Int = about("Code of the tag; codes not documented by the provider.", "by_name", "none")


class BaseInfo(Payload, endpoint="base_info"):
    """An author's profile."""

    abandon_sign_result: Int = about("Code; meaning not documented by the provider.", "guess", "none")
    appeal_id: Id = about('Id of an appeal (guess); "0" if there is none.', "guess", "id")
    author_avatar_frame_icon: Int = about(
        "Code of the frame around the avatar; codes not documented by the provider.", "by_name", "none"
    )
    author_type: Int = about(
        "Code of the kind of author; the sources that explain it contradict each other.", "guess", "none"
    )
    avatar_uri: Text = about("URL of the avatar. Re-signed at every call, expires. Personal data.", "by_name", "direct")
    avg_play: Float = about(
        "Average plays per video (guess); 0 in every answer seen. Period not documented.", "guess", "quasi"
    )
    aweme_tags: AnyList = about(
        "Tags of the videos (guess); empty in every answer seen, stored as it came.", "guess", "free_text"
    )
    base64_qrcode: Text = about(
        "PNG of a QR code that leads to the author's page, base64 (about 2 KB). Personal data.", "by_name", "direct"
    )
    base_resp: BaseResp | None = about("Inner status of the answer.", "documented", "none")
    category_id: Id = about("Id of a category; categories not documented by the provider.", "by_name", "none")
    city: Text = about("City or district, in Chinese, with or without 市; empty if not given.", "documented", "quasi")
    content_theme_labels: TextList = about("Themes of the author's content, in Chinese.", "by_name", "quasi")
    core_user_id: Id = about("Id of the author's Douyin account (guess; differs from `id`).", "guess", "direct")
    create_time: Time = about("When the author joined Xingtu (guess). Unix seconds -> UTC datetime.", "guess", "quasi")
    creator_type: Int = about("Code of the kind of creator; codes not documented by the provider.", "by_name", "none")
    e_commerce_enable: Bool = about("Whether the author can sell goods (e-commerce enabled).", "by_name", "none")
    follower: Int = about("Followers on Douyin, a raw count.", "documented", "quasi")
    gender: Int = about("1 male, 2 female, 0 unknown.", "documented", "quasi")
    grade: Int = about("Code of a grade; meaning not documented by the provider.", "guess", "none")
    has_phone: Bool = about("Whether a telephone number is on file. Personal data.", "by_name", "direct")
    id: Id = about("Xingtu id of the author, equal to `star_id`.", "documented", "id")
    industry_list: AnyList = about(
        "Industries (guess); empty in every answer seen, stored as it came.", "guess", "free_text"
    )
    is_cpm_project_author: Bool = about(
        "Whether the author takes part in a CPM project; not documented further.", "by_name", "none"
    )
    is_game_author: Bool = about("Whether the author counts as a games author.", "by_name", "none")
    is_online: Bool = about("Whether the author takes orders at present (guess).", "guess", "none")
    is_plan_author: Bool = about("Whether the author belongs to a plan; not documented further.", "by_name", "none")
    is_star: Bool = about("Whether the author is a Xingtu (star) author (guess).", "guess", "none")
    is_visible: Bool = about("Whether the author is shown on the marketplace (guess).", "guess", "none")
    live_labels_v2: AnyObject = about(
        "Labels of live streams (guess); empty in every answer seen, stored as it came.", "guess", "quasi"
    )
    live_order_labels: AnyObject = about(
        "Labels of live-stream orders (guess); empty in every answer seen, stored as it came.", "guess", "quasi"
    )
    lowest_price: Int = about(
        "Lowest price in yuan, as the API says; it is not the minimum of `price_info`.", "documented", "quasi"
    )
    mcn_id: Id = about('Id of the author\'s agency (MCN); "0" if there is none.', "by_name", "quasi")
    mcn_introduction: Text = about(
        "Introduction of the author's agency (MCN); empty if there is none.", "by_name", "free_text"
    )
    mcn_logo: Text = about("URL of the agency's logo; empty if there is none.", "by_name", "direct")
    mcn_name: Text = about("Name of the author's agency (MCN); empty if there is none.", "by_name", "quasi")
    modify_time: Time = about(
        "When the profile was last changed (guess). Unix seconds -> UTC datetime.", "guess", "quasi"
    )
    nick_name: Text = about("Display name. Personal data.", "documented", "direct")
    online_status: Int = about("Code; 1 in every answer seen. Codes not documented by the provider.", "by_name", "none")
    opened_task_category: IntList = about(
        "Codes of the kinds of task the author offers: 1 short video, 103 pushing to the ad platform "
        "(placeholders), 6 live, 52 picture and text (likely).",
        "documented",
        "none",
    )
    platform: IntList = about(
        "Codes of the platforms the author is on; not those of the `platform` argument.", "by_name", "none"
    )
    platform_channel: IntList = about("Codes of channels: 1 short video, 10 live.", "documented", "none")
    platform_source: Int = about(
        "Code of the platform the record comes from: 1 Douyin, 2 Toutiao, 3 Xigua.", "documented", "none"
    )
    protocol_id: Id = about("Id of the agreement the author signed (guess).", "guess", "none")
    province: Text = about("Province, in Chinese; empty if not given.", "documented", "quasi")
    qrcode_url: Text = about("URL of a QR code; empty in every answer seen. Personal data.", "by_name", "direct")
    sec_uid: Id = about("Douyin's opaque id of the account, part of its public page's URL.", "by_name", "direct")
    short_id: Id = about("Douyin's short numeric id of the account.", "by_name", "direct")
    star_tags: list[StarTag | None] | None = about("Tags given by Xingtu.", "by_name", "quasi")
    status: Int = about(
        "Code of the author's state; 1 in every answer seen. Codes not documented by the provider.", "by_name", "none"
    )
    tags: TextList = about("First-level content tags, in Chinese. Comes as JSON text.", "by_name", "quasi")
    tags_author_style: TextList = about(
        "Tags of the author's style, in Chinese. Comes as JSON text.", "by_name", "quasi"
    )
    tags_ids: IdList = about("Ids of `tags`. Comes as JSON text.", "by_name", "quasi")
    tags_ids_level_two: IdList = about("Ids of the second-level content tags. Comes as JSON text.", "by_name", "quasi")
    tags_level_two: TextList = about(
        "Second-level content tags, in Chinese. Comes as JSON text; often empty.", "by_name", "quasi"
    )
    tags_relation: TextListMap = about(
        "First-level content tag -> its second-level tags, in Chinese.", "by_name", "quasi"
    )
    task_status: Int = about("Code; meaning not documented by the provider.", "guess", "none")
    unique_id: Id = about("Douyin handle; equals `short_id` where the author chose none.", "by_name", "direct")

    @classmethod
    def identify(cls, payload: dict[str, Any], star_id: str | None) -> None:
        """Raise `IdentityError` if `id` is another author's."""
        super().identify(payload, star_id)
        require_same_id("id", payload.get("id"), star_id)

    @classmethod
    def is_anonymous(cls, payload: dict[str, Any]) -> bool:
        """Return whether `id` is absent."""
        return is_absent(payload.get("id"))
