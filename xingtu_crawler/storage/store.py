"""The dataset of one crawl: a connection, and what is done through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.client import connect, open_database
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.options import Options
from xingtu_crawler.storage.claims import Claims
from xingtu_crawler.storage.history import History
from xingtu_crawler.storage.reader import raising_storage_errors
from xingtu_crawler.storage.runs import Runs
from xingtu_crawler.storage.schema import prepare
from xingtu_crawler.storage.sweeps import Sweeps
from xingtu_crawler.storage.worklist import Worklist
from xingtu_crawler.storage.writer import BulkWriter

_LEAVE_S = 3.0


@dataclass(frozen=True, slots=True)
class Store:
    """An open dataset."""

    client: AsyncMongoClient[dict[str, Any]]
    database: AsyncDatabase[dict[str, Any]]
    embedded: EmbeddedMongo | None
    outages: Outages
    writer: BulkWriter
    claims: Claims
    sweeps: Sweeps
    worklist: Worklist
    runs: Runs
    history: History | None

    @classmethod
    async def open(
        cls,
        options: Options,
        *,
        hurried: Callable[[], bool] = lambda: False,
        when_over: Callable[[StorageError], None] = lambda _error: None,
        history: bool = True,
    ) -> Self:
        """Connect to the MongoDB of `options`, starting the embedded one if it is that, and create the indexes.

        Args:
            options: where the dataset is, and how long operations wait for a MongoDB that went away.
            hurried: returns whether a user waits for the end, so that operations wait for MongoDB only shortly.
            when_over: called when MongoDB has been away for too long, or refuses the user.
            history: False: keep no history, whatever the options say.

        Raises:
            StorageError: MongoDB cannot be used.
        """
        embedded, uri, name = None, options.mongo_uri, options.database_name
        if uri is None:
            embedded = EmbeddedMongo(options.embedded_folder, min_free_bytes=options.embedded_min_free)
            uri = await asyncio.to_thread(embedded.acquire)
        try:
            client = await connect(uri, name)
            database = open_database(client, name)
            outages = Outages(options.storage_patience, hurried=hurried, when_over=when_over)
            try:
                with raising_storage_errors():
                    await prepare(database, outages)
            except BaseException:
                await client.close()
                raise
        except BaseException:
            if embedded:
                await asyncio.to_thread(embedded.release)
            raise
        writer = BulkWriter(database, outages)
        return cls(
            client=client,
            database=database,
            embedded=embedded,
            outages=outages,
            writer=writer,
            claims=Claims(database, outages),
            sweeps=Sweeps(database, writer, outages, search_cap=options.search_cap),
            worklist=Worklist(database, outages),
            runs=Runs(database, writer, outages),
            history=History(database, outages) if history and options.keeps_history else None,
        )

    async def catch_up(self) -> None:
        """Move the spells that crashed runs have left into the history, and from now on those of this run."""
        if self.history:
            await self.history.flush()
            self.history.start()

    async def complete(self) -> None:
        """Complete the history; raise `StorageError` where MongoDB is gone."""
        if self.history:
            await self.history.close()

    async def close(self) -> None:
        """Complete the history and leave."""
        try:
            await self.complete()
        finally:
            await self.leave()

    async def leave(self) -> None:
        """Disconnect, and let go of the embedded MongoDB."""
        with suppress(TimeoutError):  # it takes leave of the server, which may have gone silent
            await asyncio.wait_for(self.client.close(), _LEAVE_S)
        if self.embedded:
            await asyncio.to_thread(self.embedded.release)
