"""The response of an API call: made by the download handler, completed by the business-code middleware."""

from __future__ import annotations

from typing import Any

from scrapy.http import TextResponse

from xingtu_crawler.api.envelope import Envelope

CUT = "cut"
"""The flag of a response whose body was too long to be read to its end."""
TOO_LARGE = "too_large"
"""The flag of a response whose body is longer than `DOWNLOAD_MAXSIZE`."""


class ApiResponse(TextResponse):
    """A response of the API; one that a spider sees is a success."""

    attributes: tuple[str, ...] = (*TextResponse.attributes, "parsed_body")

    def __init__(self, *args: Any, parsed_body: Envelope | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parsed_body = parsed_body

    @property
    def envelope(self) -> Envelope:
        """The parsed body of a success."""
        assert self.parsed_body is not None, "the business-code middleware has not seen this response"
        return self.parsed_body
