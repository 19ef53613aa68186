"""What a database has before the first document: its indexes, and the view `spells`."""

from __future__ import annotations

from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.storage import projection
from xingtu_crawler.storage.collections import HISTORY, SPELLS, create_indexes

_EXISTS = 48


async def prepare(database: AsyncDatabase[dict[str, Any]]) -> None:
    """Create the indexes and the view that do not exist yet, and bring the view up to date.

    Raises `StorageError` where a collection has the name of the view.
    """
    await create_indexes(database)
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
