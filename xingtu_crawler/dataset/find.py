"""`scrapy find`: from the words of a command line to a query, and from documents to JSON.

Knows MongoDB's query language and JSON, nothing of argparse and terminals.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from bson import json_util
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from xingtu_crawler.arguments.wording import nearest, shown
from xingtu_crawler.exceptions import ArgumentError, StorageError
from xingtu_crawler.storage.collections import QUARANTINE
from xingtu_crawler.storage.quarantine import whole_body

SHORTENED_TO = 100
"""Characters of a string that are printed on a terminal, unless `--full`."""
SAMPLED = 1_000
"""Documents in which a path is searched before it counts as unknown."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query of one collection: filter, order, limit (0: none) and the paths to return (none: whole documents)."""

    collection: str
    condition: dict[str, Any]
    order: list[tuple[str, int]]
    limit: int
    fields: list[str]

    @classmethod
    def of(cls, collection: str, *, condition: str, order: str | None, limit: str, fields: str | None) -> Self:
        """Return the query that the words of a command line mean.

        Args:
            collection: its name.
            condition: a MongoDB filter in (extended) JSON.
            order: `field` or `-field`, None for MongoDB's own order.
            limit: a whole number, 0 for no limit.
            fields: paths separated by commas, None for whole documents.

        Raises:
            ArgumentError: one of them cannot be read.
        """
        if not (limit.isascii() and limit.isdigit() and len(limit) < 10):
            raise ArgumentError(f"--limit is {shown(limit)!r}: it must be a whole number, 0 for all documents.")
        names = [] if fields is None else [name.strip() for name in fields.split(",")]
        if not all(names):
            raise ArgumentError(
                "--fields has an empty path: separate paths by commas, as in --fields star_id,data.tags."
            )
        by = [] if order is None else [(order.removeprefix("-"), DESCENDING if order.startswith("-") else ASCENDING)]
        if by and not by[0][0]:
            raise ArgumentError("--sort is empty: write --sort=FIELD, or --sort=-FIELD to sort downwards.")
        return cls(collection, _condition(condition), by, int(limit), names)


def _condition(text: str) -> dict[str, Any]:
    example = """write an object in single quotes, as in --filter '{"star_id": "6629661559960371207"}'."""
    try:
        condition = json_util.loads(text, json_options=json_util.JSONOptions(tz_aware=True))
    except json.JSONDecodeError as error:
        raise ArgumentError(f"--filter is not JSON ({error.msg}, character {error.pos + 1}): {example}") from None
    except (BSONError, TypeError, ValueError) as error:
        # Valid JSON, but a "$date" or the like with a value of another type.
        raise ArgumentError(f"--filter cannot be read ({shown(str(error))}): {example}") from None
    if not isinstance(condition, dict):
        raise ArgumentError(f"--filter is not a JSON object: {example}")
    return condition


async def find(
    database: AsyncDatabase[dict[str, Any]], query: Query, *, known: Iterable[str]
) -> AsyncGenerator[dict[str, Any]]:
    """Yield the documents that a query finds.

    Raises:
        ArgumentError: the collection is neither `known` nor in the database, or MongoDB rejects the query.
        StorageError: MongoDB goes away.
    """
    try:
        names = {*known, *await database.list_collection_names()}
        if query.collection not in names:
            hint = nearest(query.collection, sorted(names))
            choice = f"did you mean {hint}?" if hint else f"name one of {', '.join(sorted(names))}."
            raise ArgumentError(f"There is no collection {shown(query.collection)!r}: {choice}")
        found = database[query.collection].find(
            query.condition,
            dict.fromkeys(query.fields, 1) or None,
            sort=query.order or None,
            limit=query.limit,
        )
        async for document in found:
            if query.collection == QUARANTINE and "body" in document:
                document["body"] = await whole_body(database, document)
            yield document
    except OperationFailure as error:
        said = (error.details or {}).get("errmsg") or type(error).__name__
        raise ArgumentError(f"MongoDB rejects the query ({shown(str(said), 200)}): correct its options.") from None
    except (BSONError, OverflowError) as error:
        raise ArgumentError(
            f"--filter has a value that MongoDB cannot hold ({shown(str(error), 200)}): correct it."
        ) from None
    except PyMongoError as error:
        raise StorageError(f"MongoDB went away ({type(error).__name__}): run the same command again.") from None


async def unknown_paths(database: AsyncDatabase[dict[str, Any]], query: Query) -> list[str]:
    """Return the paths of a query that the first 1,000 documents do not have: probably typos."""
    paths = dict.fromkeys([*query.fields, *(path for path, _ in query.order)])
    missing = []
    for path in paths:
        having: list[dict[str, Any]] = [
            {"$limit": SAMPLED},
            {"$match": {path: {"$exists": True}}},
            {"$limit": 1},
            {"$project": {"_id": 1}},
        ]
        try:
            found = await (await database[query.collection].aggregate(having)).to_list()
        except PyMongoError:  # the query itself has succeeded
            continue
        if not found:
            missing.append(path)
    return missing


def render(document: dict[str, Any], *, full: bool, indent: int | None, ascii_only: bool) -> str:
    """Return a document as relaxed extended JSON: times as ISO 8601, bytes that are text as text.

    Args:
        document: as MongoDB gave it.
        full: whether long strings stay whole.
        indent: spaces per level; None for one line.
        ascii_only: whether to escape all other characters, for a terminal without them.
    """
    shaped = _shape(document, None if full else SHORTENED_TO)
    options = json_util.RELAXED_JSON_OPTIONS
    return json_util.dumps(shaped, json_options=options, indent=indent, ensure_ascii=ascii_only)


def _shape(value: Any, longest: int | None) -> Any:
    match value:
        case dict():
            return {key: _shape(each, longest) for key, each in value.items()}
        case list():
            return [_shape(each, longest) for each in value]
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case bytes():
            return _shape_bytes(value, longest)
        case str() if longest is not None and len(value) > longest:
            return value[: longest - 1] + "…"
        case _:
            return value


def _shape_bytes(value: bytes, longest: int | None) -> Any:
    try:
        return _shape(value.decode(), longest)
    except UnicodeDecodeError:
        return value[:longest]
