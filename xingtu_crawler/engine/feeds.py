"""Feeds: exporters for formats without nested values, and a check before the first paid call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scrapy import Field
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.exporters import BaseItemExporter, CsvItemExporter, XmlItemExporter
from scrapy.extensions.feedexport import FeedExporter

from xingtu_crawler.exceptions import ArgumentError

_NOT_IN_XML = str.maketrans({"\ufffe": r"\ufffe", "\uffff": r"\uffff"})


class _NestedAsJson(BaseItemExporter):
    """Writes a field whose metadata say `nested` as JSON text, and any other field as Scrapy does.

    Keys of a document can be data (`3C数码`), which no XML element and no CSV column can be named after.
    """

    def serialize_field(self, field: Mapping[str, Any] | Field, name: str, value: Any) -> Any:
        """Return the value of a field as the format holds it."""
        if field.get("nested"):
            return json.dumps(value, ensure_ascii=False).translate(_NOT_IN_XML)
        return super().serialize_field(field, name, value)


class CsvExporter(_NestedAsJson, CsvItemExporter):
    """Scrapy's CSV exporter; `data` and `crawl` of a record are JSON text."""


class XmlExporter(_NestedAsJson, XmlItemExporter):
    """Scrapy's XML exporter; `data` and `crawl` of a record are JSON text."""


def check_feeds(crawler: Crawler) -> None:
    """Raise `ArgumentError` if Scrapy cannot write the feeds of a crawl: it would crawl without them."""
    if not crawler.settings["FEEDS"]:
        return
    try:
        FeedExporter(crawler)
    except NotConfigured:
        reason = "the line above says why. Known formats: " + ", ".join(
            sorted(name for name, path in crawler.settings.getwithbase("FEED_EXPORTERS").items() if path)
        )
        raise ArgumentError(f"FEEDS cannot be written: {reason}.") from None
    except (ValueError, TypeError, AttributeError):
        raise ArgumentError(
            'FEEDS cannot be read: it must be a JSON object such as {"authors.jsonl": {"format": "jsonlines"}}.'
        ) from None


def writes_to_stdout(crawler: Crawler) -> bool:
    """Return whether a feed goes to standard output (`-O -:jsonlines`)."""
    return any(str(uri).startswith("stdout:") for uri in crawler.settings["FEEDS"])
