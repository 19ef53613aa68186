"""`scrapy crawl`: checks what can be checked before anything starts, and exits with what the crawl came to.

Exit codes: 0 the crawl did its job; 1 it did not, or not all of it; 2 something has to be put right first, and
nothing was asked.
"""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from types import TracebackType

from rich.console import Console
from scrapy.commands.crawl import Command as ScrapyCrawl
from scrapy.crawler import Crawler
from scrapy.exceptions import UsageError

from xingtu_crawler.arguments.wording import nearest, shown
from xingtu_crawler.commands.words import one_line
from xingtu_crawler.dataset.summary import render
from xingtu_crawler.engine.log import redacted
from xingtu_crawler.exceptions import ArgumentError, UserError
from xingtu_crawler.extensions.progress import Progress
from xingtu_crawler.extensions.refusal import REFUSAL_STAT
from xingtu_crawler.options import Options
from xingtu_crawler.outcome import SECONDS_STAT, Outcome

_CHATTY = ("scrapy.middleware", "scrapy.addons", "scrapy.core.engine", "scrapy.utils.log")
"""Loggers that list components and settings at INFO: of interest when debugging."""


def _no_settings(record: logging.LogRecord) -> bool:
    """Pass what `scrapy.crawler` says of Ctrl-C, and not its list of settings."""
    return not str(record.msg).startswith("Overridden settings")


class Command(ScrapyCrawl):
    """Run a spider."""

    def long_desc(self) -> str:
        """Return what `scrapy crawl -h` says."""
        return "Run a spider: author_square or authors. README.md lists their arguments (-a)."

    def process_options(self, args: list[str], opts: argparse.Namespace) -> None:
        """Take over what was typed with options; raise `UsageError` where the log could not be set up."""
        super().process_options(args, opts)
        assert self.settings is not None
        try:
            Options.read({"LOG_LEVEL": self.settings["LOG_LEVEL"]})
        except UserError as error:
            raise UsageError(str(error), print_help=False) from None

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Check, crawl, and set the exit code."""
        with one_line(self):
            _refuse_options(args, opts)
            self._run(args, opts)

    def _run(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1:
            raise UsageError("name one spider: scrapy crawl author_square -a …, or scrapy crawl authors -a …")
        assert self.settings is not None
        assert self.crawler_process is not None
        sys.excepthook = print_redacted
        crawler = self._checked(args[0], opts.spargs)
        self._quieten()
        self.crawler_process.crawl(crawler, **opts.spargs)
        self.crawler_process.start()
        # After a second Ctrl-C nobody else does: the event loop has been stopped under the crawl.
        if (progress := crawler.get_extension(Progress)) is not None:
            progress.stop()
        self.exitcode = self._report(crawler)

    def _checked(self, name: str, arguments: dict[str, str]) -> Crawler:
        """Return the crawler of a spider whose arguments and settings have been read once without an error."""
        assert self.settings is not None
        assert self.crawler_process is not None
        names = self.crawler_process.spider_loader.list()
        if name not in names:
            hint = nearest(name, names)
            raise UserError(
                f"There is no spider {name!r}: "
                + (f"did you mean {hint}?" if hint else f"name one of {', '.join(names)}.")
            )
        crawler = self._create_crawler(name)
        crawler.spidercls(**arguments)
        Options.read(crawler.settings).token_pool()
        return crawler

    def _quieten(self) -> None:
        assert self.settings is not None
        if Options.read(self.settings).log_level > logging.DEBUG:
            for name in _CHATTY:
                logging.getLogger(name).setLevel(logging.WARNING)
            logging.getLogger("scrapy.crawler").addFilter(_no_settings)

    def _report(self, crawler: Crawler) -> int:
        """Print what the crawl came to and return the exit code."""
        assert self.settings is not None
        try:
            stats = crawler.stats
        except RuntimeError:  # it failed before it had any
            return 1
        if stats.get_value("finish_reason") is None:
            return 1
        refusal = stats.get_value(REFUSAL_STAT)
        values = stats.get_stats()
        outcome = Outcome.of(values, values["finish_reason"], seconds=values.get(SECONDS_STAT, 0.0))
        options = Options.read(self.settings)
        if refusal is not None:
            if not options.logs_to_terminal:
                sys.stderr.write(f"error: {redacted(refusal)}\n")
            if outcome.calls == 0:
                return 2
        if options.logs_to_terminal:
            Console().print(render(outcome, sandbox=options.is_sandbox))
        return 0 if outcome.did_its_job else 1


def _refuse_options(args: list[str], opts: argparse.Namespace) -> None:
    """Raise `ArgumentError` for an option that does not exist, or that this project has no use for."""
    for word in args:
        if word.startswith("-"):
            name = shown(word.partition("=")[0])
            raise ArgumentError(
                f"Unknown option {name}: arguments of a spider are typed as -a {name.lstrip('-')}=VALUE."
            )
    if opts.output or opts.overwrite_output:
        raise ArgumentError(
            "-o and -O do not hold documents here, they are in MongoDB: scrapy find authors --limit 0 > FILE."
        )


def print_redacted(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:  # pragma: no cover - the interpreter calls it while it dies
    """Print the traceback of what nobody caught, tokens blotted out; for `sys.excepthook`."""
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))
