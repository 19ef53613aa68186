"""Pages of a sweep are recorded in order, because a crawl continues after the last recorded one."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api import envelope
from xingtu_crawler.items.answers import FailedRequest, SearchAnswer, Stop
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.items.validation import validate_page
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.claims import Claims
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.sweeps import Sweeps
from xingtu_crawler.storage.writer import BulkWriter

Database = AsyncDatabase[dict[str, Any]]
NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)


class RecordingSweeps(Sweeps):
    """Sweeps that remember the order in which their pages were recorded."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.recorded: list[tuple[str, int]] = []

    async def page_read(self, sweep: str, number: int, page: SearchPage, **facts: Any) -> int:
        self.recorded.append((sweep, number))
        return await super().page_read(sweep, number, page, **facts)

    async def page_missed(self, sweep: str, number: int, **facts: Any) -> None:
        self.recorded.append((sweep, number))
        await super().page_missed(sweep, number, **facts)


def answer(sweep: str, number: int, *, misfits: int = 0) -> SearchAnswer:
    authors = [{"star_id": str(number * 100 + rank)} for rank in range(5)] + [{"star_id": "?"}] * misfits
    body = json.dumps({"code": 0, "data": {"authors": authors}}).encode()
    return SearchAnswer(sweep, number, envelope.parse(body), body, NOW)


def missed(sweep: str, number: int, **facts: Any) -> FailedRequest:
    return FailedRequest("search", 500, "x", "x", None, 1, False, NOW, sweep=sweep, page=number, **facts)


async def test_pages_of_a_sweep_are_recorded_in_order(mongo_db: Database) -> None:
    outages, counted = Outages(5), []
    writer = BulkWriter(mongo_db, outages)
    sweeps = RecordingSweeps(mongo_db, writer, outages)
    for name in ("a-1", "b-1"):
        await sweeps.start(name, query_key=name[0], filters={}, run_id="1", started_at=NOW)
    recorder = Recorder(
        writer, Claims(mongo_db, outages), sweeps, None, run_id="1", count=lambda what, _: counted.append(what)
    )
    # The first page takes several writes in sequence, the next ones take one each.
    await asyncio.gather(
        recorder.page(validate_page(answer("a-1", 1, misfits=3))),
        recorder.failure(missed("a-1", 2, tried_again=True)),
        recorder.failure(missed("a-1", 3, stop=Stop("max_pages", 4))),
        recorder.page(validate_page(answer("b-1", 1))),
    )
    assert [number for name, number in sweeps.recorded if name == "a-1"] == [1, 2, 3]
    # Another sweep does not wait for the first one.
    assert sweeps.recorded.index(("b-1", 1)) < sweeps.recorded.index(("a-1", 1))
    found = await mongo_db.sweeps.find_one({"_id": "a-1"})
    assert found is not None
    assert (found["holes"], found["next_page"], found["stop_reason"]) == ([2, 3], 4, "max_pages")
    # A page that is fetched again counts as failed only when it fails for good.
    assert counted.count("failures/open") == 1
    assert await mongo_db.failures.count_documents({}) == 2
