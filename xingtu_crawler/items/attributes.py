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

    comment_cnt: Int = about("Comments, a raw count.", "by_name", "quasi")
    is_high_quality_item: Bool = about(
        "Whether the marketplace rates the video as high quality (guess).", "guess", "none"
    )
    item_create_time: Time = about(
        "When the video was uploaded, within a minute of the time in its id. Unix seconds -> UTC datetime.",
        "documented",
        "quasi",
    )
    item_publish_time: Time = about(
        "When the video was published: at the upload, or hours to days later. Unix seconds -> UTC datetime.",
        "documented",
        "quasi",
    )
    item_id: Id = about("Douyin id of the video.", "documented", "id")
    comment: Int = about("Comments, a raw count (another name of `comment_cnt`).", "by_name", "quasi")
    cover: Text = about("URL of the cover.", "by_name", "direct")
    create_time: Time = about("When the video was uploaded (another name of `item_create_time`).", "by_name", "quasi")
    duration: Float = about("Length, seconds.", "documented", "quasi")
    item_cover: Text = about("URL of the cover.", "by_name", "direct")
    item_title: Text = about("Title.", "by_name", "free_text")
    item_url: Text = about("URL of the video.", "by_name", "direct")
    like: Int = about("Likes, a raw count (another name of `like_cnt`).", "by_name", "quasi")
    like_cnt: Int = about("Likes, a raw count.", "by_name", "quasi")
    play: Int = about("Plays, a raw count (another name of `vv`).", "by_name", "quasi")
    play_cnt: Int = about("Plays, a raw count (another name of `vv`).", "by_name", "quasi")
    share: Int = about("Shares, a raw count (another name of `share_cnt`).", "by_name", "quasi")
    share_cnt: Int = about("Shares, a raw count.", "by_name", "quasi")
    title: Text = about("Title (another name of `item_title`).", "by_name", "free_text")
    url: Text = about("URL of the video.", "by_name", "direct")
    video_tag: Int = about("Code of the video; codes not documented by the provider.", "by_name", "quasi")
    vv: Int = about(
        "Plays (video views), a raw count. `items` and the recommended videos count the same video otherwise.",
        "documented",
        "quasi",
    )


RecentItems = Annotated[list[RecentItem | None] | None, Decoded]


class AuthorAttributes(Part):
    """An author's figures. Which of them are present depends on the author and on the rate card (2026)."""

    seldom: ClassVar[frozenset[str]] = frozenset(
        {
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
        }
    )

    assign_cpm_suggest_price: Float = about("Suggested price per 1,000 natural plays, yuan.", "documented", "quasi")
    assign_task_price_list: AnyJson = about(
        "Prices of assigned tasks (guess); comes as JSON text, shape not documented, stored decoded.", "guess", "none"
    )
    author_avatar_frame_icon: Int = about(
        "Code of the frame around the avatar; codes not documented by the provider.", "by_name", "none"
    )
    author_ecom_level: Text = about('E-commerce level of the author, "L0" to "L6".', "documented", "quasi")
    author_level_game: Text = about(
        'Level among games authors, such as "Lv1"; scale not documented.', "by_name", "quasi"
    )
    author_level_other: Text = about(
        'Level among other authors, such as "Lv1"; scale not documented.', "by_name", "quasi"
    )
    author_status: Int = about("Code of the author's state; codes not documented by the provider.", "by_name", "none")
    author_thin_mid_word_association_index: FloatMap = about(
        "Word, in Chinese -> index of its association with the author; scale not documented. Comes as JSON text.",
        "by_name",
        "quasi",
    )
    author_type: Int = about(
        "Code of the kind of author; the sources that explain it contradict each other.", "guess", "none"
    )
    avatar_uri: Text = about("URL of the avatar. Re-signed at every call, expires. Personal data.", "by_name", "direct")
    avg_sale_amount_range: Text = about(
        'Average sales of 30 days (guess), yuan, a range such as "1000-5000".', "guess", "quasi"
    )
    avg_search_after_view_rate_30d: Float = about(
        "Searches after viewing per view in 30 days, a ratio 0-1.", "by_name", "quasi"
    )
    brand_boost_vv: Int = about("Quota of plays of brand boost, 0 or 1,000,000; no measurement.", "documented", "quasi")
    burst_text_rate: Float = about("Share of viral videos, a ratio 0-1.", "documented", "quasi")
    city: Text = about(
        "City or district, in Chinese, with or without 市 (杭州, 杭州市, 朝阳区); empty if not given.",
        "documented",
        "quasi",
    )
    content_theme_labels_180d: TextList = about(
        "Themes of the last 180 days' content, in Chinese. Comes as JSON text.", "by_name", "quasi"
    )
    core_user_id: Id = about("Id of the author's Douyin account (guess; differs from `id`).", "guess", "direct")
    e_commerce_enable: Bool = about("Whether the author can sell goods (e-commerce enabled).", "by_name", "none")
    ecom_avg_order_value_30d_range: Text = about(
        'Average order value of 30 days, yuan, a range such as "50-200".', "by_name", "quasi"
    )
    ecom_gmv_30d_range: Text = about(
        'Gross merchandise value of 30 days, yuan: "<=1k", "1k-3w", "3w-20w", "20w-100w", ">100w"; k is '
        "1,000, w is 10,000.",
        "documented",
        "quasi",
    )
    ecom_gpm_30days_range: Text = about(
        'Sales per 1,000 views of 30 days (guess), a range such as "5以下"; differs from `ecom_gpm_30d_range`.',
        "guess",
        "quasi",
    )
    ecom_gpm_30d_range: Text = about(
        'Sales per 1,000 views of 30 days, yuan: "<=80", "80-400", "400-1000", "1000-3000", ">3000".',
        "documented",
        "quasi",
    )
    ecom_score: Float = about("E-commerce score; scale not documented (0-100 is a guess).", "guess", "quasi")
    ecom_video_ctr_30d_range: Text = about(
        'Click rate of videos with products in 30 days, a range such as "2%-4%".', "by_name", "quasi"
    )
    ecom_video_mid_click_pv_30d_range: Text = about(
        'Median clicks of videos with products in 30 days, a range such as "5000-1万"; 万 is 10,000.',
        "by_name",
        "quasi",
    )
    ecom_video_product_num_30d: Int = about("Products in videos of 30 days (guess), a count.", "guess", "quasi")
    ecom_watch_pv_30d: Float = about(
        "Watches per viewer of e-commerce content of 30 days, a number (1.1 to 1.7 in answers seen).",
        "documented",
        "quasi",
    )
    expected_cpa3_level: Int = about(
        "Level of expected cost per action (CPA3); scale not documented.", "by_name", "quasi"
    )
    expected_natural_play_num: Int = about("Expected plays without promotion, a count.", "by_name", "quasi")
    expected_play_num: Int = about(
        "Expected plays of the next video, a count. In the search only. price / it x 1000 is the CPM, exactly.",
        "documented",
        "quasi",
    )
    fans_increment_rate_within_15d: Float = about(
        "Growth of followers in 15 days, a ratio (may be negative).", "by_name", "quasi"
    )
    fans_increment_within_15d: Int = about("New followers in 15 days, a count (may be negative).", "by_name", "quasi")
    fans_increment_within_30d: Float = about(
        "New followers in 30 days, a number; often implausible, never derive from it.", "documented", "quasi"
    )
    follower: Int = about("Followers on Douyin, a raw count.", "documented", "quasi")
    game_item_count_90d: Int = about("Videos about games of 90 days, a count.", "by_name", "quasi")
    game_type: FloatMap = about(
        "Kind of game, in Chinese -> its share of the author's games. Comes as JSON text.", "by_name", "quasi"
    )
    gender: Int = about("1 male, 2 female, 0 unknown.", "documented", "quasi")
    grade: Int = about("Code of a grade; meaning not documented by the provider.", "guess", "none")
    id: Id = about("Xingtu id of the author, equal to `star_id`.", "documented", "id")
    interact_rate_within_30d: Float = about("Interactions per play in 30 days, a ratio 0-1.", "by_name", "quasi")
    interaction_median_30d: Float = about("Median interactions of the videos of 30 days.", "by_name", "quasi")
    is_ad_star_cur_high_quality_author: Bool = about(
        "Whether the ad platform rates the author as high quality at present (guess).", "guess", "none"
    )
    is_black_horse_author: Bool = about("Whether the author is a rising one (black horse) (guess).", "guess", "none")
    is_cocreate_author: Bool = about("Whether the author takes part in co-created videos (guess).", "guess", "none")
    is_cpm_project_author: Bool = about(
        "Whether the author takes part in a CPM project; not documented further.", "by_name", "none"
    )
    is_excellenct_author: Bool = about(
        "Whether the author is an excellent one (guess; the API's spelling).", "guess", "none"
    )
    is_short_drama: Bool = about("Whether the author makes short dramas (guess).", "guess", "none")
    last_10_items: RecentItems = about(
        "Up to ten last videos, each with the fields that came. Comes as JSON text.", "documented", "id"
    )
    link_convert_index: Float = about(
        "Index of conversion (guess); scale not documented (0-100 is a guess).", "guess", "quasi"
    )
    link_convert_index_by_industry: Float = about("As `link_convert_index`, within the industry.", "by_name", "quasi")
    link_i_cnt_by_industry: Int = about(
        "Connected users of stage I (interested), within the industry, a count; likely.", "guess", "quasi"
    )
    link_k_cnt_by_industry: Int = about(
        "Connected users of stage K (follow), within the industry, a count; likely.", "guess", "quasi"
    )
    link_l_cnt_by_industry: Int = about(
        "Connected users of stage L (aware), within the industry, a count. L is likely; L + I + N + K is all stages.",
        "guess",
        "quasi",
    )
    link_link_cnt_by_industry: Int = about(
        "Connected users of all stages, within the industry, a count: exactly L + I + N + K.", "documented", "quasi"
    )
    link_n_cnt_by_industry: Int = about(
        "Connected users of stage N (like), within the industry, a count; likely.", "guess", "quasi"
    )
    link_recommend_index_by_industry: Float = about(
        "Index of recommendation, by industry (guess); not documented.", "guess", "quasi"
    )
    link_shopping_index: Float = about(
        "Index of seeding (种草, making viewers want a product), in spite of its name; scale not documented.",
        "documented",
        "quasi",
    )
    link_spread_index: Float = about(
        "Index of spread (guess); scale not documented (0-100 is a guess).", "guess", "quasi"
    )
    link_spread_index_by_industry: Float = about("As `link_spread_index`, within the industry.", "by_name", "quasi")
    link_star_index: Float = about(
        "Index of the author overall (guess); scale not documented (0-100 is a guess).", "guess", "quasi"
    )
    link_star_index_by_industry: Float = about("As `link_star_index`, within the industry.", "by_name", "quasi")
    link_user_type_by_industry: Int = about(
        "Code of the kind of connected users; codes not documented.", "by_name", "none"
    )
    local_lower_threshold_author: Bool = about("Meaning not documented by the provider.", "guess", "none")
    nick_name: Text = about("Display name. Personal data.", "documented", "direct")
    pic_brand_boost: Bool = about("Whether brand boost applies to pictures (guess).", "guess", "none")
    pic_brand_boost_vv: Int = about("Plays added to pictures by brand boost (guess), a count.", "guess", "quasi")
    pic_expected_play_num: Int = about("Expected views of a picture-and-text post, a count.", "by_name", "quasi")
    play_over_rate_within_30d: Float = about("Share of plays to the end in 30 days, a ratio 0-1.", "by_name", "quasi")
    playlet_author_types: AnyJson = about(
        "Codes of the kinds of short-drama author, such as [3]; comes as JSON text, stored decoded.", "guess", "none"
    )
    price_1_20: Int = about(
        "Price of a 1-20 s video, yuan: `video_type` 1. Absent on the rate card of 2026.", "documented", "quasi"
    )
    price_20_60: Int = about(
        "Price of `video_type` 2, yuan: a 21-60 s video before 2026, 植入视频 (product placement) on the rate "
        "card of 2026. The field mixes both: see `desc` of the prices.",
        "documented",
        "quasi",
    )
    price_60: Int = about(
        "Price of `video_type` 71, yuan: a video over 60 s before 2026, 定制视频 (custom video) on the rate card "
        "of 2026. The field mixes both and is no mark of the new card: see `desc` of the prices.",
        "documented",
        "quasi",
    )
    promotion_prospective_1_20_cpm: Float = about(
        "Expected CPM of `price_1_20` with promotion, yuan per 1,000 plays.", "by_name", "quasi"
    )
    promotion_prospective_20_60_cpm: Float = about(
        "Expected CPM of `price_20_60` with promotion, yuan per 1,000 plays.", "by_name", "quasi"
    )
    promotion_prospective_60_cpm: Float = about(
        "Expected CPM of `price_60` with promotion, yuan per 1,000 plays.", "by_name", "quasi"
    )
    promotion_prospective_vv: Int = about("Expected plays with promotion, a count.", "by_name", "quasi")
    prospective_1_20_cpm: Float = about(
        "Expected CPM of `price_1_20`, yuan: price / `expected_play_num` x 1000, exactly.", "documented", "quasi"
    )
    prospective_20_60_cpm: Float = about(
        "Expected CPM of `price_20_60`, yuan: price / `expected_play_num` x 1000, exactly.", "documented", "quasi"
    )
    prospective_60_cpm: Float = about(
        "Expected CPM of `price_60`, yuan: price / `expected_play_num` x 1000, exactly.", "documented", "quasi"
    )
    province: Text = about("Province, in Chinese; empty if not given.", "documented", "quasi")
    search_after_view_index_by_industry: Float = about(
        "Index of searches after viewing, within the industry.", "by_name", "quasi"
    )
    sn_expected_play_num: Int = about(
        "As `expected_play_num`; what `sn_` stands for is not documented.", "by_name", "quasi"
    )
    sn_interact_rate_within_30d: Float = about(
        "As `interact_rate_within_30d`; `sn_` is not documented.", "by_name", "quasi"
    )
    sn_play_over_rate_within_30d: Float = about(
        "As `play_over_rate_within_30d`; `sn_` is not documented.", "by_name", "quasi"
    )
    sn_prospective_1_20_cpe: Float = about(
        "Expected cost per engagement of `price_1_20`, yuan. Not price / (plays x interaction rate): 3.1892 "
        "against 2.3140 in the provider's sample. Take it as given.",
        "documented",
        "quasi",
    )
    sn_prospective_1_20_cpm: Float = about("As `prospective_1_20_cpm`; `sn_` is not documented.", "by_name", "quasi")
    sn_prospective_20_60_cpe: Float = about(
        "Expected cost per engagement of `price_20_60`, yuan. Not price / (plays x interaction rate): 3.1892 "
        "against 2.3140 in the provider's sample. Take it as given.",
        "documented",
        "quasi",
    )
    sn_prospective_20_60_cpm: Float = about("As `prospective_20_60_cpm`; `sn_` is not documented.", "by_name", "quasi")
    sn_prospective_60_cpe: Float = about(
        "Expected cost per engagement of `price_60`, yuan. Not price / (plays x interaction rate): 3.1892 "
        "against 2.3140 in the provider's sample. Take it as given.",
        "documented",
        "quasi",
    )
    sn_prospective_60_cpm: Float = about("As `prospective_60_cpm`; `sn_` is not documented.", "by_name", "quasi")
    star_ecom_main_price_30days: Float = about(
        "Main price of the goods sold in 30 days (guess), yuan.", "guess", "quasi"
    )
    star_ecom_video_num_30d: Int = about("Paid videos with products of 30 days, a count.", "by_name", "quasi")
    star_ecom_video_product_num_30d: Int = about("Products in paid videos of 30 days, a count.", "by_name", "quasi")
    star_excellent_author: Bool = about("Whether Xingtu counts the author as excellent (guess).", "guess", "none")
    star_index: Float = about("Xingtu index; scale not documented (0-100 is a guess).", "guess", "quasi")
    star_item_count_within_30d: Int = about("Paid videos of 30 days, a count.", "documented", "quasi")
    star_qianchuan_high_potential: Bool = about(
        "Whether the author has high potential for Qianchuan ads (guess).", "guess", "none"
    )
    star_whispers_author: Bool = about("Meaning not documented by the provider.", "guess", "none")
    tags_relation: TextListMap = about(
        "First-level content tag -> its second-level tags, in Chinese. Comes as JSON text.", "by_name", "quasi"
    )
    video_brand_boost: Bool = about("Whether brand boost applies to videos (guess).", "guess", "none")
    video_brand_boost_vv: Int = about("Plays added to videos by brand boost (guess), a count.", "guess", "quasi")
    vv_median_30d: Float = about("Median plays of the videos of 30 days.", "by_name", "quasi")
