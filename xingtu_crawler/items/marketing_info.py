"""The model of "Author Marketing Info (V1)": the rate card, whose prices belong to the requested author."""

from __future__ import annotations

from typing import Any, ClassVar

from xingtu_crawler.items.fields import AnyList, Bool, Id, Int, Text, TextList, Time, about
from xingtu_crawler.items.payload import BaseResp, Part, Payload, is_absent, require_same_id


class PriceExtraInfo(Part):
    """Fields that newer answers, and prices per 1,000 plays, add to a price."""

    sparse: ClassVar[bool] = True

    ceiling_price: Int = about(
        "Highest total of a price per 1,000 plays (`video_type` 92), yuan. Absent elsewhere.", "documented", "quasi"
    )
    floor_price: Int = about(
        "Lowest total of a price per 1,000 plays (`video_type` 92), yuan. Absent elsewhere.", "documented", "quasi"
    )
    sku_version: Any = about(
        "Version of the rate card the price belongs to, stored as it came: the same `video_type` means "
        "another product in another version. Absent in older answers.",
        "documented",
        "none",
    )


class Price(Part):
    """One line of the rate card."""

    activity_info: AnyList = about(
        "Promotions (guess); empty in every answer seen, stored as it came.", "guess", "none"
    )
    author_id: Id = about("Xingtu id of the author, equal to `star_id`.", "documented", "id")
    desc: Text = about(
        "Name of the product, in Chinese. The same `video_type` may have another name in newer answers.",
        "documented",
        "none",
    )
    do_fold: Bool = about("Whether the marketplace folds the line away (guess).", "guess", "none")
    enable: Bool = about(
        "Whether it is an offer. False marks a placeholder (often with price 100): exclude it.", "documented", "none"
    )
    end_time: Time = about(
        "End of the price's validity. Unix seconds -> UTC datetime; 2038-01-01 means open-ended.", "documented", "quasi"
    )
    field: Text = about("Name of the price in the provider's own form; not documented.", "by_name", "none")
    has_discount: Bool = about("Whether `price` is below `origin_price` (guess).", "guess", "none")
    is_open: Bool = about(
        "Whether the product is open, by its name; true in every answer seen, placeholders included: filter "
        "by `enable` instead.",
        "documented",
        "none",
    )
    need_price: Bool = about("Meaning not documented by the provider (true in every answer seen).", "guess", "none")
    online_status: Int = about(
        "Code; 1 with offers, 2 with placeholders. Codes not documented by the provider.", "by_name", "none"
    )
    origin_price: Int = about(
        "Price before discount, yuan; of 1,000 natural plays with `video_type` 92.", "documented", "quasi"
    )
    platform_activity_id: Id = about('Id of a promotion of the platform; "0" if there is none.', "by_name", "none")
    platform_source: Int = about("Code of the platform: 1 Douyin, 2 Toutiao, 3 Xigua.", "documented", "none")
    price: Int = about(
        "Price, yuan: of one video, but with `video_type` 92 of 1,000 natural plays. See `enable`.",
        "documented",
        "quasi",
    )
    price_extra_info: PriceExtraInfo | None = about("Additions of newer answers.", "by_name", "none")
    settlement_desc: Text = about("How the price is settled, in Chinese (固定价格: fixed price).", "documented", "none")
    settlement_type: Int = about("Code of `settlement_desc`; 2 with a fixed price.", "by_name", "none")
    start_time: Time = about("Start of the price's validity. Unix seconds -> UTC datetime.", "documented", "quasi")
    task_category: Int = about(
        "Code of the kind of task: 1 short video, 103 pushing to the ad platform (placeholders), 6 live, 52 "
        "picture and text (likely).",
        "documented",
        "none",
    )
    task_category_status: Int = about(
        "Code; meaning not documented by the provider (1 in every answer seen).", "guess", "none"
    )
    template_list: AnyList = about("Templates (guess); empty in every answer seen, stored as it came.", "guess", "none")
    video_type: Int = about(
        "Code of the product. 1, 2 and 71: 1-20 s, 21-60 s and longer videos before 2026; 2 and 71 are 植入视频 "
        "and 定制视频 on the card of 2026. 90 main author and 91 participant of a co-created video (likely); 92 a "
        "price per 1,000 natural plays; 103 to 105 placeholders; 150 短直种草视频 and others: see `desc`. 150 is no "
        "mark of the new card.",
        "documented",
        "none",
    )
    video_type_status: Int = about("Code; meaning not documented by the provider.", "guess", "none")


class MarketingInfo(Payload, endpoint="marketing_info"):
    """An author's rate card and rankings."""

    activity_info: AnyList = about(
        "Promotions (guess); empty in every answer seen, stored as it came.", "guess", "none"
    )
    base_resp: BaseResp | None = about("Inner status of the answer.", "documented", "none")
    hot_list_ranks: AnyList = about(
        "Places in hot lists: the shape differs between answers, stored as it came.", "by_name", "quasi"
    )
    industry_tags: TextList = about(
        "Industries the author suits, in Chinese, as `industry-branch`.", "by_name", "quasi"
    )
    price_info: list[Price | None] | None = about("The rate card, a line per product.", "documented", "quasi")

    @classmethod
    def identify(cls, payload: dict[str, Any], star_id: str | None) -> None:
        """Raise `IdentityError` when a price bears another author's id."""
        super().identify(payload, star_id)
        for index, author_id in enumerate(_author_ids(payload)):
            require_same_id(f"price_info.{index}.author_id", author_id, star_id)

    @classmethod
    def is_anonymous(cls, payload: dict[str, Any]) -> bool:
        """Return whether there are prices, and none of them has an author's id."""
        author_ids = _author_ids(payload)
        return bool(author_ids) and all(is_absent(author_id) for author_id in author_ids)


def _author_ids(payload: dict[str, Any]) -> list[object]:
    prices = payload.get("price_info")
    return [
        price.get("author_id") if isinstance(price, dict) else None
        for price in (prices if isinstance(prices, list) else ())
    ]
