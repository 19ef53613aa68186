"""Logging: a record that blots out tokens whoever logs it, and Scrapy's messages without whole items in them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Self

from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.logformatter import LogFormatter, LogFormatterResult
from twisted.python.failure import Failure

from xingtu_crawler.api.secrets import Redactor
from xingtu_crawler.options import Options

_tokens: set[str] = set()
_redactor = Redactor(())


class RedactingRecord(logging.LogRecord):
    """A log record whose message, traceback and stack never show a token.

    Redaction happens when the text is made, so a record that no handler wants costs nothing.
    """

    def getMessage(self) -> str:  # noqa: N802 - the name is the standard library's
        """Return the message with tokens blotted out."""
        try:
            message = super().getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit: logging would report them as they are
            message = f"{self.msg} {self.args}"
        return _redactor.text(message)

    def __setattr__(self, name: str, value: Any) -> None:
        # Formatters render tracebacks into `exc_text` and print `stack_info`, whatever logger they serve.
        if name in {"exc_text", "stack_info"} and isinstance(value, str):
            value = _redactor.text(value)
        super().__setattr__(name, value)


def protect(tokens: Iterable[str]) -> None:
    """Blot these tokens out of everything that is logged from now on, by any library, in this process."""
    global _redactor  # noqa: PLW0603 - logging's record factory is global to the process, and so is this
    _tokens.update(token for token in tokens if token.strip())
    _redactor = Redactor(_tokens)
    logging.setLogRecordFactory(RedactingRecord)


def redacted(text: str) -> str:
    """Return `text` with every protected token blotted out."""
    return _redactor.text(text)


class XingtuLogFormatter(LogFormatter):
    """Scrapy's messages, without the items: an answer is up to 70 kB, and a million of them fill a disk.

    What is said of every single call is not even put together where the log's level leaves it out.
    """

    def __init__(self, *, every_call: bool = True) -> None:
        super().__init__()
        self._every_call = every_call

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Read the level of the log, below which PyMongo makes no record any more.

        Scrapy leaves that to its handler: every record is made first, and PyMongo makes four for each command.
        """
        number = Options.read(crawler.settings).log_level
        logging.getLogger("pymongo").setLevel(number)
        return cls(every_call=number <= logging.DEBUG)

    def crawled(  # type: ignore[override]  # None is documented: nothing is logged then
        self, request: Request, response: Response, spider: Spider
    ) -> LogFormatterResult | None:
        """Say which call was answered."""
        return super().crawled(request, response, spider) if self._every_call else None

    def scraped(  # type: ignore[override]
        self, item: Any, response: Response | Failure | None, spider: Spider
    ) -> LogFormatterResult | None:
        """Say which answer was stored."""
        if not self._every_call:
            return None
        return {"level": logging.DEBUG, "msg": "Stored %(item)s", "args": {"item": item}}

    def dropped(
        self, item: Any, exception: BaseException, response: Response | Failure | None, spider: Spider
    ) -> LogFormatterResult:
        """Say which answer went to quarantine, and why; or what else kept it from being stored, at the level given."""
        level: int | str | None = getattr(exception, "log_level", None)
        if level is not None:
            number = level if isinstance(level, int) else logging.getLevelNamesMapping()[level]
            return {
                "level": number,
                "msg": "Not stored: %(item)s (%(reason)s)",
                "args": {"item": item, "reason": exception},
            }
        return {
            "level": logging.WARNING,
            "msg": "Quarantined %(item)s: %(reason)s",
            "args": {"item": item, "reason": exception},
        }

    def item_error(
        self, item: Any, exception: BaseException, response: Response | Failure | None, spider: Spider
    ) -> LogFormatterResult:
        """Say which answer could not be stored."""
        return {"level": logging.ERROR, "msg": "Could not store %(item)s", "args": {"item": item}}

    def download_error(
        self, failure: Failure, request: Request, spider: Spider, errmsg: str | None = None
    ) -> LogFormatterResult:
        """Say which request ended in an error that nothing handled."""
        return {"level": logging.ERROR, "msg": "Error downloading %(request)s", "args": {"request": request}}
