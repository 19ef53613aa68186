"""Logging: records of any library without tokens, and Scrapy's messages without whole items."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from scrapy import Request, Spider
from scrapy.http import Response
from scrapy.logformatter import LogFormatter, LogFormatterResult
from twisted.python.failure import Failure

from xingtu_crawler.api.secrets import Redactor
from xingtu_crawler.engine.exceptions import NoItemError

_tokens: set[str] = set()
_redactor = Redactor(())


class RedactingRecord(logging.LogRecord):
    """A log record whose message, traceback and stack never show a token.

    The record is redacted when its text is formatted, so a record below the handlers' levels costs nothing.
    """

    def getMessage(self) -> str:  # noqa: N802 - the name is the standard library's
        """Return the message with every token replaced by `***`."""
        try:
            message = super().getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not match: logging would print them unredacted
            message = f"{self.msg} {self.args}"
        return _redactor.text(message)

    def __setattr__(self, name: str, value: Any) -> None:
        # Every formatter stores the traceback in `exc_text` and prints `stack_info`.
        if name in {"exc_text", "stack_info"} and isinstance(value, str):
            value = _redactor.text(value)
        super().__setattr__(name, value)


def protect(tokens: Iterable[str]) -> None:
    """Add tokens to those that `redacted` and the records of a `guarded` log hide."""
    global _redactor  # noqa: PLW0603 - logging's record factory is global to the process, and so is this
    _tokens.update(token for token in tokens if token.strip())
    _redactor = Redactor(_tokens)


@contextmanager
def guarded() -> Iterator[None]:
    """Hide the protected tokens in every record that any library of this process makes inside the block."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(RedactingRecord)
    try:
        yield
    finally:
        if logging.getLogRecordFactory() is RedactingRecord:  # else another library has replaced it
            logging.setLogRecordFactory(before)


@contextmanager
def logger_levels(levels: Mapping[str, int]) -> Iterator[None]:
    """Set the levels of loggers, by name, inside the block."""
    before = {logger: logger.level for logger in map(logging.getLogger, levels)}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


def redacted(text: str) -> str:
    """Return `text` with every protected token replaced by `***`."""
    return _redactor.text(text)


class XingtuLogFormatter(LogFormatter):
    """Scrapy's messages without the items: an answer has up to 70 kB, and a million of them fill a disk."""

    def scraped(  # type: ignore[override]
        self, item: Any, response: Response | Failure | None, spider: Spider
    ) -> LogFormatterResult | None:
        """Return the message about a stored item."""
        return {"level": logging.DEBUG, "msg": "Stored %(item)s", "args": {"item": item}}

    def dropped(  # type: ignore[override]
        self, item: Any, exception: BaseException, response: Response | Failure | None, spider: Spider
    ) -> LogFormatterResult | None:
        """Return the message about an item in quarantine or, if the exception names a level, about one not stored."""
        if isinstance(exception, NoItemError):
            return None
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
        """Return the message about an item whose storing failed."""
        return {"level": logging.ERROR, "msg": "Could not store %(item)s", "args": {"item": item}}

    def download_error(
        self, failure: Failure, request: Request, spider: Spider, errmsg: str | None = None
    ) -> LogFormatterResult:
        """Return the message about a request whose error no errback handled."""
        return {"level": logging.ERROR, "msg": "Error downloading %(request)s", "args": {"request": request}}
