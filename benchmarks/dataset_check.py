"""What must be in a dataset after a whole crawl, whatever has happened meanwhile: nothing lost, nothing there twice.

Compares the database with the sandbox's ledger; knows documents by their documented fields only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pymongo.database import Database

from benchmarks.crawling import Place
from benchmarks.history_check import Checked, check
from xingtu_crawler.api.endpoints import DETAILS

UNIQUE = {
    "authors": ("star_id",),
    "videos": ("item_id",),
    "search_hits": ("sweep", "star_id"),
    **{endpoint.collection: ("star_id", "platform") for endpoint in DETAILS.values()},
}
"""The fields that tell one document of a collection from another."""


@dataclass(slots=True)
class Dataset:
    """What was found: `complete` authors of so many, answers not stored, documents twice, videos that are missing."""

    authors: int
    complete: int = 0
    unstored: int = 0
    duplicates: int = 0
    videos: int = 0
    videos_missing: int = 0
    history: Checked = field(default_factory=Checked)

    def __str__(self) -> str:
        return (
            f"{self.complete}/{self.authors} authors complete, {self.unstored} answers not stored, {self.duplicates} "
            f"duplicates, {self.videos_missing} of {self.videos} videos missing; {self.history}"
        )

    def broken(self) -> list[str]:
        """Return what does not hold."""
        claims = {
            "every author is complete": self.complete == self.authors,
            "every answer is stored in the end": self.unstored == 0,
            "no document is there twice": self.duplicates == 0,
            "there are videos, and every one in an answer is a document": self.videos > 0 and self.videos_missing == 0,
            "history agrees with the documents": not self.history.violations,
        }
        return [claim for claim, holds in claims.items() if not holds] + self.history.violations[:10]


def examine(where: Place, authors: int) -> Dataset:
    """Compare what is stored with what the sandbox has answered."""
    stored = where.stored()
    with where.documents() as database:
        known = {author["star_id"] for author in database.authors.find({}, {"star_id": 1})}
        details = [{star for name, star, _ in stored if name == endpoint} for endpoint in DETAILS]
        shown = {
            item_id
            for collection in ("authors", "author_rec_videos")
            for document in database[collection].find({}, {"data": 1})
            for item_id in _item_ids(document["data"])
        }
        return Dataset(
            authors,
            complete=len(known.intersection(*details)),
            unstored=len(set(where.answered()) - stored),
            duplicates=sum(_duplicates(database, name, fields) for name, fields in UNIQUE.items()),
            videos=len(shown),
            videos_missing=len(shown - set(database.videos.distinct("item_id"))),
            history=check(database),
        )


def _item_ids(value: Any) -> Iterator[str]:
    """Yield every id of a video, wherever it stands."""
    if isinstance(value, dict):
        if value.get("item_id") not in (None, "", "0"):
            yield value["item_id"]
        value = value.values()
    elif not isinstance(value, list):
        return
    for inner in value:
        yield from _item_ids(inner)


def _duplicates(database: Database[dict[str, Any]], collection: str, fields: tuple[str, ...]) -> int:
    group = {"_id": [f"${name}" for name in fields], "count": {"$sum": 1}}
    return sum(each["count"] - 1 for each in database[collection].aggregate([{"$group": group}]))
