"""Open a dataset to read it: no index is created, nothing is written, and no empty database is started.

Knows how a dataset is reached, nothing of what is asked of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.client import connect
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.options import Options


def require_dataset(options: Options) -> None:
    """Raise `StorageError` if the dataset is embedded and does not exist yet."""
    if options.mongo_uri is None and not options.embedded_folder.exists():
        raise StorageError(
            f"There is no dataset in {options.data_dir} yet: crawl first, or say where it is with MONGO_URI or "
            "XINGTU_DATA_DIR."
        )


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Turn what PyMongo raises in here into a `StorageError`."""
    try:
        yield
    except PyMongoError as error:
        raise StorageError(f"MongoDB went away ({type(error).__name__}): type the same command again.") from None


@asynccontextmanager
async def open_for_reading(options: Options) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """Connect to the dataset that a crawl with the same options writes to, and disconnect in the end.

    Raises:
        StorageError: MongoDB cannot be used or goes away, or there is no embedded dataset yet.
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
            with told_in_one_line():
                yield client[options.database_name]
        finally:
            await client.close()
    finally:
        if embedded:
            await asyncio.to_thread(embedded.release)
