"""What a repeated crawl has changed: the last lines of its log.

Reads MongoDB when everything is stored, and writes nothing. Time and memory are bounded: a part that takes too long is
left out. Where nothing can be compared, as after a first crawl, there are no lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.api.envelope import one_line
from xingtu_crawler.storage.collections import AUTHORS, HISTORY, RUNS, SEARCH_HITS
from xingtu_crawler.storage.projection import spell_id

Database = AsyncDatabase[dict[str, Any]]
PATIENCE_S = 10.0
"""Seconds after which what is not computed yet is left out."""
_MAX_TIME_MS = int(PATIENCE_S * 1000)
"""The server gives up too: an operation that is cancelled here goes on there."""
MOST_AUTHORS = 200_000
"""Maximum number of authors of a crawl that are looked at: it bounds the memory."""
_BATCH = 1000
_TOP = 3
_MOST_NAME = 30
_PROFILES, _RATE_CARDS = DETAILS["base_info"].collection, DETAILS["marketing_info"].collection
_FOLLOWERS = {AUTHORS: "data.attribute_datas.follower", _PROFILES: "data.follower"}
_PRICES = [f"data.price_info.{name}" for name in ("video_type", "task_category", "desc", "price", "enable")]


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


_Ranked = tuple[tuple[float, str, str], Move]


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
    up: int | None = None
    down: int | None = None
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
            prices = "" if self.up is None else f"; {self.up:,} prices up, {self.down:,} down"
            yield f"Rate cards: {self.rate_cards_changed:,} of {self.rate_cards:,} changed{prices}"
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
            for part in (_count_authors, _count_new_and_gone, _compare_rate_cards):
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


async def _count_authors(database: Database, crawled: Crawled, found: Changes) -> None:
    """Count the authors, those that are new and those that have changed, and keep the followers that have moved."""
    known: set[str] = set()
    new: set[str] = set()
    changed: set[str] = set()
    cards, changed_cards = 0, 0
    largest: list[_Ranked] = []
    # The search record and the base info both have the followers: one of them says it.
    of_followers = AUTHORS if crawled.sweeps else _PROFILES
    for collection in (AUTHORS, _PROFILES, _RATE_CARDS):
        paths = [_FOLLOWERS[collection]] if collection == of_followers else []
        async for batch in _stored(database, collection, crawled, paths):
            moved: list[dict[str, Any]] = []
            for document in batch:
                star_id, crawl = document.get("star_id") or document["_id"], document["crawl"]
                if crawl["first_seen_at"] >= crawled.started_at:
                    new.add(star_id)
                    continue
                known.add(star_id)
                if crawl["changed_at"] >= crawled.started_at:
                    changed.add(star_id)
                    moved.append(document)
            if collection == _RATE_CARDS:
                cards += sum(document["crawl"]["first_seen_at"] < crawled.started_at for document in batch)
                changed_cards += len(moved)
            elif paths:
                before = await _predecessors(database, collection, crawled, moved, paths)
                _keep_followers(largest, moved, before, paths[0])
        if len(known) + len(new) > MOST_AUTHORS:
            return
    found.authors, found.changed = len(known), len(changed)
    found.new = len(new - known) if known else None
    found.rate_cards, found.rate_cards_changed = cards, changed_cards
    found.followers = _sorted(largest)


async def _stored(
    database: Database, collection: str, crawled: Crawled, paths: Sequence[str]
) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield the documents of a collection that the crawl has stored, in batches, with the values at these paths."""
    fields = {"star_id": 1, "crawl.first_seen_at": 1, "crawl.changed_at": 1, **dict.fromkeys(paths, 1)}
    if collection != AUTHORS:
        async for batch in _batches(database[collection].find(_of_run(crawled), fields, max_time_ms=_MAX_TIME_MS)):
            yield batch
        return
    # `authors` has no index on the time of the fetch.
    hits = await database[SEARCH_HITS].aggregate(
        [{"$match": {"sweep": {"$in": list(crawled.sweeps)}}}, {"$group": {"_id": "$star_id"}}],
        allowDiskUse=True,
        maxTimeMS=_MAX_TIME_MS,
    )
    async for batch in _batches(hits):
        condition = {"_id": {"$in": [hit["_id"] for hit in batch]}, **_of_run(crawled)}
        yield await database[collection].find(condition, fields).to_list()


async def _batches(found: AsyncIterable[dict[str, Any]]) -> AsyncIterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    async for document in found:
        batch.append(document)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _predecessors(
    database: Database, entity: str, crawled: Crawled, documents: Sequence[Mapping[str, Any]], paths: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the last spell of each of these documents that began before the crawl, by the `_id` of the document."""
    if not documents:
        return {}
    keys = [document["_id"] for document in documents]
    # Covered by the index, so that many spells cost little.
    last = await database[HISTORY].aggregate(
        [
            {"$match": {"entity": entity, "key": {"$in": keys}, "valid_from": {"$lt": crawled.started_at}}},
            {"$group": {"_id": "$key", "valid_from": {"$max": "$valid_from"}}},
        ],
        maxTimeMS=_MAX_TIME_MS,
    )
    ids = [spell_id(entity, each["_id"], each["valid_from"]) async for each in last]
    found = database[HISTORY].find({"_id": {"$in": ids}}, {"key": 1, **dict.fromkeys(paths, 1)})
    return {spell["key"]: spell async for spell in found}


async def _count_new_and_gone(database: Database, crawled: Crawled, found: Changes) -> None:
    """Compare the authors of the whole sweeps with those of the sweeps before them."""
    pairs = {now: before for now, before in crawled.sweeps.items() if before is not None}
    if not pairs:
        return
    is_there = {
        "now": {"$max": {"$in": ["$sweep", list(pairs)]}},
        "before": {"$max": {"$in": ["$sweep", list(pairs.values())]}},
    }
    counts = {
        "_id": None,
        "new": {"$sum": {"$cond": ["$before", 0, 1]}},
        "gone": {"$sum": {"$cond": ["$now", 0, 1]}},
    }
    counted = await database[SEARCH_HITS].aggregate(
        [
            {"$match": {"sweep": {"$in": [*pairs, *pairs.values()]}}},
            {"$group": {"_id": "$star_id", **is_there}},
            {"$group": counts},
        ],
        allowDiskUse=True,
        maxTimeMS=_MAX_TIME_MS,
    )
    found.new = found.gone = 0
    async for each in counted:
        found.new, found.gone = each["new"], each["gone"]


# --- Moves ---------------------------------------------------------------------------------------------------


async def _compare_rate_cards(database: Database, crawled: Crawled, found: Changes) -> None:
    changed = {
        **_of_run(crawled),
        "crawl.first_seen_at": {"$lt": crawled.started_at},
        "crawl.changed_at": {"$gte": crawled.started_at},
    }
    fields = {"star_id": 1, **dict.fromkeys(_PRICES, 1)}
    largest: list[_Ranked] = []
    up = down = compared = 0
    async for batch in _batches(database[_RATE_CARDS].find(changed, fields, max_time_ms=_MAX_TIME_MS)):
        before = await _predecessors(database, _RATE_CARDS, crawled, batch, _PRICES)
        compared += len(before)
        for card in batch:
            was = before.get(card["_id"])
            for move in price_moves(card["star_id"], was["data"], card["data"]) if was else ():
                up += move.now > move.before
                down += move.now < move.before
                _keep(largest, move)
    if compared or not found.rate_cards_changed:  # without history nothing is known of earlier prices
        found.up, found.down, found.prices = up, down, _sorted(largest)


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


def _keep_followers(
    largest: list[_Ranked], documents: Iterable[dict[str, Any]], before: Mapping[str, dict[str, Any]], path: str
) -> None:
    for document in documents:
        was, now = _at(before.get(document["_id"]), path), _at(document, path)
        if was and now and was != now:
            _keep(largest, Move(document["star_id"], "", "", was, now))


def _at(document: Mapping[str, Any] | None, path: str) -> int | None:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, int) else None


def _keep(largest: list[_Ranked], move: Move) -> None:
    """Add a move to the heap of the largest ones."""
    heapq.heappush(largest, (move.rank, move))
    if len(largest) > _TOP:
        heapq.heappop(largest)


def _sorted(largest: Iterable[_Ranked]) -> list[Move]:
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
