"""What must hold between the documents and `history`, whatever has happened: an independent check, entity by entity.

Knows the two by their documented fields only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pymongo.database import Database

ENTITIES = (
    "authors",
    "author_base_info",
    "author_marketing_info",
    "author_rec_videos",
    "author_video_distribution",
    "videos",
)


@dataclass(slots=True)
class Checked:
    """What was found: entities and spells by collection, late spells, and everything that does not hold."""

    entities: Counter[str] = field(default_factory=Counter)
    spells: Counter[str] = field(default_factory=Counter)
    observations: Counter[str] = field(default_factory=Counter)
    late: int = 0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"history: {sum(self.entities.values())} entities, {sum(self.spells.values())} spells, {self.late} late, "
            f"{sum(self.observations.values())} observations, {len(self.violations)} violations"
        )


def check(database: Database[dict[str, Any]]) -> Checked:
    """Compare every document with its spells."""
    result = Checked()
    spells: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for spell in database.history.find():
        spells[spell["entity"], spell["key"]].append(spell)
    for collection in ENTITIES:
        for document in database[collection].find():
            of_entity = spells.pop((collection, document["_id"]), [])
            in_order = sorted((each for each in of_entity if isinstance(each["spell"], int)), key=lambda s: s["spell"])
            result.entities[collection] += 1
            result.spells[collection] += len(in_order)
            result.observations[collection] += sum(spell["observations"] for spell in of_entity)
            result.late += len(of_entity) - len(in_order)
            for violation in _violations(document, in_order, of_entity):
                result.violations.append(f"{collection} {document['_id']}: {violation}")
    result.violations += [f"{key}: spells of an entity that is not there" for key in spells]
    return result


def _violations(document: dict[str, Any], in_order: list[dict[str, Any]], of_entity: list[dict[str, Any]]) -> list[str]:
    crawl = document["crawl"]
    found = []
    if [spell["spell"] for spell in in_order] != list(range(1, crawl["spell"] + 1)):
        found.append(f"spells {[spell['spell'] for spell in in_order]} in place of 1 to {crawl['spell']}")
    current = [spell for spell in of_entity if spell["current"]]
    if len(current) != 1:
        return [*found, f"{len(current)} current spells"]
    said = {
        "spell": crawl["spell"],
        "valid_from": crawl["changed_at"],
        "last_observed_at": crawl["fetched_at"],
        "observations": crawl["observations"],
        "content_hash": crawl["content_hash"],
        "data": document["data"],
        "star_id": document["star_id"],
    }
    # NaN is not equal to itself, but is written alike.
    found += [f"its current spell has another {name}" for name in said if repr(said[name]) != repr(current[0][name])]
    if "history_pending" in document:
        found.append("spells still wait in the document")
    for spell in of_entity:
        if not spell["valid_from"] <= spell["last_observed_at"]:
            found.append(f"spell {spell['spell']} ends before it begins")
        if spell["observations"] < 1:
            found.append(f"spell {spell['spell']} was never observed")
    for before, after in pairwise(in_order):
        if before["last_observed_at"] > after["valid_from"]:
            found.append(f"spells {before['spell']} and {after['spell']} overlap")
        if before["content_hash"] == after["content_hash"]:
            found.append(f"spells {before['spell']} and {after['spell']} say the same")
    return found
