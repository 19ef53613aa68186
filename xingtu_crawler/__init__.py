"""Crawl Douyin Xingtu through Just One API into a documented MongoDB dataset.

with xingtu_crawler.open_dataset() as db:
    db.authors.find_one()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xingtu_crawler.access import open_dataset

__version__ = "0.2.0"
__all__ = ["__version__", "open_dataset"]


def __getattr__(name: str) -> Any:
    # Imported on first use: every module imports this one, most of them without Scrapy and PyMongo.
    if name == "open_dataset":
        from xingtu_crawler.access import open_dataset  # noqa: PLC0415

        return open_dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
