"""Plans of overlapping queries: crawl one query, plan another one, crawl it, and compare.

Each pair has a sandbox population and a database of its own. The sandbox answers in this process, the recorder stores
its pages, and the details of the first crawl are bare documents: so 200 pairs take minutes. Truth is the number of
pages and missing details of the second query. A plan holds if its range covers it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xingtu_crawler.api import envelope
from xingtu_crawler.api.endpoints import DETAILS, PAGE_SIZE
from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.arguments.square import SquareArguments, parse_square
from xingtu_crawler.dataset.experience import experience
from xingtu_crawler.dataset.plan import plan as make_plan
from xingtu_crawler.dataset.plan_square import plan_square
from xingtu_crawler.items.answers import SearchAnswer, Stop
from xingtu_crawler.items.validation import ValidPage, validate_page
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.options import Options
from xingtu_crawler.sandbox.answers import Answers
from xingtu_crawler.sandbox.population import Population
from xingtu_crawler.sandbox.search import Search
from xingtu_crawler.storage.planned import sweep_of
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.store import Store

NOW = datetime.now(UTC)
HOLDING, HIGHEST, WIDEST = 0.95, 3.0, 6.0
"""The figures to reach: share of plans that hold, high end over truth, high end over low end."""
_WORDS = ("美食", "游戏", "美妆", "时尚", "生活", "搞笑", "旅行", "汽车")
_TAGS = ("美食", "游戏", "美妆", "时尚", "生活", "剧情搞笑", "影视娱乐", "母婴亲子")
_PLACES = ("北京市", "上海市", "广东省", "浙江省", "四川省", "江苏省", "广州市", "杭州市")
_CURVE = (0, 50_000, 100_000, 200_000, 400_000, 1_000_000, 90_000_000)


@dataclass(frozen=True, slots=True)
class Pair:
    """A population and two queries, as arguments of the spider."""

    authors: int
    seed: int
    first: dict[str, str]
    second: dict[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A plan and the number of calls that the crawl made."""

    pair: Pair
    low: int
    high: int
    calls: int

    @property
    def holds(self) -> bool:
        """Whether the calls are within the range."""
        return self.low <= self.calls <= self.high

    @property
    def ratio(self) -> float:
        """The high end over the calls made."""
        return max(1, self.high) / max(1, self.calls)

    def __str__(self) -> str:
        mark = "" if self.holds else "  MISSED"
        return f"{self.low:>6} to {self.high:>6}, made {self.calls:>6}{mark}  {self.pair.first} -> {self.pair.second}"


def _uncounted(_name: str, _number: int) -> None:
    """Count nothing."""


def random_query(dice: random.Random) -> dict[str, str]:
    """Return one or two random filters."""
    kinds: dict[str, Callable[[], dict[str, str]]] = {
        "keyword": lambda: {"keyword": dice.choice(_WORDS)},
        "content": lambda: {"keyword": dice.choice(_WORDS), "search_type": "CONTENT"},
        "tag": lambda: {"content_tag": ",".join(sorted(dice.sample(_TAGS, dice.choice((1, 1, 2)))))},
        "gender": lambda: {"gender": dice.choice(("MALE", "FEMALE"))},
        "place": lambda: {"location": ",".join(sorted(dice.sample(_PLACES, dice.choice((1, 2)))))},
        "followers": lambda: {"follower_range": "-".join(map(str, sorted(dice.sample(_CURVE, 2))))},
        "price": lambda: {"kol_price_type": "VIDEO_21_60S", "kol_price_range": dice.choice(("0-20000", "5000-90000"))},
    }
    query: dict[str, str] = {}
    for kind in dice.sample(sorted(kinds), dice.choice((1, 2))):
        query |= kinds[kind]()
    return query | ({"sort": "DEFAULT"} if dice.random() < 0.2 else {})


def random_pair(dice: random.Random) -> Pair:
    """Return two queries that overlap: one filter of them is usually the same, or one contains the other."""
    first, second = random_query(dice), random_query(dice)
    match dice.randrange(4):
        case 0:
            second = first | second  # narrower
        case 1:
            first = first | {name: second[name] for name in list(second)[:1] if not name.startswith("kol")}
        case 2:
            first = first | {"max_authors": str(dice.choice((20, 60, 150)))}  # the largest authors only
    if "kol_price_range" in second and "kol_price_type" not in second:
        second["kol_price_type"] = "VIDEO_21_60S"
    return Pair(dice.choice((400, 800, 1200)), dice.randrange(1, 10_000), first, second)


class World:
    """A sandbox population in this process, and the dataset of a crawl of it."""

    def __init__(self, pair: Pair, store: Store) -> None:
        population = Population(seed=pair.seed, size=pair.authors)
        self._answers = Answers(population, Search(population))
        self._store = store
        self._recorder = Recorder(
            store.writer, store.claims, store.sweeps, None, run_id="bench", run_started_at=NOW, count=_uncounted
        )

    def pages(self, query: AuthorQuery, sweep: str, *, most: int = 500) -> list[ValidPage]:
        """Return the first `most` pages of a query, as a crawl would receive them."""
        pages: list[ValidPage] = []
        stop = None
        while stop is None and len(pages) < most:
            number = len(pages) + 1
            answer = self._answers.answer("search", {**query.filters, "page": str(number)}, 0, number)
            body = self._answers.envelope(answer, 0, number)
            received = SearchAnswer(sweep, number, envelope.parse(body), body, NOW)
            valid = validate_page(received)
            stop = received.stop = None if valid.page.has_more else Stop("no_more_pages")
            pages.append(valid)
        return pages

    async def crawl(self, arguments: SquareArguments) -> set[str]:
        """Store a query and the details of its authors as a crawl does; return the authors."""
        (query,), limit = arguments.queries, arguments.details.max_authors
        sweeps, sweep = self._store.sweeps, f"{query.key}-bench"
        await sweeps.start(sweep, query_key=query.key, filters=query.filters, run_id="bench", started_at=NOW)
        pages = self.pages(query, sweep, most=500 if limit is None else -(-limit // PAGE_SIZE))
        for page in pages:
            await self._recorder.page(page)
        found = authors_on(pages)[:limit]
        if limit is None:
            await sweeps.finish(sweep, stop=Stop("no_more_pages"), authors=len(found), fewer=0, finished_at=NOW)
        crawl = {"fetched_at": NOW, "run_started_at": NOW}
        for endpoint in DETAILS.values() if found else ():
            documents = [{"_id": f"{each}:SHORT_VIDEO", "star_id": each, "crawl": crawl} for each in found]
            await self._store.database[endpoint.collection].insert_many(documents)
        return set(found)

    async def plan(self, arguments: SquareArguments) -> dict[str, Any]:
        """Return the plan of a query after page 1 is paid for."""
        (query,) = arguments.queries
        (page,) = self.pages(query, sweep_of(query.key), most=1)
        await self._recorder.page(page)
        known = await experience(self._store.database)
        newer_than = NOW - arguments.details.max_age
        estimate = await plan_square(self._store, arguments, known, started_at=NOW, newer_than=newer_than)
        limits: dict[str, Any] = {"max_rate": 0.0, "max_calls": None, "daily_cap": 0, "daily_left": None}
        return make_plan(estimate, known, spider="author_square", arguments={}, calls_made=1, **limits)


def authors_on(pages: Sequence[ValidPage]) -> list[str]:
    """Return the distinct authors on some pages, in order."""
    return list(dict.fromkeys(star_id for page in pages for star_id, _ in page.authors.values()))


async def compare(pair: Pair, mongo_uri: str, name: str) -> Outcome | None:
    """Crawl the first query, plan the second one, and count the calls that it makes; None if it has no author."""
    settings = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": name, "JUSTONEAPI_ENV": "sandbox"}
    store = await Store.open(Options.read(settings), history=False)
    try:
        world = World(pair, store)
        first, second = parse_square(pair.first), parse_square(pair.second)
        fresh = await world.crawl(first)
        plan = await world.plan(second)
        pages = world.pages(second.queries[0], "truth")
        missing = [star_id for star_id in authors_on(pages) if star_id not in fresh]
        await store.client.drop_database(name)
    finally:
        await store.close()
    if not authors_on(pages):
        return None
    total = plan["calls"]["total"]
    return Outcome(pair, total["low"], total["high"], len(pages) - 1 + len(DETAILS) * len(missing))


async def run(pairs: int, seed: int) -> list[Outcome]:
    """Return the outcomes of this many random pairs whose second query has an author."""
    dice = random.Random(seed)
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder, EmbeddedMongo(Path(folder) / "mongo", min_free_bytes=0) as uri:
        while len(found) < pairs:
            outcome = await compare(random_pair(dice), uri, "plans")
            if outcome is not None:
                found.append(outcome)
                if not outcome.holds or outcome.ratio > HIGHEST:
                    print(outcome, flush=True)
    return found


def main() -> int:
    """Print the figures; return 1 if one of them is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    outcomes = asyncio.run(run(options.pairs, options.seed))
    share = sum(outcome.holds for outcome in outcomes) / len(outcomes)
    ratios = [outcome.ratio for outcome in outcomes]
    widths = [max(1, outcome.high) / max(1, outcome.low) for outcome in outcomes]
    exact = sum(outcome.low == outcome.high for outcome in outcomes) / len(outcomes)
    print(f"{len(outcomes)} pairs: {share:.1%} of the ranges hold, {exact:.0%} of them are one number")
    print(f"high end over calls made: median {statistics.median(ratios):.2f}, maximum {max(ratios):.2f}")
    print(f"high end over low end: median {statistics.median(widths):.2f}, maximum {max(widths):.2f}")
    return int(share < HOLDING or max(ratios) > HIGHEST or max(widths) > WIDEST)


if __name__ == "__main__":
    sys.exit(main())
