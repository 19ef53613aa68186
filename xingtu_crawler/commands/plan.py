"""`scrapy plan`: what a crawl would come to, before its first detail call. Reads one page of the search at most.

The work is done in `dataset/estimate`; here is what needs the spider: its arguments, and the crawl of that page.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from scrapy import signals
from scrapy.commands import ScrapyCommand
from scrapy.crawler import Crawler
from scrapy.settings import get_settings_priority

from xingtu_crawler.commands.crawl import Command as CrawlCommand
from xingtu_crawler.commands.crawl import print_redacted
from xingtu_crawler.commands.words import WIDTH_IN_A_PIPE, one_line, refuse
from xingtu_crawler.dataset.estimate import Estimate, Span, SquareLimits, experience, left_today, of_square, together
from xingtu_crawler.dataset.forecast import forecast, render
from xingtu_crawler.exceptions import ArgumentError, PlanError, UserError
from xingtu_crawler.extensions.refusal import REFUSAL_STAT
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.options import Options
from xingtu_crawler.outcome import NEXT_STEP, Outcome
from xingtu_crawler.spiders.author_square import AuthorSquareSpider
from xingtu_crawler.spiders.authors import AuthorsSpider
from xingtu_crawler.spiders.base import XingtuSpider
from xingtu_crawler.storage.claims import Preview, details_of
from xingtu_crawler.storage.reader import told_in_one_line
from xingtu_crawler.storage.store import Store

_NO_CONTENT = ("search/201 ", "search/202 ")
_NOT_TO_BE_HAD = "Type the same command again, or add --no-calls for what is known without it."
_NOTHING = Estimate(
    "exact",
    Span(0, 0),
    Span(1, 1),
    Span(0, 0),
    0,
    ("The API knows of no author for this query; a crawl would only ask page 1 again.",),
)


class Command(CrawlCommand):
    """Say what a crawl would come to."""

    def syntax(self) -> str:
        """Return the arguments in words."""
        return "[options] <spider> -a NAME=VALUE …"

    def short_desc(self) -> str:
        """Return what the command does."""
        return "Say how many calls a crawl would make, how long it takes and what it costs"

    def long_desc(self) -> str:
        """Return what `scrapy plan -h` says."""
        return (
            "Say what scrapy crawl with the same arguments would come to. For author_square this reads the first page "
            "of each query, once: it is stored, and the crawl goes on behind it. With --no-calls, and for authors, no "
            "call is made."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add this command's options to Scrapy's own; feeds are none of its business."""
        ScrapyCommand.add_options(self, parser)
        parser.set_defaults(output=None, overwrite_output=None)
        group = parser.add_argument_group("Plan")
        group.add_argument(
            "-a", dest="spargs", action="append", default=[], metavar="NAME=VALUE", help="spider argument (repeatable)"
        )
        group.add_argument("--no-calls", action="store_true", help="make no call: say what MongoDB knows")
        group.add_argument("--json", action="store_true", help="one JSON object, for scripts")

    def process_options(self, args: list[str], opts: argparse.Namespace) -> None:
        """Log warnings only, unless a level was typed: the crawl of one page is not what is to be read."""
        super().process_options(args, opts)
        assert self.settings is not None
        if (self.settings.getpriority("LOG_LEVEL") or 0) < get_settings_priority("cmdline"):
            self.settings.set("LOG_LEVEL", "WARNING", priority="cmdline")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Print the plan.

        What is wrong is one line on standard error: exit code 2 where nothing was asked, 1 where page 1 was not had.
        """
        sys.excepthook = print_redacted
        with one_line(self):
            plan = self._plan(args, opts.spargs, no_calls=opts.no_calls)
            if opts.json:
                sys.stdout.write(json.dumps(plan) + "\n")
            else:
                Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_PIPE).print(render(plan))

    def _plan(self, args: Sequence[str], arguments: dict[str, str], *, no_calls: bool) -> dict[str, Any]:
        assert self.settings is not None
        names = [word for word in args if not word.startswith("-")]
        refuse(
            [word for word in args if word.startswith("-")] + names[1:],
            command="plan",
            options=("-a", "--no-calls", "--json"),
        )
        if not names:
            raise ArgumentError("Name one spider: scrapy plan author_square -a …, or scrapy plan authors -a …")
        crawler = self._checked(names[0], arguments)
        spider = crawler.spidercls(**arguments)
        assert isinstance(spider, XingtuSpider)
        made, empty = 0, frozenset[str]()
        # Beside the crawler process, whose own event loop must stay what it is.
        with self._server(), asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            if isinstance(spider, AuthorSquareSpider) and not no_calls and runner.run(self._lacks_page(spider)):
                made, empty = self._read_pages(crawler, arguments)
            return runner.run(self._forecast(spider, made=made, empty=empty))

    def _server(self) -> EmbeddedMongo | nullcontext[None]:
        """Return what keeps the embedded MongoDB up from the first question to the last."""
        assert self.settings is not None
        options = Options.read(self.settings)
        if options.mongo_uri:
            return nullcontext()
        return EmbeddedMongo(options.embedded_folder, min_free_bytes=options.embedded_min_free)

    async def _open(self) -> Store:
        assert self.settings is not None
        return await Store.open(Options.read(self.settings), history=False)

    async def _lacks_page(self, spider: AuthorSquareSpider) -> bool:
        """Return whether page 1 of a query is to be read: the sweep with which the crawl goes on, if any, lacks it."""
        if spider.arguments.restart:
            return False  # the crawl would begin with page 1, and pay for it, once more
        newer_than = datetime.now(UTC) - spider.details.max_age
        store = await self._open()
        try:
            with told_in_one_line():
                found = [
                    await store.sweeps.find_open(query.key, newer_than=newer_than, limits=spider.arguments.limits)
                    for query in spider.arguments.queries
                ]
        finally:
            await store.close()
        return any(sweep is None or sweep.next_page == 1 for sweep in found)

    def _read_pages(self, crawler: Crawler, arguments: dict[str, str]) -> tuple[int, frozenset[str]]:
        """Read first pages as a crawl does; return how many calls that took, and for which queries there is nothing.

        Raises `UserError` where a page could not be had.
        """
        assert self.settings is not None
        assert self.crawler_process is not None

        def set_planning(spider: AuthorSquareSpider) -> None:
            spider.planning = True

        crawler.signals.connect(set_planning, signal=signals.spider_opened)
        self._quieten()
        logging.getLogger("xingtu_crawler.extensions.refusal").setLevel(logging.CRITICAL)  # `run` says it
        self.crawler_process.crawl(crawler, **arguments)
        self.crawler_process.start()
        try:
            stats = crawler.stats
        except RuntimeError:  # it failed before it had any, and has said why
            raise PlanError("The crawl of page 1 did not start.") from None
        reason = stats.get_value("finish_reason")
        outcome = Outcome.of(stats.get_stats(), reason or "", seconds=0)
        if reason != "planned":
            refusal = stats.get_value(REFUSAL_STAT)
            said = refusal or f"Page 1 of the search was not read ({reason}): {NEXT_STEP.get(reason, _NOT_TO_BE_HAD)}"
            raise (PlanError if outcome.calls else UserError)(said)
        if failures := [each for each in outcome.failures if not each.startswith(_NO_CONTENT)]:
            raise PlanError(f"Page 1 of the search could not be had ({failures[0]}). {_NOT_TO_BE_HAD}")
        planned = crawler.spider
        assert isinstance(planned, AuthorSquareSpider)
        return outcome.calls, planned.empty_queries

    async def _forecast(self, spider: XingtuSpider, *, made: int, empty: frozenset[str]) -> dict[str, Any]:
        assert self.settings is not None
        now, options = datetime.now(UTC), Options.read(self.settings)
        store = await self._open()
        try:
            with told_in_one_line():
                spider.claims = Preview(store.database, store.outages)
                spider.worklist = store.worklist
                spider.run_started_at = now
                return forecast(
                    await _estimate(spider, store, empty=empty),
                    await experience(store.database),
                    spider=spider.name,
                    arguments=spider.typed_arguments,
                    max_rate=options.max_rate * len(options.token_pool()),
                    max_calls=spider.max_calls,
                    daily_cap=options.daily_calls,
                    daily_left=await left_today(store.database, options.daily_calls, now),
                    calls_made=made,
                )
        finally:
            await store.close()


async def _estimate(spider: XingtuSpider, store: Store, *, empty: frozenset[str]) -> Estimate:
    """Estimate by the spider's own code: what it would claim is what would be asked."""
    if isinstance(spider, AuthorsSpider):
        calls = 0
        tally: Counter[str] = Counter()
        spider.tally = lambda what, count: tally.update({what: count})
        async for questions in spider.detail_batches():
            calls += len(questions)
        return Estimate(
            "exact", Span(tally["authors"], tally["authors"]), Span(0, 0), Span(calls, calls), tally["fresh"]
        )
    assert isinstance(spider, AuthorSquareSpider)

    async def count_missing(star_ids: Sequence[str], since: datetime | None) -> int:
        details = spider.details
        newer_than = spider.newer_than if since is None else max(since, spider.newer_than)
        return len(
            await spider.claims.claim(
                details_of(star_ids, details.platforms, details.endpoints),
                newer_than=newer_than,
                terminal=details.terminal,
            )
        )

    limits = SquareLimits(
        max_pages=spider.arguments.max_pages,
        max_authors=spider.details.max_authors,
        per_author=len(spider.details.platforms) * len(spider.details.endpoints),
        restart=spider.arguments.restart,
        newer_than=spider.newer_than,
    )
    estimates = [
        _NOTHING if query.key in empty else await of_square(store.sweeps, query.key, limits, count_missing)
        for query in spider.arguments.queries
    ]
    return together(estimates, limits)
