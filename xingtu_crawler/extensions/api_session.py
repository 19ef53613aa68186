"""The API session of a crawl: base URL, token pool, budget, and the one way to end the crawl early.

The middlewares take what they need from here; the spider is told the base URL and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Self

from scrapy import signals
from scrapy.crawler import Crawler

from xingtu_crawler.api import account, environments, reachability
from xingtu_crawler.api.budget import Budget
from xingtu_crawler.api.credentials import SANDBOX_TOKEN
from xingtu_crawler.engine import state
from xingtu_crawler.engine.log import protect
from xingtu_crawler.exceptions import UserError
from xingtu_crawler.extensions.refusal import REFUSAL_STAT, refusal
from xingtu_crawler.options import Options
from xingtu_crawler.outcome import Outcome
from xingtu_crawler.sandbox.process import SandboxProcess
from xingtu_crawler.spiders.base import XingtuSpider
from xingtu_crawler.storage.daily_calls import DailyCalls

logger = logging.getLogger(__name__)


class ApiSession:
    """Opens before the first call, knows the tokens and the budget, ends the crawl when told to."""

    def __init__(self, crawler: Crawler) -> None:
        self._options = Options.read(crawler.settings)
        self.pool = self._options.token_pool()
        # The name of the sandbox is in every second log line.
        protect(secret for secret in self.pool.secrets() if secret != SANDBOX_TOKEN)
        self.budget = Budget(None)
        self.daily_calls: DailyCalls | None = None
        self.hold: Callable[[int], float] = lambda _waiting: 0.0
        """For how many seconds no call is to be made, as its answer could not be stored; to be asked again then.

        Told how many of the requests in the downloader wait for their turn.
        """
        self.close_reason: str | None = None
        self._base_url = ""
        self._balances: dict[str, Decimal] = {}
        self._crawler = crawler
        self._sandbox: SandboxProcess | None = None
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Connect to the crawl's beginning; the run record ends the session."""
        session = cls(crawler)
        crawler.signals.connect(session.open, signal=signals.spider_opened)
        return session

    @classmethod
    def of(cls, crawler: Crawler) -> ApiSession:
        """Return the session of a crawl."""
        session = crawler.get_extension(cls)
        if session is None:
            raise UserError("The extension xingtu_crawler.extensions.api_session.ApiSession is not enabled.")
        return session

    async def open(self, spider: XingtuSpider) -> None:
        """Find out where the API is, start a sandbox if it is to be one, and see that it can be reached.

        Raises `CloseSpider` with the reason `api_unavailable` otherwise.
        """
        if self._crawler.stats.get_value(REFUSAL_STAT):
            return  # the store could not be opened: the crawl is over already
        self.budget = Budget(spider.max_calls)
        try:
            base_url = self._options.base_url
            if base_url is None:
                arguments = self._options.sandbox_arguments
                sandbox = self._sandbox = await asyncio.to_thread(SandboxProcess.start, arguments)
                base_url = sandbox.base_url
                logger.info("Sandbox started at %s: every author in it is synthetic", base_url)
            elif not self._options.uses_proxy:
                await reachability.check(base_url)
        except UserError as error:
            raise refusal(self._crawler, error, "api_unavailable") from None
        if base_url == environments.BASE_URLS["prod-cn"]:
            logger.warning("prod-cn is plain HTTP: the token crosses the network readable; prefer prod-global")
        spider.base_url = self._base_url = base_url
        # The first request with the token in it, as the first question would be: only TCP and TLS have been checked.
        self._balances = await self._ask_balances()

    @property
    def is_closing(self) -> bool:
        """Whether the crawl was told to end, or was interrupted: somebody waits for it."""
        return self.close_reason is not None or not self._crawler.engine.running

    @property
    def is_over(self) -> bool:
        """Whether no further call may be made: it is closing, whoever closes it (CLOSESPIDER_*, MEMUSAGE_*)."""
        return self.is_closing or state.is_closing(self._crawler.engine)

    def close(self, reason: str) -> None:
        """End the crawl: no further call, what is in flight lands and is stored. The first reason counts."""
        if self.close_reason is None:
            self.close_reason = reason
            self._closing = asyncio.ensure_future(self._crawler.engine.close_spider_async(reason=reason))

    async def cost(self, outcome: Outcome) -> dict[str, Any]:
        """Return what the crawl cost by the account endpoint, where it answers; other crawls may have spent too."""
        after = await self._ask_balances() if self._balances else {}
        known = {alias: (self._balances[alias], after[alias]) for alias in self._balances if alias in after}
        if not known:
            return {"cost": None}
        unnamed = {token.alias for token in self.pool if token.account == token.alias}
        spent = account.spent(
            named=[change for alias, change in known.items() if alias not in unnamed],
            unnamed=[change for alias, change in known.items() if alias in unnamed],
        )
        return {
            "cost": {
                "balances": {alias: {"before": str(b), "after": str(a)} for alias, (b, a) in known.items()},
                "spent": str(spent),
                "per_call": str(round(spent / outcome.calls, 6)) if outcome.calls else None,
                "per_author": str(round(spent / outcome.authors, 6)) if outcome.authors else None,
            }
        }

    async def _ask_balances(self) -> dict[str, Decimal]:
        """Return the balance of each account, under the alias of one of its tokens."""
        accounts = {token.account: token for token in self.pool}
        asked = [account.balance(self._base_url, token.secret) for token in accounts.values()]
        answers = await asyncio.gather(*asked)
        return {
            token.alias: found for token, found in zip(accounts.values(), answers, strict=True) if found is not None
        }

    def give_up(self, error: UserError, reason: str = "api_unavailable") -> None:
        """End the crawl because the API, or what stores its answers, is not there any more, and say so."""
        if self.close_reason is None:
            refusal(self._crawler, error, reason)
            self.close(reason)

    def stop_sandbox(self) -> None:
        """Stop the sandbox that this crawl started."""
        if self._sandbox:
            self._sandbox.stop()
            self._sandbox = None
