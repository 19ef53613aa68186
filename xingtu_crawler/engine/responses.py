"""The response that a spider sees: a success of the API with its parsed envelope."""

from __future__ import annotations

from typing import Any

from scrapy.http import TextResponse

from xingtu_crawler.api.envelope import Envelope


class ApiResponse(TextResponse):
    """A successful response; `envelope` is its parsed body."""

    attributes: tuple[str, ...] = (*TextResponse.attributes, "envelope")

    def __init__(self, *args: Any, envelope: Envelope, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.envelope = envelope
