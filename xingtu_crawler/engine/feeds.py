"""Feeds: exporters for formats without nested values, and a check before the first paid call."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

from scrapy import Field, Spider
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.exporters import BaseItemExporter, CsvItemExporter, XmlItemExporter
from scrapy.extensions.feedexport import FeedExporter, StdoutFeedStorage

from xingtu_crawler.engine.streams import discard_output
from xingtu_crawler.exceptions import ArgumentError

logger = logging.getLogger(__name__)

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


class StdoutStorage(StdoutFeedStorage):
    """Standard output as a feed; where its reader has read enough (`| head`), the crawl goes on without it."""

    def open(self, spider: Spider) -> IO[bytes]:
        """Return the file that the exporter writes to."""
        return cast("IO[bytes]", _OpenEnded(self._stdout))


class _OpenEnded(io.BufferedIOBase):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._has_reader = True

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._has_reader:
            try:
                self._file.write(data)
                self._file.flush()  # an error shows here, and not when the process exits
            except BrokenPipeError:
                self._has_reader = False
                discard_output()
                logger.warning("Standard output was closed: the feed ends here, and the crawl goes on")
        return len(data)


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
    for uri in map(str, crawler.settings["FEEDS"]):
        _check_folder(uri)


def _check_folder(uri: str) -> None:
    """Raise `ArgumentError` if a local file cannot be written."""
    if "://" in uri.removeprefix("file://") or uri.startswith("stdout:"):
        return
    path = Path(uri.removeprefix("file://").partition("%(")[0] or ".")
    if path.is_dir() and "%(" not in uri:
        raise ArgumentError(f"FEEDS cannot be written: {path} is a folder.")
    existing = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not os.access(existing, os.W_OK) or not (existing.is_dir() or existing == path):
        raise ArgumentError(f"FEEDS cannot be written: no file can be written at {path}.")


def writes_to_stdout(crawler: Crawler) -> bool:
    """Return whether a feed goes to standard output (`-O -:jsonlines`)."""
    return any(str(uri).startswith("stdout:") for uri in crawler.settings["FEEDS"])
