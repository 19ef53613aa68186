"""asyncio tuned by hand: aiohttp, orjson, uvloop, a bounded window, bulk writes of plain upserts.

What an expert writes who wants speed and nothing else: no validation, no history, no resuming, no pace.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import aiohttp
import orjson
import uvloop
from pymongo import AsyncMongoClient, UpdateOne

from benchmarks.peers.common import DETAILS, PLATFORM, SEARCH, TRY_AGAIN, Work, parse_work, upsert

MOST_TRIES = 8
MOST_UNWRITTEN = 2_000
BATCH = 500

Documents = dict[str, list[UpdateOne]]


class Crawler:
    """`in_flight - 1` workers take details from a bounded queue that one page chain fills."""

    def __init__(self, work: Work, session: aiohttp.ClientSession, client: AsyncMongoClient[dict[str, Any]]) -> None:
        self.work = work
        self.session = session
        self.database = client[work.database]
        self.questions: asyncio.Queue[tuple[str, str]] = asyncio.Queue(maxsize=4 * work.in_flight)
        self.unwritten: Documents = {}
        self.count = 0
        self.room = asyncio.Event()
        self.news = asyncio.Event()
        self.done = False

    async def call(self, path: str, **parameters: Any) -> Any:
        """Return the data of an answer, None where it could not be had."""
        url = self.work.base_url + path
        for tries in range(MOST_TRIES):
            try:
                async with self.session.get(url, params={"token": self.work.token, **parameters}) as response:
                    answer = orjson.loads(await response.read())
            except (aiohttp.ClientError, TimeoutError, ValueError):
                answer = {"code": 301}
            code = int(answer["code"])  # now and then a text
            if code == 0:
                return answer["data"]
            if code not in TRY_AGAIN:
                return None
            await asyncio.sleep(0.1 * 2**tries * random.uniform(0.5, 1.5))
        return None

    async def pages(self) -> None:
        """Follow the search to its end."""
        number, more = 1, True
        while more and (data := await self.call(SEARCH, page=number)) is not None:
            for author in data["authors"]:
                await self.keep("authors", author["star_id"], author)
                await self.ask(author["star_id"])
            number, more = number + 1, data["pagination"]["has_more"]

    async def ask(self, star_id: str) -> None:
        """Queue the four details of an author."""
        for collection in DETAILS:
            await self.questions.put((collection, star_id))

    async def details(self) -> None:
        """Ask one detail after the other."""
        while True:
            collection, star_id = await self.questions.get()
            data = await self.call(DETAILS[collection], oAuthorId=star_id, platform=PLATFORM)
            if data is not None:
                await self.keep(collection, star_id, data)
            self.questions.task_done()

    async def keep(self, collection: str, star_id: str, data: Any) -> None:
        """Hand a document to the writer; wait where it is behind."""
        while self.count >= MOST_UNWRITTEN:
            self.room.clear()
            await self.room.wait()
        self.unwritten.setdefault(collection, []).append(upsert(star_id, data))
        self.count += 1
        self.news.set()

    async def write(self) -> None:
        """Write whatever has gathered, as long as there is something to come."""
        while self.count or not self.done:
            await self.news.wait()
            self.news.clear()
            batch, self.unwritten, self.count = self.unwritten, {}, 0
            self.room.set()
            for collection, operations in batch.items():
                for at in range(0, len(operations), BATCH):
                    await self.database[collection].bulk_write(operations[at : at + BATCH], ordered=False)

    async def run(self) -> None:
        """Crawl."""
        writer = asyncio.create_task(self.write())
        workers = [asyncio.create_task(self.details()) for _ in range(self.work.in_flight - 1)]
        if self.work.star_ids is None:
            await self.pages()
        else:
            for star_id in self.work.star_ids:
                await self.ask(star_id)
        await self.questions.join()
        for worker in workers:
            worker.cancel()
        self.done = True
        self.news.set()
        await writer


async def main(work: Work) -> None:
    """Open what is needed and crawl."""
    connector = aiohttp.TCPConnector(limit=work.in_flight)
    async with (
        AsyncMongoClient[dict[str, Any]](work.mongo_uri) as client,
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session,
    ):
        await Crawler(work, session, client).run()


if __name__ == "__main__":
    uvloop.run(main(parse_work()))
