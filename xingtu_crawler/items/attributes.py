"""The model of `attribute_datas`, the figures of an author in the search.

The API sends every value as text; the field's type is what the text holds (number, flag, range, JSON).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from xingtu_crawler.items.fields import (
    AnyJson,
    Bool,
    Decoded,
    Float,
    FloatMap,
    Id,
    Int,
    Text,
    TextList,
    TextListMap,
    Time,
    about,
)
from xingtu_crawler.items.payload import Part


class RecentItem(Part):
    """One of the author's last videos. The provider documents four fields; the others are optional."""

    sparse: ClassVar[bool] = True

    comment_cnt: Int = about("Comments, a raw count.")
    is_high_quality_item: Bool = about("Whether the marketplace rates the video as high quality (guess).")
    item_create_time: Time = about("When the video was published. Unix seconds -> UTC datetime.")
    item_id: Id = about("Douyin id of the video.")
    comment: Int = about("Comments, a raw count (another name of `comment_cnt`).")
    cover: Text = about("URL of the cover.")
    create_time: Time = about("When the video was published (another name of `item_create_time`).")
    duration: Float = about("Length (guess); unit not documented (seconds is a guess).")
    item_cover: Text = about("URL of the cover.")
    item_title: Text = about("Title.")
    item_url: Text = about("URL of the video.")
    like: Int = about("Likes, a raw count (another name of `like_cnt`).")
    like_cnt: Int = about("Likes, a raw count.")
    play: Int = about("Plays, a raw count (another name of `vv`).")
    play_cnt: Int = about("Plays, a raw count (another name of `vv`).")
    share: Int = about("Shares, a raw count (another name of `share_cnt`).")
    share_cnt: Int = about("Shares, a raw count.")
    title: Text = about("Title (another name of `item_title`).")
    url: Text = about("URL of the video.")
    video_tag: Int = about("Code of the video; codes not documented by the provider.")
    vv: Int = about("Plays (video views), a raw count.")


RecentItems = Annotated[list[RecentItem | None] | None, Decoded]


class AuthorAttributes(Part):
    """An author's figures. Which of them are present depends on the author and on the rate card (2026)."""

    assign_task_price_list: AnyJson = about(
        "Prices of assigned tasks (guess); comes as JSON text, shape not documented, stored decoded."
    )
    author_avatar_frame_icon: Int = about("Code of the frame around the avatar; codes not documented by the provider.")
    author_ecom_level: Text = about('E-commerce level of the author, such as "L4"; scale not documented.')
    author_level_game: Text = about('Level among games authors, such as "Lv1"; scale not documented.')
    author_level_other: Text = about('Level among other authors, such as "Lv1"; scale not documented.')
    author_status: Int = about("Code of the author's state; codes not documented by the provider.")
    author_thin_mid_word_association_index: FloatMap = about(
        "Word, in Chinese -> index of its association with the author; scale not documented. Comes as JSON text."
    )
    author_type: Int = about("Code of the kind of author; codes not documented by the provider.")
    avatar_uri: Text = about("URL of the avatar. Re-signed at every call, expires. Personal data.")
    brand_boost_vv: Int = about("Plays added by brand boost (guess), a count.")
    city: Text = about("City, in Chinese; empty if not given.")
    content_theme_labels_180d: TextList = about("Themes of the last 180 days' content, in Chinese. Comes as JSON text.")
    core_user_id: Id = about("Id of the author's Douyin account (guess; differs from `id`).")
    e_commerce_enable: Bool = about("Whether the author can sell goods (e-commerce enabled).")
    ecom_avg_order_value_30d_range: Text = about('Average order value of 30 days, yuan, a range such as "50-200".')
    ecom_gmv_30d_range: Text = about('Gross merchandise value of 30 days, yuan, a range; w is 10,000 (">100w").')
    ecom_gpm_30d_range: Text = about('Sales per 1,000 views of 30 days, yuan, a range such as "1000-3000".')
    ecom_score: Float = about("E-commerce score; scale not documented (0-100 is a guess).")
    ecom_video_product_num_30d: Int = about("Products in videos of 30 days (guess), a count.")
    ecom_watch_pv_30d: Float = about("Views of e-commerce content of 30 days (guess); unit not documented.")
    expected_cpa3_level: Int = about("Level of expected cost per action (CPA3); scale not documented.")
    expected_natural_play_num: Int = about("Expected plays without promotion, a count.")
    expected_play_num: Int = about("Expected plays of the next video, a count; price / it x 1000 is the CPM.")
    fans_increment_rate_within_15d: Float = about("Growth of followers in 15 days, a ratio (may be negative).")
    fans_increment_within_15d: Int = about("New followers in 15 days, a count (may be negative).")
    fans_increment_within_30d: Float = about(
        "New followers in 30 days, a number; often implausible, never derive from it."
    )
    follower: Int = about("Followers on Douyin, a raw count.")
    game_type: FloatMap = about("Kind of game, in Chinese -> its share of the author's games. Comes as JSON text.")
    gender: Int = about("1 male, 2 female, 0 unknown.")
    grade: Int = about("Code of a grade; meaning not documented by the provider.")
    id: Id = about("Xingtu id of the author, equal to `star_id`.")
    interact_rate_within_30d: Float = about("Interactions per play in 30 days, a ratio 0-1.")
    is_black_horse_author: Bool = about("Whether the author is a rising one (black horse) (guess).")
    is_cocreate_author: Bool = about("Whether the author takes part in co-created videos (guess).")
    is_cpm_project_author: Bool = about("Whether the author takes part in a CPM project; not documented further.")
    is_excellenct_author: Bool = about("Whether the author is an excellent one (guess; the API's spelling).")
    is_short_drama: Bool = about("Whether the author makes short dramas (guess).")
    last_10_items: RecentItems = about("Up to ten last videos, each with the fields that came. Comes as JSON text.")
    link_convert_index: Float = about("Index of conversion (guess); scale not documented (0-100 is a guess).")
    link_convert_index_by_industry: Float = about("As `link_convert_index`, within the industry.")
    link_i_cnt_by_industry: Int = about("Connected users of stage I, by industry, a count (guess); not documented.")
    link_k_cnt_by_industry: Int = about("Connected users of stage K, by industry, a count (guess); not documented.")
    link_l_cnt_by_industry: Int = about("Connected users of stage L, by industry, a count (guess); not documented.")
    link_link_cnt_by_industry: Int = about("Connected users of all stages, within the industry, a count (guess).")
    link_n_cnt_by_industry: Int = about("Connected users of stage N, by industry, a count (guess); not documented.")
    link_recommend_index_by_industry: Float = about("Index of recommendation, by industry (guess); not documented.")
    link_shopping_index: Float = about("Index of shopping (guess); scale not documented.")
    link_spread_index: Float = about("Index of spread (guess); scale not documented (0-100 is a guess).")
    link_spread_index_by_industry: Float = about("As `link_spread_index`, within the industry.")
    link_star_index: Float = about("Index of the author overall (guess); scale not documented (0-100 is a guess).")
    link_star_index_by_industry: Float = about("As `link_star_index`, within the industry.")
    link_user_type_by_industry: Int = about("Code of the kind of connected users; codes not documented.")
    local_lower_threshold_author: Bool = about("Meaning not documented by the provider.")
    nick_name: Text = about("Display name. Personal data.")
    pic_brand_boost: Bool = about("Whether brand boost applies to pictures (guess).")
    pic_brand_boost_vv: Int = about("Plays added to pictures by brand boost (guess), a count.")
    pic_expected_play_num: Int = about("Expected views of a picture-and-text post, a count.")
    play_over_rate_within_30d: Float = about("Share of plays to the end in 30 days, a ratio 0-1.")
    price_1_20: Int = about("Price of a 1-20 s video, yuan. Absent in newer answers.")
    price_20_60: Int = about("Price of a 21-60 s video, yuan.")
    price_60: Int = about("Price of a video over 60 s, yuan (guess). In newer answers only.")
    promotion_prospective_1_20_cpm: Float = about("Expected CPM of a promoted 1-20 s video, yuan per 1,000 plays.")
    promotion_prospective_20_60_cpm: Float = about("Expected CPM of a promoted 21-60 s video, yuan per 1,000 plays.")
    promotion_prospective_60_cpm: Float = about("Expected CPM of a promoted video over 60 s, yuan per 1,000 plays.")
    promotion_prospective_vv: Int = about("Expected plays with promotion, a count.")
    prospective_1_20_cpm: Float = about("Expected CPM of a 1-20 s video, yuan per 1,000 plays.")
    prospective_20_60_cpm: Float = about("Expected CPM of a 21-60 s video, yuan per 1,000 plays.")
    prospective_60_cpm: Float = about("Expected CPM of a video over 60 s, yuan per 1,000 plays.")
    province: Text = about("Province, in Chinese; empty if not given.")
    search_after_view_index_by_industry: Float = about("Index of searches after viewing, within the industry.")
    sn_expected_play_num: Int = about("As `expected_play_num`; what `sn_` stands for is not documented.")
    sn_interact_rate_within_30d: Float = about("As `interact_rate_within_30d`; `sn_` is not documented.")
    sn_play_over_rate_within_30d: Float = about("As `play_over_rate_within_30d`; `sn_` is not documented.")
    sn_prospective_1_20_cpe: Float = about("Expected cost per engagement of a 1-20 s video, yuan; `sn_` as above.")
    sn_prospective_1_20_cpm: Float = about("As `prospective_1_20_cpm`; `sn_` is not documented.")
    sn_prospective_20_60_cpe: Float = about("Expected cost per engagement of a 21-60 s video, yuan; `sn_` as above.")
    sn_prospective_20_60_cpm: Float = about("As `prospective_20_60_cpm`; `sn_` is not documented.")
    sn_prospective_60_cpe: Float = about("Expected cost per engagement of a video over 60 s, yuan; `sn_` as above.")
    sn_prospective_60_cpm: Float = about("As `prospective_60_cpm`; `sn_` is not documented.")
    star_excellent_author: Bool = about("Whether Xingtu counts the author as excellent (guess).")
    star_index: Float = about("Xingtu index; scale not documented (0-100 is a guess).")
    star_qianchuan_high_potential: Bool = about("Whether the author has high potential for Qianchuan ads (guess).")
    star_whispers_author: Bool = about("Meaning not documented by the provider.")
    tags_relation: TextListMap = about(
        "First-level content tag -> its second-level tags, in Chinese. Comes as JSON text."
    )
    video_brand_boost: Bool = about("Whether brand boost applies to videos (guess).")
    video_brand_boost_vv: Int = about("Plays added to videos by brand boost (guess), a count.")
