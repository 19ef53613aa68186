"""What must hold between documents, `history` and the view `spells` at all times: an independent check.

It knows the three by their documented fields only.
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

Spell = dict[str, Any]


@dataclass(slots=True)
class Checked:
    """The counts of entities, spells and observations by collection, and everything that does not hold."""

    entities: Counter[str] = field(default_factory=Counter)
    spells: Counter[str] = field(default_factory=Counter)
    observations: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"history: {sum(self.entities.values())} entities, {sum(self.spells.values())} spells, "
            f"{sum(self.observations.values())} observations, {len(self.violations)} violations"
        )


def check(database: Database[dict[str, Any]]) -> Checked:
    """Compare every document with the spells of its entity."""
    result = Checked()
    ended: defaultdict[tuple[str, str], list[Spell]] = defaultdict(list)
    for spell in database.history.find():
        ended[spell["entity"], spell["key"]].append(spell)
    shown: defaultdict[tuple[str, str], list[Spell]] = defaultdict(list)
    for spell in database.spells.find():
        shown[spell["entity"], spell["key"]].append(spell)
    for collection in ENTITIES:
        for document in database[collection].find():
            entity = collection, document["_id"]
            spells = sorted(ended.pop(entity, []), key=lambda spell: spell["valid_from"])
            spells.append(_current(document))
            result.entities[collection] += 1
            result.spells[collection] += len(spells)
            result.observations[collection] += sum(spell["observations"] for spell in spells)
            found = [*_violations(document, spells), *_differences(spells, shown.pop(entity, []))]
            result.violations += [f"{collection} {document['_id']}: {violation}" for violation in found]
    result.violations += [f"{key}: spells of an entity that is not there" for key in ended.keys() | shown.keys()]
    return result


def _current(document: dict[str, Any]) -> Spell:
    crawl = document["crawl"]
    spell = {
        "spell": crawl["spell"],
        "valid_from": crawl["changed_at"],
        "last_observed_at": crawl["fetched_at"],
        "observations": crawl["observations"],
        "content_hash": crawl["content_hash"],
        "data": document["data"],
        "star_id": document["star_id"],
    }
    return spell | {name: crawl[name] for name in ("observed_between", "unparsed") if name in crawl}


def _violations(document: dict[str, Any], spells: list[Spell]) -> list[str]:
    found = []
    if (numbers := [spell["spell"] for spell in spells]) != list(range(1, len(spells) + 1)):
        found.append(f"the spells have the numbers {numbers}")
    if "history_pending" in document:
        found.append("spells still wait in the document")
    if document["crawl"]["first_seen_at"] != spells[0]["valid_from"]:
        found.append("it was not seen first when its first spell begins")
    for spell in spells:
        between = spell.get("observed_between", [])
        times = [spell["valid_from"], *between, spell["last_observed_at"]]
        if times != sorted(times) or len(set(between)) < len(between):
            found.append(f"the times of spell {spell['spell']} are out of order: {times}")
        if spell["observations"] < len(set(times)):
            found.append(
                f"spell {spell['spell']} counts {spell['observations']} observations, and has {len(set(times))}"
            )
    for before, after in pairwise(spells):
        if before["last_observed_at"] >= after["valid_from"]:
            found.append(f"spells {before['spell']} and {after['spell']} overlap")
        if before["content_hash"] == after["content_hash"]:
            found.append(f"spells {before['spell']} and {after['spell']} say the same")
    return found


def _differences(spells: list[Spell], shown: list[Spell]) -> list[str]:
    """Return what the view shows other than it should."""
    if [spell["current"] for spell in sorted(shown, key=lambda spell: spell["spell"])] != [False] * (
        len(spells) - 1
    ) + [True]:
        return [f"the view shows {len(shown)} of {len(spells)} spells, or not the last one as current"]
    hidden = {"_id", "entity", "key", "current", "observed_between"}
    pairs = zip(spells, sorted(shown, key=lambda spell: spell["spell"]), strict=True)
    # As text: NaN is not equal to itself, but is written alike.
    return [
        f"the view shows spell {spell['spell']} otherwise than it is"
        for spell, seen in pairs
        if _text(spell, hidden) != _text(seen, hidden)
    ]


def _text(spell: Spell, hidden: set[str]) -> str:
    return repr(sorted((name, value) for name, value in spell.items() if name not in hidden))
