"""The model of "Author Base Info (V1)": an author's profile, whose `id` is the requested author."""

from __future__ import annotations

from typing import Any

from xingtu_crawler.items.fields import (
    AnyList,
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

    tag_type: Int = about("Code of the kind of tag; codes not documented by the provider.")
    tag_value: Int = about("Code of the tag; codes not documented by the provider.")


class BaseInfo(Payload, endpoint="base_info"):
    """An author's profile."""

    abandon_sign_result: Int = about("Code; meaning not documented by the provider.")
    appeal_id: Id = about('Id of an appeal (guess); "0" if there is none.')
    author_avatar_frame_icon: Int = about("Code of the frame around the avatar; codes not documented by the provider.")
    author_type: Int = about("Code of the kind of author; codes not documented by the provider.")
    avatar_uri: Text = about("URL of the avatar. Re-signed at every call, expires. Personal data.")
    avg_play: Float = about("Average plays per video (guess); 0 in every answer seen. Period not documented.")
    aweme_tags: AnyList = about("Tags of the videos (guess); empty in every answer seen, stored as it came.")
    base64_qrcode: Text = about("PNG of a QR code that leads to the author's page, base64 (about 2 KB). Personal data.")
    base_resp: BaseResp | None = about("Inner status of the answer.")
    category_id: Id = about("Id of a category; categories not documented by the provider.")
    city: Text = about("City, in Chinese; empty if not given.")
    content_theme_labels: TextList = about("Themes of the author's content, in Chinese.")
    core_user_id: Id = about("Id of the author's Douyin account (guess; differs from `id`).")
    create_time: Time = about("When the author joined Xingtu (guess). Unix seconds -> UTC datetime.")
    creator_type: Int = about("Code of the kind of creator; codes not documented by the provider.")
    e_commerce_enable: Bool = about("Whether the author can sell goods (e-commerce enabled).")
    follower: Int = about("Followers on Douyin, a raw count.")
    gender: Int = about("1 male, 2 female, 0 unknown.")
    grade: Int = about("Code of a grade; meaning not documented by the provider.")
    has_phone: Bool = about("Whether a telephone number is on file. Personal data.")
    id: Id = about("Xingtu id of the author, equal to `star_id`.")
    industry_list: AnyList = about("Industries (guess); empty in every answer seen, stored as it came.")
    is_cpm_project_author: Bool = about("Whether the author takes part in a CPM project; not documented further.")
    is_game_author: Bool = about("Whether the author counts as a games author.")
    is_online: Bool = about("Whether the author takes orders at present (guess).")
    is_plan_author: Bool = about("Whether the author belongs to a plan; not documented further.")
    is_star: Bool = about("Whether the author is a Xingtu (star) author (guess).")
    is_visible: Bool = about("Whether the author is shown on the marketplace (guess).")
    lowest_price: Int = about("Lowest price in yuan, as the API says; it is not the minimum of `price_info`.")
    mcn_introduction: Text = about("Introduction of the author's agency (MCN); empty if there is none.")
    mcn_logo: Text = about("URL of the agency's logo; empty if there is none.")
    mcn_name: Text = about("Name of the author's agency (MCN); empty if there is none.")
    modify_time: Time = about("When the profile was last changed (guess). Unix seconds -> UTC datetime.")
    nick_name: Text = about("Display name. Personal data.")
    online_status: Int = about("Code; 1 in every answer seen. Codes not documented by the provider.")
    opened_task_category: IntList = about("Codes of the kinds of task the author offers; 103 is a placeholder.")
    platform: IntList = about("Codes of the platforms the author is on; not those of the `platform` argument.")
    platform_channel: IntList = about("Codes of channels; codes not documented by the provider.")
    platform_source: Int = about("Code of the platform the record comes from; codes not documented by the provider.")
    protocol_id: Id = about("Id of the agreement the author signed (guess).")
    province: Text = about("Province, in Chinese; empty if not given.")
    qrcode_url: Text = about("URL of a QR code; empty in every answer seen. Personal data.")
    sec_uid: Id = about("Douyin's opaque id of the account, part of its public page's URL.")
    short_id: Id = about("Douyin's short numeric id of the account.")
    star_tags: list[StarTag | None] | None = about("Tags given by Xingtu.")
    status: Int = about("Code of the author's state; 1 in every answer seen. Codes not documented by the provider.")
    tags: TextList = about("First-level content tags, in Chinese. Comes as JSON text.")
    tags_author_style: TextList = about("Tags of the author's style, in Chinese. Comes as JSON text.")
    tags_ids: IdList = about("Ids of `tags`. Comes as JSON text.")
    tags_ids_level_two: IdList = about("Ids of the second-level content tags. Comes as JSON text.")
    tags_level_two: TextList = about("Second-level content tags, in Chinese. Comes as JSON text; often empty.")
    tags_relation: TextListMap = about("First-level content tag -> its second-level tags, in Chinese.")
    task_status: Int = about("Code; meaning not documented by the provider.")
    unique_id: Id = about("Douyin handle; equals `short_id` where the author chose none.")

    @classmethod
    def identify(cls, payload: dict[str, Any], star_id: str | None) -> None:
        """Raise `IdentityError` if `id` is another author's."""
        super().identify(payload, star_id)
        require_same_id("id", payload.get("id"), star_id)

    @classmethod
    def is_anonymous(cls, payload: dict[str, Any]) -> bool:
        """Return whether `id` is absent."""
        return is_absent(payload.get("id"))
