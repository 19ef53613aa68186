"""The model of "Author Search (V1)": one element of `authors`, and the author's id in it."""

from __future__ import annotations

from typing import Any

from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items.attributes import AuthorAttributes
from xingtu_crawler.items.fields import AnyList, AnyObject, Bool, Float, Id, Int, Text, TextList, Time, about
from xingtu_crawler.items.marketing_info import PriceExtraInfo
from xingtu_crawler.items.payload import Part, Payload, is_absent, require_same_id


class DemanderBehavior(Part):
    """What the account behind the token did with this author."""

    added_author_list: Bool = about("Whether the author is on one of the account's lists (guess).", "guess", "none")
    cooperated: Bool = about("Whether the account worked with the author (guess).", "guess", "none")
    viewd_author_page: Bool = about(
        "Whether the account viewed the author's page (guess; the API's spelling).", "guess", "none"
    )


class SearchExtraData(Part):
    """How the search found the author; it differs from call to call."""

    content_query_from_word: Text = about(
        "Meaning not documented by the provider; empty in every answer seen.", "guess", "free_text"
    )
    content_query_score: Float = about(
        "Score of a content search; scale not documented by the provider.", "by_name", "none"
    )
    debug_info: Text = about(
        "Meaning not documented by the provider; empty in every answer seen.", "guess", "free_text"
    )
    demander_behavior: DemanderBehavior | None = about(
        "What the account behind the token did with this author.", "by_name", "none"
    )
    recall_from: TextList = about(
        "Codes of the recall channels; codes not documented by the provider.", "by_name", "none"
    )
    recall_return_infos: AnyObject = about(
        "Shape not documented by the provider, stored as it came.", "guess", "free_text"
    )
    recommend_types: AnyList = about("Shape not documented by the provider, stored as it came.", "guess", "free_text")


class SearchItem(Part):
    """A video shown beside the author in the search."""

    item_id: Id = about("Douyin id of the video.", "documented", "id")
    video_tag: Int = about(
        "Code of why the video is shown: 6 newest; 3 personal hot, 4 order hot, 5 masterpiece (likely).",
        "documented",
        "quasi",
    )
    vv: Int = about(
        "Plays (video views), a raw count: up to 17 % below `last_10_items[].vv` of the same video in the same answer.",
        "documented",
        "quasi",
    )


class TaskPrice(Part):
    """One price of a kind of task."""

    desc: Text = about("Name of the product, in Chinese; in newer answers only.", "documented", "none")
    end_time: Time = about(
        "End of the price's validity. Unix seconds -> UTC datetime; 2038-01-01 means open-ended.", "documented", "quasi"
    )
    platform_source: Int = about("Code of the platform: 1 Douyin, 2 Toutiao, 3 Xigua.", "documented", "none")
    price: Int = about(
        "Price, yuan: of one video, but with `video_type` 92 of 1,000 natural plays.", "documented", "quasi"
    )
    price_extra_info: PriceExtraInfo | None = about(
        "Additions of newer answers; empty in older ones.", "by_name", "none"
    )
    start_time: Time = about("Start of the price's validity. Unix seconds -> UTC datetime.", "documented", "quasi")
    task_category: Int = about(
        "Code of the kind of task: 1 short video, 103 pushing to the ad platform (placeholders), 6 live, 52 "
        "picture and text (likely).",
        "documented",
        "none",
    )
    video_type: Int = about(
        "Code of the product; see `price_info[].video_type` of `author_marketing_info`.", "documented", "none"
    )
    video_type_status: Int = about("Code; meaning not documented by the provider.", "guess", "none")


class TaskInfo(Part):
    """A kind of task that the author offers."""

    online_status: Int = about("Code; meaning not documented by the provider.", "guess", "none")
    platform_source: Int = about("Code of the platform: 1 Douyin, 2 Toutiao, 3 Xigua.", "documented", "none")
    price_infos: list[TaskPrice | None] | None = about("Prices of this kind of task.", "documented", "quasi")
    task_category: Int = about(
        "Code of the kind of task: 1 short video, 103 pushing to the ad platform (placeholders), 6 live, 52 "
        "picture and text (likely).",
        "documented",
        "none",
    )
    task_status: Int = about("Code; meaning not documented by the provider.", "guess", "none")


class SearchAuthor(Payload, endpoint="search"):
    """An author as the search shows it."""

    attribute_datas: AuthorAttributes | None = about(
        "The author's figures. All values come as text.", "documented", "quasi"
    )
    extra_data: SearchExtraData | None = about(
        "How the search found the author; it differs from call to call.", "by_name", "none"
    )
    items: list[SearchItem | None] | None = about("Videos shown beside the author.", "by_name", "id")
    star_id: Id = about(
        "Xingtu id of the author; the argument `oAuthorId` of the detail endpoints.", "documented", "id"
    )
    task_infos: list[TaskInfo | None] | None = about(
        "Kinds of task the author offers, with prices.", "documented", "quasi"
    )

    @classmethod
    def identify(cls, payload: dict[str, Any], star_id: str | None) -> None:
        """Raise `IdentityError` unless there is an id, `star_id` or the attributes' `id`, and both agree."""
        found = star_id_of(payload)
        if found is None:
            raise IdentityError("star_id is missing or not a number")
        require_same_id("star_id", found, star_id)
        require_same_id("star_id", payload.get("star_id"), found)
        require_same_id("attribute_datas.id", _attribute_id(payload), found)

    @classmethod
    def is_anonymous(cls, payload: dict[str, Any]) -> bool:
        """Return whether `star_id` is not an id, so that the attributes' `id` is taken."""
        return _id_of(payload.get("star_id")) is None


def star_id_of(element: object) -> str | None:
    """Return the author's id of one element of a search answer's `authors`; None if it has no valid one.

    Where `star_id` is absent, or a float that may have lost digits, it is the attributes' `id`.
    """
    if not isinstance(element, dict):
        return None
    raw = element.get("star_id")
    if is_absent(raw) or isinstance(raw, float):
        raw = _attribute_id(element)
    return _id_of(raw)


def _attribute_id(element: dict[str, Any]) -> object:
    attributes = element.get("attribute_datas")
    return attributes.get("id") if isinstance(attributes, dict) else None


def _id_of(raw: object) -> str | None:
    """Return an id of up to 20 digits as text, without spaces around it; None if `raw` is none."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw) if 0 < raw < 10**20 else None
    found = raw.strip() if isinstance(raw, str) else ""
    return found if found.isascii() and found.isdigit() and len(found) <= 20 and found.strip("0") else None
