"""From request parameters to an answer: business code, message and rendered `data`. Rendered bodies are cached.

Knows neither HTTP nor tokens nor faults.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from secrets import token_hex
from typing import Any
from zlib import crc32

from xingtu_crawler.api.endpoints import SEARCH, Platform
from xingtu_crawler.sandbox import details, query, rendering, search_record
from xingtu_crawler.sandbox.population import DAY_SECONDS, DAY_ZERO, Population, scramble
from xingtu_crawler.sandbox.search import CAP, PAGE_SIZE, Search

MESSAGES: dict[int, str] = {
    0: "success",
    100: "Invalid or inactive token",
    201: "No content",
    202: "No content",
    300: "Collection incomplete",
    301: "Collection failed. Please retry.",
    302: "Rate limit exceeded",
    303: "Daily quota exceeded",
    400: "Invalid parameters",
    404: "Not found",
    500: "Internal server error",
    503: "Service unavailable",
    600: "Permission denied",
    601: "Insufficient balance",
    602: "Token spend limit exceeded",
}
_CACHED_BODIES = 8_192  # of each kind; 3 to 7 kB each


@dataclass(frozen=True, slots=True)
class Answer:
    """The contents of an envelope; `data` is rendered JSON."""

    code: int
    message: str
    data: bytes = b"null"


class Answers:
    """Returns the answers about a population."""

    def __init__(self, population: Population, search: Search) -> None:
        self._population = population
        self._search = search
        self._record = lru_cache(maxsize=_CACHED_BODIES)(search_record.render)
        self._detail = lru_cache(maxsize=_CACHED_BODIES)(self._render_detail)
        self._run = token_hex(10)

    def answer(self, endpoint: str, params: Mapping[str, str], day: int, call: int) -> Answer:
        """Return the answer to request parameters (without the token) on a day; `call` is the number of the call."""
        try:
            find = self._page if endpoint == SEARCH.name else partial(self._details, endpoint)
            data = find(params, day)
        except query.InvalidQueryError as error:
            return Answer(400, f"{MESSAGES[400]}: {error}")
        if data is None:
            return Answer(404, MESSAGES[404])
        return Answer(0, MESSAGES[0], rendering.sign(data, call, DAY_ZERO + day * DAY_SECONDS + call % DAY_SECONDS))

    def other_id(self, params: Mapping[str, str]) -> str:
        """Return the star id of another author than the requested one."""
        index = self._population.index_of(params.get("oAuthorId", "")) or 0
        return self._population.star_id(index + 1)

    def envelope(self, answer: Answer, identity: int, call: int) -> bytes:
        """Return the whole body.

        `identity`, a hash of the request, decides whether `code` is a string and whether `recordTime` is null.
        """
        code = f'"{answer.code}"' if identity & 15 == 3 else str(answer.code)
        record_time = "null" if identity >> 4 & 31 == 3 else time.strftime('"%Y-%m-%dT%H:%M:%SZ"', time.gmtime())
        return b'{"code":%b,"message":%b,"data":%b,"recordTime":%b,"requestId":"%b%012x"}' % (
            code.encode(),
            rendering.body(answer.message),
            answer.data,
            record_time.encode(),
            self._run.encode(),
            call,
        )

    def _details(self, endpoint: str, params: Mapping[str, str], day: int) -> bytes | None:
        star_id, platform = params.get("oAuthorId", ""), params.get("platform", "") or Platform.SHORT_VIDEO
        if not (star_id.isascii() and star_id.isdigit()):
            raise query.InvalidQueryError("oAuthorId must be an author's id")
        if platform not in Platform.__members__:
            raise query.InvalidQueryError("platform is not one of the available values")
        index = self._population.index_of(star_id)
        return None if index is None else self._detail(endpoint, index, Platform(platform), day)

    def _render_detail(self, endpoint: str, index: int, platform: Platform, day: int) -> bytes:
        return details.RENDERERS[endpoint](self._population, index, platform, day)

    def _page(self, params: Mapping[str, str], day: int) -> bytes | None:
        searched, number = query.parse(params)
        page = self._search.page(searched, number, day)
        session = scramble(crc32(repr(searched).encode()))
        records = b",".join(self._record(self._population, index, day) for index in page.indexes)
        tail: dict[str, Any] = {
            "base_resp": {"status_code": 0, "status_message": ""},
            "extra_data": {
                "intent_score": (session & 0xFFFF) / 0x10000,
                "is_cpm_project_search": False,
                "is_intent_consistent": True,
                "search_author_count": 0,
                "search_item_count": 0,
                "search_session_id": str(76 * 10**17 + session % 10**17),
            },
            "pagination": {
                "has_more": page.has_more,
                "limit": PAGE_SIZE,
                "page": number,
                "total_count": min(page.total_count, CAP),
            },
        }
        return b'{"authors":[' + records + b"]," + rendering.body(tail)[1:]
