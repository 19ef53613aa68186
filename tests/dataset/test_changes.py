"""What a repeated crawl has changed, computed from MongoDB."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api import envelope
from xingtu_crawler.dataset.changes import Changes, Crawled, Move, changes, price_moves
from xingtu_crawler.items.answers import DetailAnswer, SearchAnswer
from xingtu_crawler.items.validation import validate_detail, validate_page
from xingtu_crawler.options import Options
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.store import Store

Database = AsyncDatabase[dict[str, Any]]

DAY = datetime(2026, 3, 8, tzinfo=UTC)


class Dataset:
    """A store, and what crawls of day 1, 2, … store in it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def started_at(self, day: int) -> datetime:
        return DAY + timedelta(days=day)

    def recorder(self, day: int) -> Recorder:
        store = self.store
        return Recorder(
            store.writer, store.claims, store.sweeps, store.history, run_id=f"r{day}", count=lambda _what, _count: None
        )

    async def ran(self, day: int) -> None:
        await self.store.database.runs.insert_one({"_id": f"r{day}"})

    async def search(self, day: int, followers: dict[str, int]) -> None:
        """Store a page with these authors."""
        authors = [
            {"star_id": star_id, "attribute_datas": {"follower": str(count), "nick_name": f"示例{star_id}"}}
            for star_id, count in followers.items()
        ]
        body = json.dumps({"code": 0, "data": {"authors": authors}}).encode()
        answer = SearchAnswer(f"s{day}", 1, envelope.parse(body), body, self.started_at(day) + timedelta(minutes=1))
        await self.recorder(day).authors(validate_page(answer))

    async def detail(self, day: int, endpoint: str, star_id: str, data: dict[str, Any]) -> None:
        body = json.dumps({"code": 0, "data": data}).encode()
        at = self.started_at(day) + timedelta(minutes=2)
        answer = DetailAnswer(endpoint, star_id, "SHORT_VIDEO", envelope.parse(body), body, at)
        await self.recorder(day).detail(validate_detail(answer))

    async def base_info(self, day: int, star_id: str, follower: int) -> None:
        await self.detail(
            day, "base_info", star_id, {"id": star_id, "follower": follower, "nick_name": f"示例{star_id}"}
        )

    async def card(self, day: int, star_id: str, **prices: int) -> None:
        lines = [{"desc": desc, "video_type": 1, "price": price, "enable": True} for desc, price in prices.items()]
        lines.append({"desc": "placeholder", "video_type": 9, "price": 100 + day, "enable": False})
        await self.detail(day, "marketing_info", star_id, {"price_info": lines})

    async def lines(self, day: int, sweeps: dict[str, str | None] | None = None, **options: Any) -> list[str]:
        await self.store.complete()
        crawled = Crawled(f"r{day}", self.started_at(day), sweeps or {})
        return list((await changes(self.store.database, crawled, **options)).lines())


@pytest.fixture
async def dataset(mongo_uri: str, mongo_db: Database) -> AsyncIterator[Dataset]:
    options = Options.read({"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_db.name})
    store = await Store.open(options)
    try:
        yield Dataset(store)
    finally:
        await store.close()


async def test_a_first_crawl_has_nothing_to_compare(dataset: Dataset) -> None:
    await dataset.ran(1)
    await dataset.search(1, {"11": 5_000})
    await dataset.base_info(1, "11", 5_000)
    assert await dataset.lines(1, {"s1": None}) == []
    await dataset.ran(2)  # of other authors
    await dataset.base_info(2, "12", 5_000)
    assert await dataset.lines(2) == []


async def test_authors_rate_cards_and_the_largest_moves(dataset: Dataset) -> None:
    await dataset.ran(1)
    await dataset.search(1, {"11": 5_000, "12": 6_000, "13": 7_000, "14": 8_000, "15": 9_000})
    for star_id in ("11", "12", "13"):
        await dataset.card(1, star_id, 短=1_000, 长=2_000)
    await dataset.ran(2)
    await dataset.search(2, {"11": 5_000, "12": 3_000, "13": 14_700, "14": 8_800, "16": 1})
    await dataset.card(2, "11", 短=1_500, 长=1_000)
    await dataset.card(2, "12", 短=1_000, 长=2_000, 新=1)
    await dataset.card(2, "13", 短=1_000, 长=2_000)
    assert await dataset.lines(2, {"s2": "s1"}) == [
        "Since the last crawl: 1 authors new, 1 gone, 4 of 4 changed",
        "Rate cards: 3 of 3 changed; 1 prices up, 1 down",
        (
            "Largest moves of followers: 示例13 (13) 7,000 → 14,700 (+110%); 示例12 (12) 6,000 → 3,000 (-50%); "
            "示例14 (14) 8,000 → 8,800 (+10%)"
        ),
        "Largest moves of prices: 示例11 (11) 长 2,000 → 1,000 (-50%); 示例11 (11) 短 1,000 → 1,500 (+50%)",
    ]


async def test_nothing_changed(dataset: Dataset) -> None:
    await dataset.ran(1)
    await dataset.ran(2)
    for day in (1, 2):
        await dataset.search(day, {"11": 5_000})
        await dataset.base_info(day, "11", 5_000)
    assert await dataset.lines(2, {"s2": "s1"}) == ["Since the last crawl: 0 authors new, 0 gone, 0 of 1 changed"]


async def test_a_list_of_authors_has_nobody_who_is_gone(dataset: Dataset) -> None:
    await dataset.ran(1)
    await dataset.ran(2)
    await dataset.base_info(1, "11", 5_000)
    await dataset.base_info(1, "12", 5_000)
    await dataset.base_info(2, "11", 10_000)
    await dataset.base_info(2, "13", 5_000)
    assert await dataset.lines(2) == [
        "Since the last crawl: 1 authors new, 1 of 1 changed",
        "Largest moves of followers: 示例11 (11) 5,000 → 10,000 (+100%)",
    ]


async def test_a_move_is_from_before_the_crawl(dataset: Dataset) -> None:
    """A crawl may see an author twice."""
    await dataset.ran(1)
    await dataset.ran(2)
    await dataset.base_info(1, "11", 5_000)
    await dataset.detail(2, "base_info", "11", {"id": "11", "follower": 0})
    await dataset.store.complete()
    data = {"id": "11", "follower": 10_000, "nick_name": "示例11"}
    body = json.dumps({"code": 0, "data": data}).encode()
    at = dataset.started_at(2) + timedelta(minutes=9)
    second = DetailAnswer("base_info", "11", "SHORT_VIDEO", envelope.parse(body), body, at)
    await dataset.recorder(2).detail(validate_detail(second))
    assert (await dataset.lines(2))[1] == "Largest moves of followers: 示例11 (11) 5,000 → 10,000 (+100%)"


async def test_what_takes_too_long_is_left_out(dataset: Dataset) -> None:
    await dataset.ran(1)
    await dataset.ran(2)
    for day in (1, 2):
        await dataset.base_info(day, "11", day)
    assert await dataset.lines(2, patience=0.0) == []


_CARD = st.lists(
    st.fixed_dictionaries(
        {
            "video_type": st.sampled_from([1, 2, None]),
            "task_category": st.sampled_from([1, 103]),
            "desc": st.sampled_from(["短", "长", None]),
            "price": st.sampled_from([None, 0, 100, 200]),
            "enable": st.sampled_from([True, False, None]),
        }
    )
    | st.none(),
    max_size=6,
)


@given(before=_CARD, now=_CARD)
def test_price_moves_turn_round_with_the_cards(before: list[Any], now: list[Any]) -> None:
    there = price_moves("1", {"price_info": before}, {"price_info": now})
    back = price_moves("1", {"price_info": now}, {"price_info": before})
    assert sorted((move.what, move.before, move.now) for move in there) == sorted(
        (move.what, move.now, move.before) for move in back
    )
    assert all(move.before > 0 and move.now > 0 and move.before != move.now for move in there)
    assert price_moves("1", {"price_info": now}, {"price_info": now}) == []
    assert price_moves("1", {}, {"price_info": None}) == []


def test_lines_need_something_to_compare() -> None:
    assert list(Changes(new=7).lines()) == []
    assert str(Move("1", "", "", 5, 6)) == "1 5 → 6 (+20%)"
