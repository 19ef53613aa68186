"""What a spider knows of its crawl: one frozen object, handed over once, before `start` is iterated.

`extensions.crawl` builds it for a crawl; `scrapy plan` builds one that claims nothing. Plain Python, no Scrapy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from xingtu_crawler.arguments.square import SquareArguments
from xingtu_crawler.storage.claims import Claims
from xingtu_crawler.storage.planned import PlannedPages
from xingtu_crawler.storage.sweeps import Sweeps
from xingtu_crawler.storage.worklist import Worklist
from xingtu_crawler.verdict import Findings


def _nothing(*_: object) -> None:
    """Do nothing."""


async def _adopts_nothing(*_: object) -> bool:
    """Return that there is no planned page."""
    return False


async def _no_forecast(*_: object) -> None:
    """Make no forecast."""


@dataclass(frozen=True, slots=True)
class CrawlContext:
    """One crawl, as its spider sees it."""

    run_id: str
    started_at: datetime
    """When the run started, UTC: details fetched since then are never requested again by this run."""
    base_url: str
    """Scheme and host of the API."""
    concurrency: int
    """Maximum number of requests in flight."""
    claims: Claims
    sweeps: Sweeps
    worklist: Worklist
    tally: Callable[[str, int], None] = _nothing
    """Counts what the spider finds: `authors`, `fresh` details."""
    calls: Callable[[], int] = lambda: 0
    """Returns the number of calls made so far."""
    is_closing: Callable[[], bool] = lambda: False
    """Returns whether the crawl is closing: what is not requested yet is left to the next one."""
    left_open: Callable[[], str | None] = lambda: None
    """Returns the close reason of a crawl that has left requests open, None if it has left none."""
    has_failures: Callable[[], bool] = lambda: False
    """Returns whether requests have failed or callbacks have raised: details may be missing."""
    open_authors: Callable[[], Collection[str]] = tuple
    """Returns the authors whose refusals settle nothing, because the API has refused too many requests."""
    last_steps: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What the spider records when every item is stored; the crawl runs them before it closes MongoDB."""
    empty_queries: set[str] = field(default_factory=set)
    """The keys of the queries for which the API returned no page; `scrapy plan` reads them."""
    swept: dict[str, str | None] = field(default_factory=dict)
    """The sweeps that have ended, each with the last finished sweep of the same query if both are whole."""
    collapse_share: float = 0.5
    """A sweep that finds less than this share of what the last one found is suspicious."""
    planned: PlannedPages | None = None
    """The pages that `scrapy plan` has paid for."""
    adopt: Callable[[str, Mapping[str, str], datetime], Awaitable[bool]] = _adopts_nothing
    """Takes over the planned page of a query: its key, its filters, and since when (UTC) it must have been fetched."""
    forecast: Callable[[SquareArguments, datetime], Awaitable[None]] = _no_forecast
    """Logs what the crawl will cost, once, and asks on a terminal; takes since when (UTC) details are up to date."""
    asks: Callable[[SquareArguments], bool] = lambda _arguments: False
    """Returns whether the forecast may ask, so that nothing is fetched before it."""
    findings: Findings = field(default_factory=Findings)
    """The reasons for the verdict on the crawl; see `verdict.KINDS`."""


class Done(NamedTuple):
    """How much of something is done, and of how much as far as is known."""

    done: int
    total: int | None = None
    is_estimate: bool = False

    def of(self, what: str) -> str:
        """Return it in words: `96 of ~393 authors`."""
        if self.total is None or self.total < self.done:
            return f"{self.done:,} {what}"
        return f"{self.done:,} of {'~' if self.is_estimate else ''}{self.total:,} {what}"

    @property
    def left(self) -> int | None:
        """How much is left; None where that is unknown."""
        return None if self.total is None else max(0, self.total - self.done)


class ContextSpider(Protocol):
    """The part of a spider that its crawl knows."""

    name: str
    typed_arguments: Mapping[str, str]
    is_plan: bool
    """Whether it only reads what `scrapy plan` needs: its run is no run of the dataset."""

    @property
    def max_calls(self) -> int | None:
        """Maximum number of calls; None for no limit."""

    @property
    def population(self) -> str:
        """Names the authors whom the crawl is about: runs of the same name can be compared."""

    @property
    def endpoints(self) -> Sequence[str]:
        """The endpoints of the details that are fetched."""

    def begin(self, context: CrawlContext) -> None:
        """Take over the context; called once, before `start` is iterated."""

    def progress(self, authors: int, fresh: int) -> Mapping[str, Done]:
        """Return how far the crawl is, by what is counted; takes the authors found and the details up to date."""
