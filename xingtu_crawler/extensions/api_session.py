"""The API session of a crawl: what the middlewares need to make a call, and what the calls cost.

A plain object that `extensions.crawl` makes and opens; it knows no spider and no MongoDB collection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from xingtu_crawler.api import account, environments, proxies, reachability
from xingtu_crawler.api.budget import Budget
from xingtu_crawler.api.proxies import Proxy
from xingtu_crawler.api.reachability import Outage
from xingtu_crawler.engine.log import protect
from xingtu_crawler.extensions.closing import Closing
from xingtu_crawler.extensions.health import Health
from xingtu_crawler.options import Options
from xingtu_crawler.outcome import Outcome
from xingtu_crawler.sandbox.process import SandboxProcess
from xingtu_crawler.storage.daily_calls import DailyCalls

logger = logging.getLogger(__name__)


class ApiSession:
    """Tokens, budgets and the base URL of one crawl.

    The middlewares hold it from the moment when Scrapy builds them; `open` completes it before the first request.
    """

    def __init__(self, options: Options, closing: Closing, health: Health) -> None:
        self.closing = closing
        self.health = health
        self.outage = Outage(options.backoff)
        self.proxy: Proxy | None = None
        """The proxy on the way to the API, if there is one."""
        self.pool = options.token_pool()
        protect(self.pool.secrets())
        self.budget = Budget(None)
        self.daily_calls: DailyCalls | None = None
        self.hold: Callable[[int], float] = lambda _waiting: 0.0
        """Returns the seconds to wait before the next call because its answer could not be stored (0: go ahead).

        Takes the number of requests still waiting for a token; call again afterwards.
        """
        self.base_url = ""
        self._options = options
        self._balances: dict[str, Decimal] = {}
        self._sandbox: SandboxProcess | None = None

    async def open(self, *, max_calls: int | None, daily_calls: DailyCalls, hold: Callable[[int], float]) -> None:
        """Find the API, starting a sandbox if the crawl needs its own, and check that it can be reached.

        Raises `UserError` where it cannot.
        """
        self.budget, self.daily_calls, self.hold = Budget(max_calls), daily_calls, hold
        base_url = self._options.base_url
        if base_url is None:
            self._sandbox = await asyncio.to_thread(SandboxProcess.start, self._options.sandbox_arguments)
            base_url = self._sandbox.base_url
            logger.info("Sandbox started at %s: every author in it is synthetic", base_url)
        else:
            self.proxy = proxies.find(base_url) if self._options.uses_proxy else None
            await reachability.check(base_url, self.proxy)
        if base_url == environments.BASE_URLS["prod-cn"]:
            logger.warning("prod-cn is plain HTTP: the token crosses the network unencrypted; prefer prod-global")
        elif base_url.startswith("http://") and not environments.is_loopback(base_url):
            logger.warning(
                "JUSTONEAPI_BASE_URL is plain HTTP: the token crosses the network unencrypted; use https:// if the "
                "API has it"
            )
        self.base_url = base_url
        # The first request with a token in it: the check above is TCP and TLS only.
        self._balances = await self._fetch_balances()

    def close(self) -> None:
        """Stop the sandbox that this crawl started, if it did."""
        if self._sandbox:
            self._sandbox.stop()
            self._sandbox = None

    async def cost(self, outcome: Outcome) -> dict[str, Any]:
        """Return the cost of the crawl by the account endpoint; calls of other crawls in the meantime are in it."""
        after = await self._fetch_balances() if self._balances else {}
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

    async def _fetch_balances(self) -> dict[str, Decimal]:
        """Return the balance of each account, under the alias of one of its tokens."""
        accounts = {token.account: token for token in self.pool}
        requests = [account.balance(self.base_url, token.secret, self.proxy) for token in accounts.values()]
        balances = await asyncio.gather(*requests)
        return {
            token.alias: balance
            for token, balance in zip(accounts.values(), balances, strict=True)
            if balance is not None
        }
