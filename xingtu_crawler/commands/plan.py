"""`scrapy plan`: estimate a crawl before its first detail call. It reads at most one search page of each query.

The work is done in `dataset/plan_estimate`; here is what needs the spider: its arguments, and the crawl of that page.
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
from typing import Any, ClassVar

from scrapy.commands import ScrapyCommand
from scrapy.settings import get_settings_priority

from xingtu_crawler.commands.base import OwnOptions
from xingtu_crawler.commands.crawl import Command as CrawlCommand
from xingtu_crawler.commands.crawl import print_redacted
from xingtu_crawler.dataset.plan import plan, render
from xingtu_crawler.dataset.plan_estimate import (
    Estimate,
    Span,
    SquareLimits,
    experience,
    left_today,
    of_square,
    together,
)
from xingtu_crawler.engine.log import logger_levels
from xingtu_crawler.engine.streams import secure_log
from xingtu_crawler.exceptions import ArgumentError, PlanError, UserError
from xingtu_crawler.extensions.context import CrawlContext
from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.outcome import Outcome
from xingtu_crawler.spiders.author_square import AuthorSquareSpider
from xingtu_crawler.spiders.authors import AuthorsSpider
from xingtu_crawler.spiders.base import XingtuSpider
from xingtu_crawler.spiders.first_pages import FirstPages
from xingtu_crawler.storage.claims import Preview, details_of
from xingtu_crawler.storage.store import Store

_NO_CONTENT = ("search/201 ", "search/202 ")
_REMEDY = "Run the same command again, or add --no-calls to plan from MongoDB alone."
_NOTHING = Estimate(
    "exact",
    Span(0, 0),
    Span(1, 1),
    Span(0, 0),
    0,
    ("The API has no author for this query; a crawl would only fetch page 1 again.",),
)


class FirstPagesSpider(AuthorSquareSpider):
    """The author search, which ends after page 1 of each query."""

    search_class = FirstPages


class Command(CrawlCommand):
    """Estimate a crawl."""

    own_options: ClassVar[OwnOptions] = {
        "-a": {
            "dest": "spargs",
            "action": "append",
            "default": [],
            "metavar": "NAME=VALUE",
            "help": "spider argument (repeatable)",
        },
        "--no-calls": {"action": "store_true", "help": "make no call: plan from MongoDB alone"},
        "--json": {"action": "store_true", "help": "print one JSON object, for scripts"},
    }

    def short_desc(self) -> str:
        """Return what the command does."""
        return "Estimate the calls, the time and the cost of a crawl"

    def long_desc(self) -> str:
        """Return what `scrapy plan -h` prints."""
        return (
            "Estimate scrapy crawl with the same arguments. For author_square this fetches the first page of each "
            "query, once: the page is stored, and the crawl goes on behind it. With --no-calls, and for authors, it "
            "makes no call."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add this command's options to Scrapy's own, without those of feeds."""
        ScrapyCommand.add_options(self, parser)
        self.add_own_options(parser)
        parser.set_defaults(output=None, overwrite_output=None)

    def process_options(self, args: list[str], opts: argparse.Namespace) -> None:
        """Log warnings only, unless the user sets a level: the plan is what the user wants to read."""
        assert self.settings is not None
        self.settings.set("LOG_LEVEL", "WARNING", priority=get_settings_priority("cmdline") - 1)
        super().process_options(args, opts)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        """Print the plan; raises `PlanError` if page 1 was requested and could not be fetched."""
        sys.excepthook = print_redacted
        found = self._plan(args, opts.spargs, no_calls=opts.no_calls)
        if opts.json:
            sys.stdout.write(json.dumps(found) + "\n")
        else:
            self.show(render(found))

    def _plan(self, args: list[str], arguments: dict[str, str], *, no_calls: bool) -> dict[str, Any]:
        crawler = self.checked_crawler(args, arguments)
        if not issubclass(crawler.spidercls, XingtuSpider):
            raise ArgumentError(f"{crawler.spidercls.name} is a spider of your own: scrapy plan cannot estimate it.")
        spider = crawler.spidercls(**arguments)
        made, empty = 0, set[str]()
        # Beside the crawler process, whose own event loop must stay what it is.
        with self._server(), asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            if isinstance(spider, AuthorSquareSpider) and not no_calls and runner.run(self._lacks_page(spider)):
                made, empty = self._read_pages(arguments)
            return runner.run(self._estimate(spider, made=made, empty=empty))

    def _server(self) -> EmbeddedMongo | nullcontext[None]:
        """Return what keeps the embedded MongoDB up between the steps of the plan."""
        if self.options.mongo_uri:
            return nullcontext()
        return EmbeddedMongo(self.options.embedded_folder, min_free_bytes=self.options.embedded_min_free)

    async def _lacks_page(self, spider: AuthorSquareSpider) -> bool:
        """Return whether page 1 of a query is missing in the sweep that the crawl would resume, if there is one."""
        if spider.arguments.restart:
            return False  # the crawl would begin with page 1, and pay for it, once more
        now, details = datetime.now(UTC), spider.details
        async with self.store(history=False) as store:
            found = [
                await store.sweeps.find_open(
                    query.key,
                    newer_than=details.fresh_since(now),
                    open_since=details.open_since(now),
                    limits=spider.arguments.limits,
                )
                for query in spider.arguments.queries
            ]
        return any(sweep is None or sweep.next_page == 1 for sweep in found)

    def _read_pages(self, arguments: dict[str, str]) -> tuple[int, set[str]]:
        """Fetch first pages as a crawl does; return the number of calls, and the queries that have no author.

        Raises `UserError` if a page could not be fetched.
        """
        assert self.crawler_process is not None

        crawler = self.crawler_process.create_crawler(FirstPagesSpider)
        secure_log()
        refusals = {"xingtu_crawler.extensions.refusal": logging.CRITICAL}  # printed by this command
        with self.less_log(), logger_levels(refusals):
            self.crawler_process.crawl(crawler, **arguments)
            self.crawler_process.start()
        try:
            stats = crawler.stats
        except RuntimeError:  # it failed before it had any, and has logged why
            raise PlanError("The crawl of page 1 did not start.") from None
        reason = stats.get_value("finish_reason")
        outcome = Outcome.of(stats.get_stats(), reason or "", seconds=0)
        if reason != "planned":
            said = (
                outcome.refusal or f"Page 1 of the search was not fetched ({reason}): {outcome.next_step() or _REMEDY}"
            )
            raise (PlanError if outcome.calls else UserError)(said)
        if failures := [each for each in outcome.failures if not each.startswith(_NO_CONTENT)]:
            raise PlanError(f"Page 1 of the search could not be fetched ({failures[0]}). {_REMEDY}")
        context = Crawl.of(crawler).context
        assert context is not None
        return outcome.calls, context.empty_queries

    async def _estimate(self, spider: XingtuSpider, *, made: int, empty: set[str]) -> dict[str, Any]:
        now, options = datetime.now(UTC), self.options
        async with self.store(history=False) as store:
            tally: Counter[str] = Counter()
            spider.begin(_preview(store, tally, now))
            return plan(
                await _estimate_calls(spider, tally, empty=empty),
                await experience(store.database),
                spider=spider.name,
                arguments=spider.typed_arguments,
                max_rate=options.max_rate * len(options.token_pool()),
                max_calls=spider.max_calls,
                daily_cap=options.daily_calls,
                daily_left=await left_today(store.database, options.daily_calls, now),
                calls_made=made,
            )


def _preview(store: Store, tally: Counter[str], now: datetime) -> CrawlContext:
    """Return the context of a crawl that would start now, and claims nothing."""
    return CrawlContext(
        run_id="",
        started_at=now,
        base_url="",
        concurrency=1,
        claims=Preview(store.database, store.outages),
        sweeps=store.sweeps,
        worklist=store.worklist,
        tally=lambda what, count: tally.update({what: count}),
    )


async def _estimate_calls(spider: XingtuSpider, tally: Counter[str], *, empty: set[str]) -> Estimate:
    """Estimate with the spider's own code: it would fetch what it would claim."""
    if isinstance(spider, AuthorsSpider):
        calls = 0
        async for details in spider.detail_batches():
            calls += len(details)
        return Estimate(
            "exact", Span(tally["authors"], tally["authors"]), Span(0, 0), Span(calls, calls), tally["fresh"]
        )
    assert isinstance(spider, AuthorSquareSpider)

    async def count_missing(star_ids: Sequence[str], since: datetime | None) -> int:
        details = spider.details
        newer_than = spider.newer_than if since is None else max(since, spider.newer_than)
        return len(
            await spider.context.claims.claim(
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
        open_since=spider.details.open_since(spider.context.started_at),
    )
    sweeps = spider.context.sweeps
    estimates = [
        _NOTHING if query.key in empty else await of_square(sweeps, query.key, limits, count_missing)
        for query in spider.arguments.queries
    ]
    return together(estimates, limits)
