"""What a database has before a crawl writes to it: the current version of the dataset, indexes, and the view `spells`.

The version is in the collection `meta`. It is raised when documents are stored in another way, and `migration` rewrites
what older versions have stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.mongo.outages import Outages, brief
from xingtu_crawler.storage import projection
from xingtu_crawler.storage.collections import (
    AUTHORS,
    DATASET_VERSION,
    HISTORY,
    META,
    RUNS,
    SPELLS,
    VIDEOS,
    create_indexes,
)
from xingtu_crawler.storage.migration import Migration
from xingtu_crawler.storage.runs import DEAD_AFTER

Database = AsyncDatabase[dict[str, Any]]

DATASET = {"_id": "dataset"}
"""The document of `meta` that has the version."""
_BEFORE_VERSIONS = 1
"""The version of a database that does not tell it: that of xingtu-crawler 0.1.0."""
_EXISTS = 48


async def prepare(database: Database, outages: Outages) -> None:
    """Bring a database to the current version, and create the indexes and the view that do not exist yet.

    Raises `StorageError` where that is not possible, or where the database is of a newer version.
    """
    await _refuse_older_crawl(database)
    if not await _is_current(database):
        await _migrate(database, outages)
    try:
        await create_indexes(database)
        await _create_view(database)
    except PyMongoError as error:
        raise StorageError(
            f"The indexes of database {database.name} cannot be created ({brief(error)}): give the user of MONGO_URI "
            "readWrite on it, or drop the index that is in the way."
        ) from None


def version_of(database: str, found: Mapping[str, Any] | None) -> int:
    """Return the version of a database by its document `DATASET`; raise `StorageError` where it is a newer one."""
    version = _BEFORE_VERSIONS if found is None else int(found["version"])
    if version > DATASET_VERSION:
        raise StorageError(
            f"Database {database} was written by a newer xingtu-crawler (version {version} of the dataset; this "
            f"one knows version {DATASET_VERSION}): upgrade it, or name another database with MONGO_DATABASE."
        )
    return version


async def _refuse_older_crawl(database: Database) -> None:
    """Raise `StorageError` while a crawl of an older version writes to the database."""
    alive = {"state": "running", "updated_at": {"$gte": datetime.now(UTC) - DEAD_AFTER}}
    older = {**alive, "dataset_version": {"$not": {"$gte": DATASET_VERSION}}}
    if run := await database[RUNS].find_one(older, {"_id": 1}):
        raise StorageError(
            f"Crawl {run['_id']}, of an older xingtu-crawler, writes to database {database.name}: wait until it has "
            "ended, or for a minute if it was killed, then run the same command again."
        )


async def _migrate(database: Database, outages: Outages) -> None:
    try:
        migration = Migration(database, outages)
        async with migration.only_one(is_done=lambda: _is_current(database)) as is_mine:
            if is_mine:
                if not await _is_empty(database):
                    await migration.run()
                current = {"version": DATASET_VERSION, "since": datetime.now(UTC)}
                await database[META].update_one(DATASET, {"$set": current}, upsert=True)
    except PyMongoError as error:
        raise StorageError(
            f"Database {database.name} cannot be migrated to this version of xingtu-crawler ({brief(error)}): correct "
            "that, then run the same command again. The migration goes on where it stopped."
        ) from None


async def _is_empty(database: Database) -> bool:
    for name in (AUTHORS, HISTORY, RUNS, VIDEOS):
        if await database[name].find_one({}, {"_id": 1}):
            return False
    return True


async def _is_current(database: Database) -> bool:
    return version_of(database.name, await database[META].find_one(DATASET)) == DATASET_VERSION


async def _create_view(database: Database) -> None:
    wanted: dict[str, Any] = {"viewOn": HISTORY, "pipeline": projection.view()}
    found = await (await database.list_collections(filter={"name": SPELLS})).to_list()
    if not found:
        try:
            await database.create_collection(SPELLS, check_exists=False, **wanted)
        except OperationFailure as error:
            if error.code != _EXISTS:  # another crawl that starts has created it
                raise
    elif found[0]["type"] != "view":
        raise StorageError(
            f"Database {database.name} has a collection {SPELLS}, a name that the dataset needs for a view: rename the "
            "collection, or name another database with MONGO_DATABASE."
        )
    elif found[0]["options"] != wanted:
        await database.command({"collMod": SPELLS, **wanted})
