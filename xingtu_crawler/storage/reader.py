"""Open a dataset to read it: no index is created, nothing is written, and no empty database is started.

Knows how a dataset is reached, nothing of what is asked of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.client import connect
from xingtu_crawler.mongo.embedded import EmbeddedMongo


def embedded_folder(data_dir: Path) -> Path:
    """Return where the embedded MongoDB of a crawl has its files."""
    return data_dir / "mongo"


def require_dataset(uri: str | None, data_dir: Path) -> None:
    """Raise `StorageError` where there is no embedded dataset under `data_dir`, and no `uri` of another server."""
    if uri is None and not embedded_folder(data_dir).exists():
        raise StorageError(
            f"There is no dataset in {data_dir} yet: crawl first, or say where it is with MONGO_URI or XINGTU_DATA_DIR."
        )


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Turn what PyMongo raises in here into a `StorageError`."""
    try:
        yield
    except PyMongoError as error:
        raise StorageError(f"MongoDB went away ({type(error).__name__}): type the same command again.") from None


@asynccontextmanager
async def open_for_reading(
    *, uri: str | None, database: str, data_dir: Path
) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """Connect to the dataset that a crawl with the same settings writes to, and let go of it in the end.

    Args:
        uri: a MongoDB connection string; None means the embedded MongoDB under `data_dir`.
        database: the database's name.
        data_dir: where the embedded MongoDB's folder is.

    Raises:
        StorageError: MongoDB cannot be used or goes away, or there is no embedded dataset yet.
    """
    require_dataset(uri, data_dir)
    embedded = None
    if uri is None:
        # A full disk is no reason not to read what is on it.
        embedded = EmbeddedMongo(embedded_folder(data_dir), min_free_bytes=0)
        uri = await asyncio.to_thread(embedded.acquire)
    try:
        client = await connect(uri, database, writable=False)
        try:
            with told_in_one_line():
                yield client[database]
        finally:
            await client.close()
    finally:
        if embedded:
            await asyncio.to_thread(embedded.release)
