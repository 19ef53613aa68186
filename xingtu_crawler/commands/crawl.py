"""`scrapy crawl`: check what can be checked before the crawl starts, and exit with its outcome.

Exit codes: 0 for the verdicts complete, limited and capped; 1 for suspicious, incomplete and failed; 2 the user has to
correct something first, and no call was made. docs/close-reasons.md has the whole table.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar

from scrapy.commands.crawl import Command as ScrapyCrawl
from scrapy.crawler import Crawler

from xingtu_crawler.arguments.wording import nearest, shown
from xingtu_crawler.commands.base import ProjectCommand
from xingtu_crawler.dataset.crawl_summary import render
from xingtu_crawler.engine.feeds import check_feeds, writes_to_stdout
from xingtu_crawler.engine.log import logger_levels, redacted
from xingtu_crawler.engine.scrapy_settings import check_log
from xingtu_crawler.engine.streams import secure_log
from xingtu_crawler.exceptions import ArgumentError, UserError
from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.extensions.progress import Progress
from xingtu_crawler.options import Options
from xingtu_crawler.outcome import SECONDS_STAT, Outcome
from xingtu_crawler.spiders.base import XingtuSpider

_CHATTY = ("scrapy.middleware", "scrapy.addons", "scrapy.core.engine", "scrapy.utils.log")
"""Loggers that list components and settings at INFO: of interest when debugging."""


def _no_settings(record: logging.LogRecord) -> bool:
    """Let pass what `scrapy.crawler` logs about Ctrl-C, but not its list of settings."""
    return not str(record.msg).startswith("Overridden settings")


class Command(ProjectCommand, ScrapyCrawl):
    """Run a spider."""

    requires_crawler_process = True
    default_settings: ClassVar[dict[str, Any]] = {}

    def syntax(self) -> str:
        """Return the usage after the command's name."""
        return "[options] <spider> -a NAME=VALUE …"

    def long_desc(self) -> str:
        """Return what `scrapy crawl -h` prints."""
        return "Run a spider: author_square or authors. docs/arguments.md lists their arguments (-a)."

    def process_options(self, args: list[str], opts: argparse.Namespace) -> None:
        """Apply the options; exit if a setting is wrong, as Scrapy sets the log up before it runs the command."""
        with self.one_error_line():
            _refuse_repeated(opts.spargs)
        super().process_options(args, opts)
        with self.one_error_line():
            _ = self.options
            assert self.settings is not None
            check_log(self.settings)
        if self.exitcode:
            sys.exit(self.exitcode)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        """Check, crawl, and set the exit code."""
        _refuse_options(args)
        assert self.crawler_process is not None
        sys.excepthook = print_redacted
        crawler = self.checked_crawler(args, opts.spargs)
        end_on_hangup()
        with self.less_log():
            self.crawler_process.crawl(crawler, **opts.spargs)
            self.crawler_process.start()
        # After a second Ctrl-C the event loop stops without a signal to the extensions.
        if (progress := crawler.get_extension(Progress)) is not None:
            progress.stop()
        self.exitcode = self._report(crawler)
        sys.excepthook = sys.__excepthook__

    def checked_crawler(self, args: list[str], arguments: dict[str, str]) -> Crawler:
        """Return the crawler of the spider that `args` names, after a check of its arguments, settings and tokens."""
        assert self.crawler_process is not None
        words = self.positional(args, at_most=1)
        if not words:
            raise ArgumentError(
                f"Name one spider: scrapy {self.name} author_square -a …, or scrapy {self.name} authors -a …"
            )
        name, names = words[0], self.crawler_process.spider_loader.list()
        if name not in names:
            hint = nearest(name, names)
            choice = f"did you mean {hint}?" if hint else f"name one of {', '.join(names)}."
            raise UserError(f"There is no spider {name!r}: {choice}")
        crawler = self.crawler_process.create_crawler(name)
        secure_log()  # a crawler opens the log once more
        if issubclass(crawler.spidercls, XingtuSpider):
            crawler.spidercls(**arguments)
            Options.read(crawler.settings).token_pool()
            check_feeds(crawler)
        return crawler

    @contextmanager
    def less_log(self) -> Iterator[None]:
        """Leave out what Scrapy logs about its components and settings in the block, unless the log level is DEBUG."""
        if self.options.log_level <= logging.DEBUG:
            yield
            return
        logger = logging.getLogger("scrapy.crawler")
        logger.addFilter(_no_settings)
        try:
            with logger_levels(dict.fromkeys(_CHATTY, logging.WARNING)):
                yield
        finally:
            logger.removeFilter(_no_settings)

    def _report(self, crawler: Crawler) -> int:
        """Print the summary of the crawl and return the exit code."""
        assert self.crawler_process is not None
        if not issubclass(crawler.spidercls, XingtuSpider):
            return int(self.crawler_process.bootstrap_failed)
        try:
            stats = crawler.stats
        except RuntimeError:  # it failed before it had any
            return 1
        if stats.get_value("finish_reason") is None:
            return 1
        values, crawl = stats.get_stats(), crawler.get_extension(Crawl)
        outcome = Outcome.of(
            values,
            values["finish_reason"],
            seconds=values.get(SECONDS_STAT, 0.0),
            collected=crawl.findings if crawl else (),
        )
        code = outcome.exit_code()
        if self.options.logs_to_terminal:
            if code != 2:
                self.show(render(outcome, sandbox=self.options.is_sandbox), to_stderr=writes_to_stdout(crawler))
        elif outcome.refusal is not None:
            sys.stderr.write(f"error: {redacted(outcome.refusal)}\n")
        return code


def _refuse_repeated(arguments: list[str]) -> None:
    """Raise `ArgumentError` for an argument that is given twice: Scrapy would take the last one."""
    names = Counter(argument.partition("=")[0] for argument in arguments)
    for name, count in names.items():
        if count > 1:
            raise ArgumentError(f"{shown(name)}= is given {count} times: give it once.")


def _refuse_options(args: list[str]) -> None:
    """Raise `ArgumentError` for an option that does not exist."""
    for word in args:
        if word.startswith("-"):
            name = shown(word.partition("=")[0])
            raise ArgumentError(f"Unknown option {name}: write arguments of a spider as -a {name.lstrip('-')}=VALUE.")


def end_on_hangup() -> None:
    """End the crawl at SIGHUP, when the terminal closes, as at SIGTERM; `nohup` keeps its meaning."""
    number = getattr(signal, "SIGHUP", None)  # Windows has none
    if number is None or signal.getsignal(number) is signal.SIG_IGN:
        return

    def end(_number: int, _frame: object) -> None:
        # The kernel and the shell may both send it; a second SIGTERM would end the crawl at once.
        signal.signal(number, signal.SIG_IGN)
        signal.raise_signal(signal.SIGTERM)

    signal.signal(number, end)


def print_redacted(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:  # pragma: no cover - the interpreter calls it while it exits
    """Print the traceback of an uncaught exception without tokens; for `sys.excepthook`."""
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))
