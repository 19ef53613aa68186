"""The model of "Author Marketing Info (V1)": the rate card, whose prices belong to the requested author."""

from __future__ import annotations

from typing import Any

from xingtu_crawler.items.fields import AnyList, Bool, Id, Int, Text, TextList, Time, about
from xingtu_crawler.items.payload import BaseResp, Part, Payload, is_absent, require_same_id


class PriceExtraInfo(Part):
    """Fields that newer answers add to a price."""

    sku_version: Any = about(
        "Version of the rate card the price belongs to, stored as it came: the same `video_type` means "
        "another product in another version. Absent in older answers."
    )


class Price(Part):
    """One line of the rate card."""

    activity_info: AnyList = about("Promotions (guess); empty in every answer seen, stored as it came.")
    author_id: Id = about("Xingtu id of the author, equal to `star_id`.")
    desc: Text = about("Name of the product, in Chinese. The same `video_type` may have another name in newer answers.")
    do_fold: Bool = about("Whether the marketplace folds the line away (guess).")
    enable: Bool = about("Whether it is an offer. False marks a placeholder (often with price 100): exclude it.")
    end_time: Time = about("End of the price's validity. Unix seconds -> UTC datetime; 2038-01-01 means open-ended.")
    field: Text = about("Name of the price in the provider's own form; not documented.")
    has_discount: Bool = about("Whether `price` is below `origin_price` (guess).")
    is_open: Bool = about("Whether the product is open (guess); true in every answer seen, placeholders included.")
    need_price: Bool = about("Meaning not documented by the provider (true in every answer seen).")
    online_status: Int = about("Code; 1 with offers, 2 with placeholders. Codes not documented by the provider.")
    origin_price: Int = about("Price before discount, yuan.")
    platform_activity_id: Id = about('Id of a promotion of the platform; "0" if there is none.')
    platform_source: Int = about("Code of the platform; codes not documented by the provider.")
    price: Int = about("Price, yuan. See `enable`.")
    price_extra_info: PriceExtraInfo | None = about("Additions of newer answers.")
    settlement_desc: Text = about("How the price is settled, in Chinese (固定价格: fixed price).")
    settlement_type: Int = about("Code of `settlement_desc`; 2 with a fixed price.")
    start_time: Time = about("Start of the price's validity. Unix seconds -> UTC datetime.")
    task_category: Int = about("Code of the kind of task; 103 is a placeholder. Codes not documented by the provider.")
    task_category_status: Int = about("Code; meaning not documented by the provider (1 in every answer seen).")
    template_list: AnyList = about("Templates (guess); empty in every answer seen, stored as it came.")
    video_type: Int = about(
        "Code of the product. Older answers: 1 1-20 s, 2 21-60 s, 71 over 60 s; newer ones add 150 and 151 and give "
        "2 and 71 another `desc`. Read it together with `desc` and `price_extra_info.sku_version`."
    )
    video_type_status: Int = about("Code; meaning not documented by the provider.")


class MarketingInfo(Payload, endpoint="marketing_info"):
    """An author's rate card and rankings."""

    activity_info: AnyList = about("Promotions (guess); empty in every answer seen, stored as it came.")
    base_resp: BaseResp | None = about("Inner status of the answer.")
    hot_list_ranks: AnyList = about("Places in hot lists (guess); empty in every answer seen, stored as it came.")
    industry_tags: TextList = about("Industries the author suits, in Chinese, as `industry-branch`.")
    price_info: list[Price | None] | None = about("The rate card, a line per product.")

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
