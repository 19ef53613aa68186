"""Why a crawl cannot do its job: one line in the log, and the same line for the command that started it."""

from __future__ import annotations

import logging

from scrapy.crawler import Crawler
from scrapy.exceptions import CloseSpider

from xingtu_crawler.exceptions import UserError
from xingtu_crawler.outcome import REFUSAL_STAT

logger = logging.getLogger(__name__)


def refusal(crawler: Crawler, error: UserError, reason: str) -> CloseSpider:
    """Record why the crawl ends and return the exception that ends it while it is being opened."""
    if crawler.stats.get_value(REFUSAL_STAT) is None:
        crawler.stats.set_value(REFUSAL_STAT, str(error))
        logger.error("%s", error)
    return CloseSpider(reason)
