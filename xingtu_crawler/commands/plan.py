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
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, ClassVar

from scrapy.commands import ScrapyCommand
from scrapy.settings import get_settings_priority

from xingtu_crawler.commands.base import OwnOptions
from xingtu_crawler.commands.crawl import Command as CrawlCommand
from xingtu_crawler.commands.crawl import print_redacted
from xingtu_crawler.dataset.experience import Experience, experience, left_today
from xingtu_crawler.dataset.plan import plan, render
from xingtu_crawler.dataset.plan_bounds import Span
from xingtu_crawler.dataset.plan_estimate import Estimate
from xingtu_crawler.dataset.plan_square import plan_square
from xingtu_crawler.engine.log import logger_levels
from xingtu_crawler.engine.streams import secure_log
from xingtu_crawler.exceptions import ArgumentError, PlanError, UserError
from xingtu_crawler.extensions.context import CrawlContext
from xingtu_crawler.extensions.crawl import Crawl
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.outcome import Outcome
from xingtu_crawler.spiders.author_square import AuthorSquareSpider
from xingtu_crawler.spiders.authors import AuthorsSpider
from xingtu_crawler.spiders.base import XingtuSpider, needs_storage
from xingtu_crawler.spiders.first_pages import FirstPages
from xingtu_crawler.storage.claims import Preview
from xingtu_crawler.storage.planned import PlannedPages, sweep_of
from xingtu_crawler.storage.store import Store

_NO_CONTENT = ("search/201 ", "search/202 ")
_REMEDY = "Run the same command again, or add --no-calls to plan from MongoDB alone."


class FirstPagesSpider(AuthorSquareSpider):
    """The author search, which ends after page 1 of each query and keeps it apart from the dataset."""

    search_class = FirstPages
    is_plan = True

    @needs_storage
    async def start(self) -> AsyncIterator[Any]:
        """Request page 1 of each query of which no crawl, and no earlier plan, has left one."""
        for query in self.arguments.queries:
            async with self.reading:
                is_missing = not self.context.is_closing() and await self.lacks_page(query)
            if is_missing:
                for request in self._requests(self.search.next(self.search.begin(sweep_of(query.key), query))):
                    yield request
        self.search.all_begun()


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
        """Return whether page 1 of a query is missing, in the sweep that the crawl would resume and by itself."""
        if spider.arguments.restart:
            return False  # the crawl would begin with page 1, and pay for it, once more
        async with self.store(history=False) as store:
            spider.begin(_preview(store, Counter(), datetime.now(UTC)))
            return any([await spider.lacks_page(query) for query in spider.arguments.queries])

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
            known = await experience(store.database)
            return plan(
                await _estimate_calls(store, spider, tally, known, empty=empty),
                known,
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
        planned=PlannedPages(store.database, store.outages),
        tally=lambda what, count: tally.update({what: count}),
    )


async def _estimate_calls(
    store: Store, spider: XingtuSpider, tally: Counter[str], experience: Experience, *, empty: set[str]
) -> Estimate:
    """Estimate with the spider's own rules: it would fetch what it would claim."""
    if isinstance(spider, AuthorsSpider):
        calls = 0
        async for details in spider.detail_batches():
            calls += len(details)
        return Estimate(
            "exact", Span(tally["authors"], tally["authors"]), Span(0, 0), Span(calls, calls), tally["fresh"]
        )
    assert isinstance(spider, AuthorSquareSpider)
    return await plan_square(
        store,
        spider.arguments,
        experience,
        started_at=spider.context.started_at,
        newer_than=spider.newer_than,
        empty=empty,
    )
