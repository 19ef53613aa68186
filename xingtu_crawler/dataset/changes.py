"""What a repeated crawl has changed: the last lines of its log.

Reads MongoDB when everything is stored, and writes nothing. Time and memory are bounded: a part that takes too long is
left out. Where nothing can be compared, as after a first crawl, there are no lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.api.envelope import one_line
from xingtu_crawler.storage.collections import AUTHORS, HISTORY, RUNS, SEARCH_HITS

Database = AsyncDatabase[dict[str, Any]]
Pipeline = list[dict[str, Any]]

PATIENCE_S = 10.0
"""Seconds after which what is not computed yet is left out."""
MOST_DOCUMENTS = 20_000
"""Maximum number of changed documents of a kind that are compared one by one with what they were."""
_TOP = 3
_MOST_NAME = 30
_PROFILES, _RATE_CARDS = DETAILS["base_info"].collection, DETAILS["marketing_info"].collection


@dataclass(frozen=True, slots=True)
class Crawled:
    """The crawl in question."""

    run_id: str
    started_at: datetime
    sweeps: Mapping[str, str | None]
    """Its sweeps, each with the last finished sweep of the same query if both are whole."""


class Move(NamedTuple):
    """A number of one author that has changed."""

    star_id: str
    name: str
    what: str
    """What it is the number of, besides the author: the product of a price."""
    before: int
    now: int

    @property
    def rank(self) -> tuple[float, str, str]:
        """The size of the move, as the larger number over the smaller one."""
        return max(self.before, self.now) / max(1, min(self.before, self.now)), self.star_id, self.what

    def __str__(self) -> str:
        who = f"{self.name} ({self.star_id})" if self.name else self.star_id
        what = f" {self.what}" if self.what else ""
        return f"{who}{what} {self.before:,} → {self.now:,} ({(self.now - self.before) / self.before:+.0%})"


@dataclass(slots=True)
class Changes:
    """What is known of the changes; what could not be computed keeps its default."""

    authors: int = 0
    """Authors of whom this crawl has stored documents that can be compared: known before the crawl."""
    changed: int = 0
    new: int | None = None
    gone: int | None = None
    rate_cards: int = 0
    rate_cards_changed: int = 0
    up: int = 0
    down: int = 0
    followers: list[Move] = field(default_factory=list)
    prices: list[Move] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the lines for the log; none where nothing can be compared."""
        if not (self.authors or self.gone is not None):
            return
        counts = [f"{self.new:,} authors new"] if self.new is not None else []
        counts += [f"{self.gone:,} gone"] if self.gone is not None else []
        counts += [f"{self.changed:,} of {self.authors:,} changed"] if self.authors else []
        yield f"Since the last crawl: {', '.join(counts)}"
        if self.rate_cards:
            yield (
                f"Rate cards: {self.rate_cards_changed:,} of {self.rate_cards:,} changed; {self.up:,} prices up, "
                f"{self.down:,} down"
            )
        for what, moves in (("followers", self.followers), ("prices", self.prices)):
            if moves:
                yield f"Largest moves of {what}: {'; '.join(map(str, moves))}"


async def changes(database: Database, crawled: Crawled, *, patience: float = PATIENCE_S) -> Changes:
    """Return what a crawl has changed, as far as it can be computed within `patience` seconds.

    Raises:
        PyMongoError: MongoDB fails.
    """
    found = Changes()
    if await database[RUNS].find_one({"_id": {"$ne": crawled.run_id}}, {"_id": 1}) is None:
        return found
    now = asyncio.get_running_loop().time
    deadline = now() + patience
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(deadline):
            for part in (_count_authors, _count_new_and_gone, _compare_rate_cards, _compare_followers):
                if now() >= deadline:  # PyMongo can swallow the cancellation
                    break
                await part(database, crawled, found)
            else:
                await _add_names(database, found)
    return found


# --- Counts --------------------------------------------------------------------------------------------------


def _of_run(crawled: Crawled) -> dict[str, Any]:
    """Return the condition for the documents that the crawl has stored; the index on `crawl.fetched_at` serves it."""
    return {"crawl.fetched_at": {"$gte": crawled.started_at}, "crawl.run_id": crawled.run_id}


def _changed(crawled: Crawled) -> dict[str, Any]:
    """Return the condition for documents known before the crawl that have changed in it."""
    return {"crawl.first_seen_at": {"$lt": crawled.started_at}, "crawl.changed_at": {"$gte": crawled.started_at}}


def _flags(crawled: Crawled) -> dict[str, Any]:
    is_known = {"$lt": ["$crawl.first_seen_at", crawled.started_at]}
    is_changed = {"$and": [is_known, {"$gte": ["$crawl.changed_at", crawled.started_at]}]}
    return {"$project": {"star_id": {"$ifNull": ["$star_id", "$_id"]}, "known": is_known, "changed": is_changed}}


def _searched(crawled: Crawled, then: Sequence[dict[str, Any]]) -> Pipeline:
    """Return the pipeline over `search_hits` to the authors that the crawl has found, and `then` what follows."""
    # `authors` has no index on the time of the fetch.
    lookup = {
        "from": AUTHORS,
        "localField": "_id",
        "foreignField": "_id",
        "pipeline": [{"$match": _of_run(crawled)}, *then],
        "as": "author",
    }
    return [
        {"$match": {"sweep": {"$in": list(crawled.sweeps)}}},
        {"$group": {"_id": "$star_id"}},
        {"$lookup": lookup},
        {"$unwind": "$author"},
        {"$replaceWith": "$author"},
    ]


async def _count_authors(database: Database, crawled: Crawled, found: Changes) -> None:
    flags = _flags(crawled)
    details = [{"$match": _of_run(crawled)}, flags]
    is_card = {"$addFields": {"card": {"$cond": ["$known", 1, 0]}, "card_changed": {"$cond": ["$changed", 1, 0]}}}
    pipeline: Pipeline = [*details, {"$unionWith": {"coll": _RATE_CARDS, "pipeline": [*details, is_card]}}]
    if crawled.sweeps:
        pipeline.append({"$unionWith": {"coll": SEARCH_HITS, "pipeline": _searched(crawled, [flags])}})
    pipeline += [
        {
            "$group": {
                "_id": "$star_id",
                "known": {"$max": "$known"},
                "changed": {"$max": "$changed"},
                "cards": {"$sum": "$card"},
                "cards_changed": {"$sum": "$card_changed"},
            }
        },
        {
            "$group": {
                "_id": None,
                "known": {"$sum": {"$cond": ["$known", 1, 0]}},
                "new": {"$sum": {"$cond": ["$known", 0, 1]}},
                "changed": {"$sum": {"$cond": ["$changed", 1, 0]}},
                "cards": {"$sum": "$cards"},
                "cards_changed": {"$sum": "$cards_changed"},
            }
        },
    ]
    async for counts in _aggregate(database, _PROFILES, pipeline):
        found.authors, found.changed = counts["known"], counts["changed"]
        found.new = counts["new"] if counts["known"] else None
        found.rate_cards, found.rate_cards_changed = counts["cards"], counts["cards_changed"]


async def _count_new_and_gone(database: Database, crawled: Crawled, found: Changes) -> None:
    """Compare the authors of the whole sweeps with those of the sweeps before them."""
    pairs = {now: before for now, before in crawled.sweeps.items() if before is not None}
    if not pairs:
        return
    is_there = {
        "now": {"$max": {"$in": ["$sweep", list(pairs)]}},
        "before": {"$max": {"$in": ["$sweep", list(pairs.values())]}},
    }
    pipeline: Pipeline = [
        {"$match": {"sweep": {"$in": [*pairs, *pairs.values()]}}},
        {"$group": {"_id": "$star_id", **is_there}},
        {
            "$group": {
                "_id": None,
                "new": {"$sum": {"$cond": ["$before", 0, 1]}},
                "gone": {"$sum": {"$cond": ["$now", 0, 1]}},
            }
        },
    ]
    found.new = found.gone = 0
    async for counts in _aggregate(database, SEARCH_HITS, pipeline):
        found.new, found.gone = counts["new"], counts["gone"]


# --- Moves ---------------------------------------------------------------------------------------------------


def _with_predecessor(entity: str, crawled: Crawled, fields: Mapping[str, Any]) -> Pipeline:
    """Return the stages that add `before`: the fields of the last spell that began before the crawl."""
    lookup = {
        "from": HISTORY,
        "localField": "_id",
        "foreignField": "key",
        "pipeline": [
            {"$match": {"entity": entity, "valid_from": {"$lt": crawled.started_at}}},
            {"$sort": {"valid_from": -1}},
            {"$limit": 1},
            {"$project": fields},
        ],
        "as": "before",
    }
    return [
        {"$limit": MOST_DOCUMENTS},
        {"$project": {"star_id": 1, **fields}},
        {"$lookup": lookup},
        {"$unwind": "$before"},
    ]


async def _compare_rate_cards(database: Database, crawled: Crawled, found: Changes) -> None:
    fields = {f"data.price_info.{name}": 1 for name in ("video_type", "task_category", "desc", "price", "enable")}
    pipeline = [{"$match": _of_run(crawled) | _changed(crawled)}, *_with_predecessor(_RATE_CARDS, crawled, fields)]
    largest: list[tuple[tuple[float, str, str], Move]] = []
    async for card in _aggregate(database, _RATE_CARDS, pipeline):
        for move in price_moves(card["star_id"], card["before"]["data"], card["data"]):
            if move.now > move.before:
                found.up += 1
            else:
                found.down += 1
            _keep(largest, move)
    found.prices = _sorted(largest)


def price_moves(star_id: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Move]:
    """Return the prices of an author that differ between two rate cards; placeholders are no prices."""
    was = _prices(before)
    return [
        Move(star_id, "", str(product[2] or product[0]), was[product], price)
        for product, price in _prices(now).items()
        if product in was and price != was[product]
    ]


def _prices(card: Mapping[str, Any]) -> dict[tuple[Any, Any, Any], int]:
    """Return the prices above 0 on a rate card by product; of two lines of one product the first counts."""
    prices: dict[tuple[Any, Any, Any], int] = {}
    for line in card.get("price_info") or ():
        if isinstance(line, dict) and line.get("enable") is not False and (price := line.get("price")):
            prices.setdefault((line.get("video_type"), line.get("task_category"), line.get("desc")), price)
    return prices


async def _compare_followers(database: Database, crawled: Crawled, found: Changes) -> None:
    largest: list[tuple[tuple[float, str, str], Move]] = []
    path: tuple[str, ...]
    if crawled.sweeps:
        entity, start, path = AUTHORS, SEARCH_HITS, ("attribute_datas", "follower")
        begin = _searched(crawled, [{"$match": _changed(crawled)}])
    else:
        entity = start = _PROFILES
        path, begin = ("follower",), [{"$match": _of_run(crawled) | _changed(crawled)}]
    pipeline = [*begin, *_with_predecessor(entity, crawled, {f"data.{'.'.join(path)}": 1})]
    async for author in _aggregate(database, start, pipeline):
        before, now = _at(author["before"], path), _at(author, path)
        if before and now and before != now:
            _keep(largest, Move(author["star_id"], "", "", before, now))
    found.followers = _sorted(largest)


def _at(document: Mapping[str, Any], path: Iterable[str]) -> int | None:
    value: Any = document.get("data")
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, int) else None


def _keep(largest: list[tuple[tuple[float, str, str], Move]], move: Move) -> None:
    """Add a move to the heap of the largest ones."""
    heapq.heappush(largest, (move.rank, move))
    if len(largest) > _TOP:
        heapq.heappop(largest)


def _sorted(largest: Iterable[tuple[tuple[float, str, str], Move]]) -> list[Move]:
    return [move for _, move in sorted(largest, reverse=True)]


async def _add_names(database: Database, found: Changes) -> None:
    ids = {move.star_id for move in (*found.followers, *found.prices)}
    if not ids:
        return
    searched = database[AUTHORS].find({"_id": {"$in": list(ids)}}, {"data.attribute_datas.nick_name": 1})
    names = {
        each["_id"]: ((each.get("data") or {}).get("attribute_datas") or {}).get("nick_name") async for each in searched
    }
    profiles = database[_PROFILES].find({"star_id": {"$in": list(ids)}}, {"star_id": 1, "data.nick_name": 1})
    async for each in profiles:
        names[each["star_id"]] = names.get(each["star_id"]) or (each.get("data") or {}).get("nick_name")
    named = {star_id: one_line(name)[:_MOST_NAME] for star_id, name in names.items() if name}
    for moves in (found.followers, found.prices):
        moves[:] = [move._replace(name=named.get(move.star_id, "")) for move in moves]


async def _aggregate(database: Database, collection: str, pipeline: Pipeline) -> AsyncIterator[dict[str, Any]]:
    # The server gives up too: a cancelled operation goes on there.
    found = await database[collection].aggregate(pipeline, allowDiskUse=True, maxTimeMS=int(PATIENCE_S * 1000))
    async with found:
        async for document in found:
            yield document
