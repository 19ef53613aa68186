"""One page of the author search: its authors as received, and its pagination. It does not type the authors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError

from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items.fields import to_bool, to_int
from xingtu_crawler.items.search import star_id_of

__all__ = ["SearchPage", "parse_page", "star_id_of"]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of the search.

    `total_count` is a number of authors, 10000 if there are more. A figure is None if it is absent or not readable.
    `authors` are the raw elements in rank order; `raw_meta` is the rest of the payload as received.
    """

    page: int | None
    limit: int | None
    has_more: bool | None
    total_count: int | None
    authors: list[object]
    raw_meta: dict[str, Any]


def parse_page(payload: object) -> SearchPage:
    """Read `data` of a search answer; raise `IdentityError` if it is not a search page."""
    if not isinstance(payload, dict):
        raise IdentityError(f"the search page is {type(payload).__name__} and not an object")
    if "authors" not in payload:
        raise IdentityError("the search page has no authors")
    authors = payload["authors"]
    if authors is None:
        authors = []
    if not isinstance(authors, list):
        raise IdentityError(f"authors of the search page is {type(authors).__name__} and not a list")
    pagination = payload.get("pagination")
    if not isinstance(pagination, dict):
        pagination = {}
    return SearchPage(
        page=_int(pagination.get("page")),
        limit=_int(pagination.get("limit")),
        has_more=_bool(pagination.get("has_more")),
        total_count=_int(pagination.get("total_count")),
        authors=list(authors),
        raw_meta={key: value for key, value in payload.items() if key != "authors"},
    )


def _int(value: object) -> int | None:
    try:
        return to_int(value)
    except PydanticCustomError:
        return None


def _bool(value: object) -> bool | None:
    try:
        return to_bool(value)
    except PydanticCustomError:
        return None
