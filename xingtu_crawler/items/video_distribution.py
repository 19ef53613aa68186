"""The model of "Author Video Distribution (V1)": what an author's videos are about."""

from __future__ import annotations

from xingtu_crawler.items.fields import Float, Int, Text, about
from xingtu_crawler.items.payload import BaseResp, Part, Payload


class ContentShare(Part):
    """One kind of content."""

    cnt: Int = about("Videos of this kind, a raw count. Period not documented by the provider.", "by_name", "quasi")
    name: Text = about("Kind of content, in Chinese.", "by_name", "quasi")
    proportion: Float = about(
        "Share of the author's videos, a ratio 0-1, rounded; the sum may differ from 1.", "by_name", "quasi"
    )


class VideoDistribution(Payload, endpoint="video_distribution"):
    """How an author's videos divide into kinds of content."""

    base_resp: BaseResp | None = about("Inner status of the answer.", "documented", "none")
    video_content_distribution: list[ContentShare | None] | None = about(
        "Kinds of content; may be empty.", "documented", "quasi"
    )
