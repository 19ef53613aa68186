"""Documents as a reader asks for them and sees them: from words to a query, from BSON to JSON.

Knows MongoDB's query language and JSON, nothing of command lines.
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

LONGEST = 100
"""How many characters of a string are shown unless all are wanted."""
LOOKED_AT = 1_000
"""In how many documents a path is looked for before it is called unknown."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which documents of a collection, in which order, how many and which parts of them; `limit` 0 is all."""

    collection: str
    condition: dict[str, Any]
    order: list[tuple[str, int]]
    limit: int
    fields: list[str]

    @classmethod
    def of(cls, collection: str, *, condition: str, order: str | None, limit: str, fields: str | None) -> Self:
        """Read a question from words; raise `ArgumentError` for the first that cannot be meant.

        Args:
            collection: its name.
            condition: a MongoDB filter in (extended) JSON.
            order: `field` or `-field`, None for MongoDB's own order.
            limit: a whole number, 0 for no limit.
            fields: paths separated by commas, None for whole documents.
        """
        if not (limit.isascii() and limit.isdigit() and len(limit) < 10):
            raise ArgumentError(f"--limit is {shown(limit)!r}: it is a whole number, 0 for all.")
        names = [] if fields is None else [name.strip() for name in fields.split(",")]
        if not all(names):
            raise ArgumentError("--fields has an empty name: type paths with commas, as in --fields star_id,data.tags.")
        by = [] if order is None else [(order.removeprefix("-"), DESCENDING if order.startswith("-") else ASCENDING)]
        if by and not by[0][0]:
            raise ArgumentError("--sort is empty: type a path, with a minus before it for the largest first.")
        return cls(collection, _condition(condition), by, int(limit), names)


def _condition(text: str) -> dict[str, Any]:
    example = """type an object in single quotes, as in --filter '{"star_id": "6629661559960371207"}'."""
    try:
        condition = json_util.loads(text, json_options=json_util.JSONOptions(tz_aware=True))
    except json.JSONDecodeError as error:
        raise ArgumentError(f"--filter is not JSON ({error.msg}, character {error.pos + 1}): {example}") from None
    except (BSONError, TypeError, ValueError) as error:
        # Well-formed, but a "$date" or the like without a value of its kind.
        raise ArgumentError(f"--filter cannot be read ({shown(str(error))}): {example}") from None
    if not isinstance(condition, dict):
        raise ArgumentError(f"--filter is not a JSON object: {example}")
    return condition


async def find(
    database: AsyncDatabase[dict[str, Any]], question: Query, *, known: Iterable[str]
) -> AsyncGenerator[dict[str, Any]]:
    """Yield the documents that answer a question.

    Raises `ArgumentError` where the collection is neither one of the `known` nor in the database, or MongoDB
    does not understand the question; `StorageError` where MongoDB goes away.
    """
    try:
        names = {*known, *await database.list_collection_names()}
        if question.collection not in names:
            hint = nearest(question.collection, sorted(names))
            choice = f"did you mean {hint}?" if hint else f"it is one of {', '.join(sorted(names))}."
            raise ArgumentError(f"There is no collection {shown(question.collection)!r}: {choice}")
        found = database[question.collection].find(
            question.condition,
            dict.fromkeys(question.fields, 1) or None,
            sort=question.order or None,
            limit=question.limit,
        )
        async for document in found:
            yield document
    except OperationFailure as error:
        said = (error.details or {}).get("errmsg") or type(error).__name__
        raise ArgumentError(f"MongoDB does not understand the question: {shown(str(said), 200)}") from None
    except (BSONError, OverflowError) as error:
        raise ArgumentError(f"The question holds what MongoDB cannot: {shown(str(error), 200)}") from None
    except PyMongoError as error:
        raise StorageError(f"MongoDB went away ({type(error).__name__}): type the same command again.") from None


async def unknown_paths(database: AsyncDatabase[dict[str, Any]], question: Query) -> list[str]:
    """Return the paths of the question that none of the first documents has: most likely misspelt."""
    paths = dict.fromkeys([*question.fields, *(path for path, _ in question.order)])
    missing = []
    for path in paths:
        having: list[dict[str, Any]] = [
            {"$limit": LOOKED_AT},
            {"$match": {path: {"$exists": True}}},
            {"$limit": 1},
            {"$project": {"_id": 1}},
        ]
        try:
            found = await (await database[question.collection].aggregate(having)).to_list()
        except PyMongoError:  # MongoDB has answered the question itself: no reason to complain of it now
            continue
        if not found:
            missing.append(path)
    return missing


def render(document: dict[str, Any], *, full: bool, indent: int | None, ascii_only: bool) -> str:
    """Return a document as relaxed extended JSON: times as ISO 8601, bytes that are text as text.

    Args:
        document: as MongoDB gave it.
        full: whether long strings are shown whole.
        indent: spaces per level; None for one line.
        ascii_only: whether other characters are escaped, for a terminal that has none.
    """
    shaped = _shape(document, None if full else LONGEST)
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
