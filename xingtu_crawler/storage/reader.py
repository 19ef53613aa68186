"""Opens a dataset for reading: creates no index, writes nothing, and starts no embedded MongoDB without data.

Knows how to connect to a dataset, nothing about its documents.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, PyMongoError

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.client import connect, connect_blocking
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.options import Options
from xingtu_crawler.storage.collections import META
from xingtu_crawler.storage.schema import DATASET, version_of
from xingtu_crawler.storage.spill_places import why_unreadable


def require_dataset(options: Options) -> None:
    """Raise `StorageError` if the dataset is embedded and does not exist yet, or its folder cannot be read."""
    if options.mongo_uri is not None:
        return
    if reason := why_unreadable(options.embedded_folder):
        raise StorageError(
            f"The folder {options.embedded_folder} cannot be read ({reason}): correct that, or set MONGO_URI or "
            "XINGTU_DATA_DIR to another dataset."
        )
    if not options.embedded_folder.exists():
        raise StorageError(
            f"There is no dataset in {options.data_dir} yet: crawl first, or set MONGO_URI or XINGTU_DATA_DIR to "
            "another one."
        )


@contextmanager
def raising_storage_errors() -> Iterator[None]:
    """Turn PyMongo's exceptions inside the `with` block into `StorageError`."""
    try:
        yield
    except PyMongoError as error:
        raise _failed(error) from None


def _failed(error: PyMongoError) -> StorageError:
    return StorageError(
        f"The connection to MongoDB failed ({type(error).__name__}): check that it is running, then run the same "
        "command again."
    )


@asynccontextmanager
async def open_for_reading(options: Options) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """Connect to the dataset that a crawl with the same options writes to, and disconnect in the end.

    Raises:
        StorageError: MongoDB cannot be used or goes away, there is no embedded dataset yet, or it is a newer one.
    """
    require_dataset(options)
    embedded, uri = None, options.mongo_uri
    if uri is None:
        # Reading needs no free disk space.
        embedded = EmbeddedMongo(options.embedded_folder, min_free_bytes=0)
        uri = await asyncio.to_thread(embedded.acquire)
    try:
        client = await connect(uri, options.database_name, writable=False)
        try:
            with raising_storage_errors():
                database = client[options.database_name]
                version_of(database.name, await database[META].find_one(DATASET))
                yield database
        finally:
            await client.close()
    finally:
        if embedded:
            await asyncio.to_thread(embedded.release)


@contextmanager
def open_for_reading_blocking(options: Options) -> Iterator[Database[dict[str, Any]]]:
    """Do the same as `open_for_reading` with PyMongo's synchronous API, for scripts and notebooks. Blocks.

    PyMongo's exceptions about a query inside the block stay as they are.

    Raises:
        StorageError: MongoDB cannot be used or goes away, there is no embedded dataset yet, or it is a newer one.
    """
    require_dataset(options)
    with ExitStack() as stack:
        uri = options.mongo_uri
        if uri is None:
            uri = stack.enter_context(EmbeddedMongo(options.embedded_folder, min_free_bytes=0))
        client = stack.enter_context(connect_blocking(uri, options.database_name))
        try:
            database = client[options.database_name]
            version_of(database.name, database[META].find_one(DATASET))
            yield database
        except ConnectionFailure as error:
            raise _failed(error) from None
