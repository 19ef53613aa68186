"""Scrapy's own settings: refused in one line where Scrapy would raise, and reported where they have no effect.

What form a value must have follows from the type of Scrapy's default. `options.py` has the settings of this project,
and those of Scrapy's that this project reads itself.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.settings import BaseSettings, default_settings
from scrapy.utils.misc import load_object

from xingtu_crawler.exceptions import UserError
from xingtu_crawler.options import SCRAPY, fields

logger = logging.getLogger(__name__)

_PACE = "CONCURRENT_REQUESTS limits the calls in flight, XINGTU_MAX_RATE the pace"
_ATTEMPTS = "XINGTU_MAX_ATTEMPTS limits the attempts of a request"
WITHOUT_EFFECT = {
    "CONCURRENT_REQUESTS_PER_DOMAIN": _PACE,
    "CONCURRENT_REQUESTS_PER_IP": _PACE,
    "RANDOMIZE_DOWNLOAD_DELAY": _PACE,
    "DOWNLOAD_DELAY_JITTER": _PACE,
    "AUTOTHROTTLE_START_DELAY": _PACE,
    "AUTOTHROTTLE_MAX_DELAY": _PACE,
    "AUTOTHROTTLE_TARGET_CONCURRENCY": _PACE,
    "RETRY_TIMES": _ATTEMPTS,
    "RETRY_HTTP_CODES": _ATTEMPTS,
    "DEPTH_LIMIT": "max_pages= limits the pages of a search",
    "JOBDIR": "run the same command again to go on where a crawl stopped",
}
"""Settings that a crawl of this project does not read, with what to use in their place."""

_FRACTIONS = {"DNS_TIMEOUT", "DOWNLOAD_DELAY"}
"""Settings with a whole number as their default that Scrapy reads as a decimal one."""
_NEGATIVE = {"DEPTH_PRIORITY", "REDIRECT_PRIORITY_ADJUST", "RETRY_PRIORITY_ADJUST", "FEED_EXPORT_INDENT"}
_CHECKED_BY_OPTIONS = {name for name, _ in fields(SCRAPY)}
_REACTOR = default_settings.TWISTED_REACTOR


def check_values(values: Mapping[str, Any]) -> None:
    """Raise `UserError` for the first setting with a value that Scrapy cannot use; `Options` checks its own."""
    for name, value in values.items():
        if (
            name not in _CHECKED_BY_OPTIONS
            and (form := _form_of(name)) is not None
            and not _is_readable(form.read, value)
        ):
            raise UserError(f"{name} is {str(value)!r}: it must be {form.looks}.")


def check_settings(settings: BaseSettings) -> None:
    """Raise `UserError` for the first of Scrapy's settings that is set to a value that Scrapy cannot use."""
    check_values({name: settings[name] for name in vars(default_settings) if _is_set(settings, name)})


def check_log(settings: BaseSettings) -> None:
    """Raise `UserError` if the log cannot be written as the settings say: Scrapy opens it before it runs a command."""
    if not (file := settings.get("LOG_FILE")):
        return
    try:
        with Path(file).open("a", encoding=settings["LOG_ENCODING"]):
            pass
    except OSError as error:
        raise UserError(
            f"The log cannot be written to {file} ({error.strerror}): name another file with --logfile or LOG_FILE."
        ) from None


class WithoutEffect:
    """The extension that logs which of the user's settings have no effect."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Log them, and raise `NotConfigured`: nothing is left to be done."""
        for name, instead in WITHOUT_EFFECT.items():
            if _is_set(crawler.settings, name):
                logger.warning("%s has no effect here: %s", name, instead)
        raise NotConfigured


def _is_set(settings: BaseSettings, name: str) -> bool:
    return (settings.getpriority(name) or 0) > 0


def _is_readable(read: Callable[[Any], object], value: Any) -> bool:
    try:
        read(value)
    except Exception:  # noqa: BLE001 - importing a module can raise anything
        return False
    return True


class _Form(NamedTuple):
    """What a value of a setting looks like, and what raises for any other."""

    looks: str
    read: Callable[[Any], object]


def _switch(value: Any) -> None:
    if value not in {"True", "true", "False", "false"}:
        int(value)


def _number(value: Any, *, is_whole: bool, least: float) -> None:
    number = int(value) if is_whole else float(value or 0)
    if not (math.isfinite(number) and number >= least):
        raise ValueError(value)


def _object(value: Any) -> dict[Any, Any]:
    found = json.loads(value) if isinstance(value, str) else value
    return dict(found.items())


def _components(value: Any) -> None:
    for path, order in _object(value).items():
        load_object(path)
        if order is not None:
            _number(order, is_whole=True, least=-math.inf)


def _reactor(value: Any) -> None:
    if value != _REACTOR:
        raise ValueError(value)


def _log_format(value: Any) -> None:
    """Format a record: with a field that records lack, logging would drop every line in silence."""
    logging.Formatter(value).format(logging.makeLogRecord({}))


def _periodic(value: Any) -> None:
    if value not in (True, "True", None):
        _object(value)


_SWITCH = _Form("0 or 1", _switch)
_OBJECT = _Form("a JSON object", _object)
_CLASS = _Form("the import path of a class", lambda value: value is None or load_object(value))
_FORMS = {
    **dict.fromkeys(
        ("LOG_ENCODING", "FEED_EXPORT_ENCODING", "HTTPPROXY_AUTH_ENCODING"),
        _Form("the name of a text encoding, such as utf-8", lambda value: "".encode(value or "utf-8")),
    ),
    **dict.fromkeys(
        ("ADDONS", "DOWNLOADER_MIDDLEWARES", "EXTENSIONS", "ITEM_PIPELINES", "SPIDER_MIDDLEWARES"),
        _Form("a JSON object of import paths and numbers", _components),
    ),
    **dict.fromkeys(("PERIODIC_LOG_DELTA", "PERIODIC_LOG_STATS"), _Form("True or a JSON object", _periodic)),
    "ASYNCIO_EVENT_LOOP": _CLASS,
    "FEEDS": _Form('a JSON object such as {"authors.jsonl": {"format": "jsonlines"}}', _object),
    "LOG_FORMAT": _Form("a format of Python's logging, such as %(asctime)s %(message)s", _log_format),
    "TELNETCONSOLE_ENABLED": _SWITCH,
    "TWISTED_REACTOR": _Form(f"{_REACTOR}, on which the HTTP client depends", _reactor),
}
"""The settings whose form does not follow from the type of the default."""


def _form_of(name: str) -> _Form | None:
    """Return the form of a setting; None where anything goes."""
    default = getattr(default_settings, name, None)
    if name in _FORMS:
        return _FORMS[name]
    if isinstance(default, bool):
        return _SWITCH
    if isinstance(default, int | float):
        is_whole = isinstance(default, int) and name not in _FRACTIONS
        least = -math.inf if name in _NEGATIVE else 0
        looks = ("a whole number" if is_whole else "a number") + ("" if name in _NEGATIVE else ", 0 or more")
        return _Form(looks, lambda value: _number(value, is_whole=is_whole, least=least))
    if isinstance(default, dict):
        return _OBJECT
    is_class = isinstance(default, str) and default.startswith("scrapy.") and name != "REFERRER_POLICY"
    return _CLASS if is_class else None
