"""Types the payload of every answer; an answer that does not belong to its request goes to quarantine."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Self

from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem
from scrapy.statscollectors import StatsCollector

from xingtu_crawler.api.endpoints import SEARCH
from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.extensions.intake import Intake
from xingtu_crawler.items import Parsed
from xingtu_crawler.items.answers import HOLLOW, DetailAnswer, SearchAnswer
from xingtu_crawler.items.validation import reason_of, validate_detail, validate_page, without_ids
from xingtu_crawler.verdict import Findings

logger = logging.getLogger(__name__)

_LOGGED = 20
"""Maximum number of log messages about quarantined answers of one kind: if the API changes, there are thousands."""


class ValidationPipeline:
    """Types the payloads of answers, and counts values that did not fit and unknown fields."""

    def __init__(self, intake: Intake, stats: StatsCollector, findings: Findings) -> None:
        self._intake = intake
        self._findings = findings
        self._stats = stats
        self._quarantined: Counter[tuple[str, str]] = Counter()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Take the intake and the findings of the crawl."""
        crawl = Crawl.of(crawler)
        return cls(crawl.intake, crawler.stats, crawl.findings)

    async def process_item(self, item: object) -> object:
        """Return the typed form of an answer, and any other item unchanged.

        Raises `DropItem` if the answer went to quarantine instead.
        """
        if isinstance(item, DetailAnswer) and item.is_put_aside:
            await self._intake.keep(item, self._intake.recorder.set_aside(item, HOLLOW))
            raise DropItem(HOLLOW, log_level="DEBUG")
        try:
            if isinstance(item, DetailAnswer):
                detail = validate_detail(item)
                self._count(item.endpoint, detail.parsed, item.star_id)
                self._intake.fields.add(item.endpoint, item.envelope.data, item.star_id)
                return detail
            if isinstance(item, SearchAnswer):
                page = validate_page(item)
                for rank, (star_id, parsed) in page.authors.items():
                    self._count(SEARCH.name, parsed, star_id)
                    self._intake.fields.add(SEARCH.name, page.page.authors[rank - 1], star_id)
                return page
        except Exception as error:
            assert isinstance(item, DetailAnswer | SearchAnswer)
            if not isinstance(error, IdentityError):  # a defect of this project; the answer was billed
                logger.exception("Could not store %s: kept as it came", item)
            reason = reason_of(error)
            await self._intake.keep(item, self._intake.recorder.set_aside(item, reason))
            raise DropItem(reason, log_level=self._level(item, without_ids(reason))) from None
        return item

    def _level(self, answer: DetailAnswer | SearchAnswer, reason: str) -> str | None:
        """Return the log level of the message about a quarantined answer; None for the default."""
        endpoint = answer.endpoint if isinstance(answer, DetailAnswer) else SEARCH.name
        self._quarantined[endpoint, reason] += 1
        if self._quarantined[endpoint, reason] <= _LOGGED:
            return None
        if self._quarantined[endpoint, reason] == _LOGGED + 1:
            logger.warning("Further answers of %s in quarantine are only counted: %s", endpoint, reason)
        return "DEBUG"

    def _count(self, endpoint: str, parsed: Parsed, star_id: str) -> None:
        self._intake.misfits.count(endpoint, parsed, star_id=star_id)
        if parsed.is_anonymous:
            self._findings.add(
                "ids_absent", f"{{count}} answers of {endpoint} lack the author's id", example=star_id, key=endpoint
            )
        if parsed.unparsed:
            self._stats.inc_value(f"xingtu/unparsed/{endpoint}", len(parsed.unparsed))
        if parsed.unknown_fields:
            self._stats.inc_value(f"xingtu/unknown_fields/{endpoint}", len(parsed.unknown_fields))
