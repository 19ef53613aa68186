"""The model of "Author Recommended Videos (V1)": four lists of videos, in which most zeros mean "not supplied"."""

from __future__ import annotations

from xingtu_crawler.items.corrections import correct_create_time
from xingtu_crawler.items.fields import AnyList, Bool, Float, Id, Int, Text, Time, about
from xingtu_crawler.items.payload import BaseResp, Part, Payload

ALWAYS_SUPPLIED = frozenset({"item_id", "create_time", "play"})
"""The fields of a video that the endpoint fills. In all others 0, "0", "", [] and false mean "not supplied": null."""


class RecVideo(Part):
    """One video. The answers seen fill `item_id`, `create_time` and `play`; no other field is documented."""

    acu: Int = about("Average concurrent viewers of a live stream (guess). Null: not supplied.", "guess", "quasi")
    avg_watch: Float = about("Average watch time (guess); unit not documented. Null: not supplied.", "guess", "quasi")
    barrage: Int = about("Bullet comments (guess), a count. Null: not supplied.", "guess", "quasi")
    biz_id: Id = about("Id of the business object; meaning not documented. Null: not supplied.", "guess", "id")
    comment: Int = about("Comments, a raw count. Null: not supplied.", "by_name", "quasi")
    core_user_id: Id = about("Id of the author's Douyin account. Null: not supplied.", "by_name", "direct")
    create_time: Time = about(
        "When the video was uploaded. Unix seconds -> UTC datetime; corrected where the video's id says so "
        "(see Corrections).",
        "documented",
        "quasi",
    )
    create_timestamp: Time = about(
        "As `create_time` (guess). Unix seconds -> UTC datetime. Null: not supplied.", "guess", "quasi"
    )
    duration: Float = about("Length, seconds. Null: not supplied.", "documented", "quasi")
    duration_min: Float = about("Length in minutes (guess). Null: not supplied.", "guess", "quasi")
    fans_club: Int = about("New members of the fan club (guess), a count. Null: not supplied.", "guess", "quasi")
    favorite: Int = about("Favourites, a raw count. Null: not supplied.", "by_name", "quasi")
    finish_time: Float = about(
        "Meaning and unit not documented by the provider, stored as a number. Null: not supplied.", "by_name", "quasi"
    )
    head_image_uri: Text = about("URI of the cover image. Null: not supplied.", "by_name", "direct")
    head_image_uris: AnyList = about(
        "URIs of images; shape not documented, stored as it came. Null: not supplied.", "guess", "direct"
    )
    head_image_url_signed: Text = about(
        "Signed URL of the cover image, expires. Null: not supplied.", "by_name", "direct"
    )
    height: Int = about("Height of the picture (guess), pixels. Null: not supplied.", "guess", "none")
    impression: Int = about("Impressions, a raw count. Null: not supplied.", "by_name", "quasi")
    industry: Text = about("Industry. Null: not supplied.", "by_name", "quasi")
    interact_rate: Float = about("Interactions per play (guess), a ratio 0-1. Null: not supplied.", "guess", "quasi")
    is_hot: Bool = about("Whether the video went viral (guess). Null: not supplied; never false.", "guess", "none")
    is_playlet: Bool = about(
        "Whether it is an episode of a short drama (guess). Null: not supplied; never false.", "guess", "none"
    )
    item_animated_cover: Text = about("URL of the animated cover. Null: not supplied.", "by_name", "direct")
    item_cover: Text = about("URL of the cover. Null: not supplied.", "by_name", "direct")
    item_date: Text = about("Date as text; format not documented. Null: not supplied.", "by_name", "quasi")
    item_id: Id = about("Douyin id of the video.", "documented", "id")
    item_title: Text = about("Title. Null: not supplied.", "by_name", "free_text")
    like: Int = about("Likes, a raw count. Null: not supplied.", "by_name", "quasi")
    live_status: Int = about(
        "Code of a live stream's state; codes not documented. Null: not supplied.", "by_name", "none"
    )
    max_watch: Int = about("Most concurrent viewers of a live stream (guess). Null: not supplied.", "guess", "quasi")
    media_type: Int = about("Code of the kind of medium; codes not documented. Null: not supplied.", "by_name", "none")
    original_status: Int = about("Code; meaning not documented by the provider. Null: not supplied.", "guess", "none")
    play: Int = about("Plays, a raw count; 0 is 0.", "documented", "quasi")
    play_over_5min: Int = about(
        "Plays of more than five minutes (guess), a count. Null: not supplied.", "guess", "quasi"
    )
    read_cnt: Int = about("Reads of a picture-and-text post (guess), a count. Null: not supplied.", "guess", "quasi")
    repin: Int = about("Reposts or pins (guess); meaning not documented. Null: not supplied.", "guess", "quasi")
    send_gift: Int = about("Gifts sent in a live stream (guess), a count. Null: not supplied.", "guess", "quasi")
    send_prop: Int = about("Props sent in a live stream (guess), a count. Null: not supplied.", "guess", "quasi")
    send_red_packet: Int = about(
        "Red packets sent in a live stream (guess), a count. Null: not supplied.", "guess", "quasi"
    )
    share: Int = about("Shares, a raw count. Null: not supplied.", "by_name", "quasi")
    status: Int = about("Code of the video's state; codes not documented. Null: not supplied.", "by_name", "none")
    title: Text = about("Title. Null: not supplied.", "by_name", "free_text")
    url: Text = about("URL of the video. Null: not supplied.", "by_name", "direct")
    video_id: Id = about("Id of the video file (guess). Null: not supplied.", "guess", "id")
    width: Int = about("Width of the picture (guess), pixels. Null: not supplied.", "guess", "none")


RecVideo.correct = correct_create_time
RecVideo.zero_is_null = frozenset(RecVideo.model_fields) - ALWAYS_SUPPLIED

Videos = list[RecVideo | None] | None


class RecVideos(Payload, endpoint="rec_videos"):
    """The videos that the marketplace shows on an author's page; each list may be empty."""

    base_resp: BaseResp | None = about("Inner status of the answer.", "documented", "none")
    masterpiece_videos: Videos = about("Videos that a model of the marketplace chose.", "documented", "id")
    newest_videos: Videos = about("The newest public short videos.", "documented", "id")
    order_hot_videos: Videos = about("The recent paid videos with the most plays.", "documented", "id")
    personal_hot_videos: Videos = about("The recent personal (unpaid) videos with the most plays.", "documented", "id")
