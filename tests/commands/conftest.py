"""Commands that stand beside crawls are tested with the crawls' own fixtures."""

from __future__ import annotations

from tests.crawl.conftest import make_crawler, start_sandbox

__all__ = ["make_crawler", "start_sandbox"]
