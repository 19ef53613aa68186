"""Quarantine: raw bodies of any size, in pieces where one document cannot hold them.

`quarantine` has one document per body with its first piece; `quarantine_pieces` has the others, written first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.storage import documents
from xingtu_crawler.storage.collections import QUARANTINE, QUARANTINE_PIECES
from xingtu_crawler.storage.writer import Write

PIECE_BYTES = 8_000_000
"""Size of a piece: half of MongoDB's limit of 16 MB per document."""


def writes(
    reason: str, body: bytes, request: Mapping[str, Any], *, run_id: str, request_id: str | None, at: datetime
) -> tuple[list[Write], Write]:
    """Return the writes of the further pieces of a body, and the write of its document, to be sent after them."""
    key = documents.quarantine_id(request, body)
    first, *others = [body[begin : begin + PIECE_BYTES] for begin in range(0, max(len(body), 1), PIECE_BYTES)]
    document = documents.quarantine(
        key, reason, first, request, pieces=len(others) + 1, run_id=run_id, request_id=request_id, at=at
    )
    return [piece(f"{key}:{number:06}", key, each) for number, each in enumerate(others, start=2)], document


def piece(piece_id: str, key: str, body: bytes) -> Write:
    """Return the write of one further piece of the body with the `_id` `key`."""
    update = {"$setOnInsert": {"quarantine": key, "body": body}}
    return Write(QUARANTINE_PIECES, UpdateOne({"_id": piece_id}, update, upsert=True))


async def whole_body(database: AsyncDatabase[dict[str, Any]], kept: Mapping[str, Any]) -> Any:
    """Return the body of a document of `quarantine` with all its pieces; what is no body is returned as it is."""
    body = kept.get("body")
    if not isinstance(body, bytes) or len(body) < PIECE_BYTES:
        return body
    found = database[QUARANTINE_PIECES].find(_pieces_of(kept["_id"]), sort=[("_id", ASCENDING)])
    return body + b"".join([each["body"] async for each in found])


async def remove(database: AsyncDatabase[dict[str, Any]], keys: Sequence[str]) -> None:
    """Remove bodies from quarantine."""
    await database[QUARANTINE].delete_many({"_id": {"$in": list(keys)}})
    for key in keys:
        await database[QUARANTINE_PIECES].delete_many(_pieces_of(key))


def _pieces_of(key: Any) -> dict[str, Any]:
    return {"_id": {"$gt": f"{key}:", "$lt": f"{key};"}}
