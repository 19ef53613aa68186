"""Late answers: where an observation belongs that was stored after a newer one of the same entity.

A spell is a run of observations with the same content. This module takes the spells of one entity apart into their
observations, adds the late ones, and puts spells together again, so that the result does not depend on the order in
which answers were stored. It computes only; `history` reads and writes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pymongo import DeleteOne, ReplaceOne, UpdateOne

from xingtu_crawler.items.videos import FIELDS, stored
from xingtu_crawler.storage.collections import PENDING, VIDEOS
from xingtu_crawler.storage.projection import MOST_TIMES, spell_id, without
from xingtu_crawler.storage.video_content import content_of, text_expression, with_first_counts

Spell = dict[str, Any]
"""A spell as `history` stores it, without `_id`, `entity`, `key` and `star_id`."""

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class _Observation:
    """What was seen at one time; `spell` has the content.

    The first observation of a spell also stands for those whose time the spell no longer knows, `times` in all, and
    knows how many spells are missing before it, because crawls with `XINGTU_HISTORY=0` kept none: `missing`.
    """

    content: Hashable
    spell: Spell
    times: int = 1
    missing: int = 0


class Timeline:
    """The observations of an author or a detail document, by time.

    A number that is missing is a spell that was not kept, with `gaps`; without them, numbers mean nothing.
    """

    def __init__(self, spells: Iterable[Spell], *, gaps: bool = True) -> None:
        self._at: dict[datetime, _Observation] = {}
        in_order = sorted(spells, key=lambda spell: (spell["valid_from"], spell["spell"]))
        last, missing = 0, []
        for spell in in_order:
            missing.append(max(0, spell["spell"] - last - 1) if gaps else 0)
            last = max(last, spell["spell"])
        for spell, before in zip(reversed(in_order), reversed(missing), strict=True):
            self._take_apart(spell, before)

    def _take_apart(self, spell: Spell, missing: int) -> None:
        times = sorted({spell["valid_from"], *spell.get("observed_between", ()), spell["last_observed_at"]})
        seen = _Observation(self._content_of(spell), spell)
        for time in times[1:]:
            self._add(time, seen)
        unknown = max(0, spell["observations"] - len(times))
        self._add(times[0], replace(seen, times=1 + unknown, missing=missing))

    def _add(self, time: datetime, seen: _Observation) -> None:
        """Add an observation; one that is there already changes nothing.

        Of two contents of one moment, the one that is added second is dated a millisecond earlier.
        """
        while (there := self._at.get(time)) is not None and there.content != seen.content:
            time -= _MILLISECOND
        if there is None:
            self._at[time] = seen
        else:
            times, missing = max(there.times, seen.times), max(there.missing, seen.missing)
            self._at[time] = replace(there, times=times, missing=missing)

    def _content_of(self, spell: Spell) -> Hashable:
        content: Hashable = spell["content_hash"]
        return content

    def add_late(self, late: Spell) -> None:
        """Add a late answer, as it waits in `history_pending`."""
        self._add(late["valid_from"], _Observation(self._content_of(late), late))

    def spells(self) -> list[Spell]:
        """Return the spells, numbered in the order of time; the last one is the current spell."""
        found: list[Spell] = []
        number = 0
        for run in self._runs():
            number += 1 + run[0][1].missing
            found.append(_put_together(number, run))
        return found

    def _in_order(self) -> list[tuple[datetime, _Observation]]:
        return sorted(self._at.items())

    def _runs(self) -> list[list[tuple[datetime, _Observation]]]:
        runs: list[list[tuple[datetime, _Observation]]] = []
        for time, seen in self._in_order():
            if runs and not seen.missing and runs[-1][-1][1].content == seen.content:
                runs[-1].append((time, seen))
            else:
                runs.append([(time, seen)])
        return runs


def _put_together(number: int, run: Sequence[tuple[datetime, _Observation]]) -> Spell:
    times = [time for time, _ in run]
    between = times[1:-1][-MOST_TIMES:]
    shown = run[-1][1].spell  # volatile fields are as they were seen last
    return {
        "spell": number,
        "valid_from": times[0],
        "last_observed_at": times[-1],
        "observations": sum(seen.times for _, seen in run),
        **({"observed_between": between} if between else {}),
        **{name: shown[name] for name in ("content_hash", "data", "unparsed") if name in shown},
    }


class VideoTimeline(Timeline):
    """The observations of a video, each with everything that was known by then.

    An answer says only part of that. A late one adds its values to what was known before it, and to later observations
    the values that they lack; what else they hold is taken as said anew by them.
    """

    def _content_of(self, spell: Spell) -> Hashable:
        return content_of(spell["data"])

    def _add(self, time: datetime, seen: _Observation) -> None:
        """Add an observation; of two states of one moment, the one of the spell that begins later stands."""
        there = self._at.get(time, seen)
        super()._add(time, replace(seen, content=there.content, spell=there.spell))

    def add_late(self, late: Spell) -> None:
        """Add a late answer; its `data` has the known values only."""
        time, known = late["valid_from"], late["data"]
        for later in [each for each in self._at if each > time]:
            self._say(later, {**known, **_known(self._at[later])})
        there = self._at.get(time)
        if there is not None:
            self._say(time, {**known, **_known(there)})
            return
        before = max((each for each in self._at if each < time), default=None)
        self._at[time] = _Observation(None, {})
        self._say(time, {**(_known(self._at[before]) if before else {}), **known})

    def _in_order(self) -> list[tuple[datetime, _Observation]]:
        """Return the observations by time; the first count of a list is no change."""
        found = super()._in_order()
        states = with_first_counts([seen.spell["data"] for _, seen in found])
        return [
            (time, replace(seen, content=content_of(state))) for (time, seen), state in zip(found, states, strict=True)
        ]

    def _say(self, time: datetime, known: dict[str, Any]) -> None:
        data = stored({**dict.fromkeys(FIELDS), **known})
        spell = {**self._at[time].spell, "data": data}
        self._at[time] = replace(self._at[time], content=content_of(data), spell=spell)


def _known(seen: _Observation) -> dict[str, Any]:
    return {name: value for name, value in seen.spell["data"].items() if value is not None}


@dataclass(frozen=True, slots=True)
class Plan:
    """The writes that put the late answers of one entity in their places, in the order in which they are sent."""

    key: str
    current: Spell
    """The current spell after them."""
    inserts: list[ReplaceOne[dict[str, Any]] | UpdateOne]
    """To `history`."""
    replacements: list[ReplaceOne[dict[str, Any]] | UpdateOne]
    """To `history`."""
    update: UpdateOne
    """To the document, only as it was read."""
    removals: list[DeleteOne]
    """To `history`, only if the document is as planned then."""
    pull: UpdateOne
    """To the document, likewise: nothing waits there any more."""

    def is_done(self, document: dict[str, Any]) -> bool:
        """Return whether the document is as planned: no other crawl has changed it."""
        return all(document["crawl"][_IN_CRAWL[name]] == self.current[name] for name in _READ)


def rearrange(collection: str, document: dict[str, Any], past: Sequence[dict[str, Any]], *, gaps: bool = True) -> Plan:
    """Return the writes for one entity: `document`, and `past`, its spells in `history`; for `gaps` see `Timeline`."""
    current, waiting = _current(document), document.get(PENDING, [])
    answers = [each for each in waiting if isinstance(each["spell"], str)]
    timeline_of = VideoTimeline if collection == VIDEOS else Timeline
    timeline = timeline_of([*past, *(each for each in waiting if each not in answers), current], gaps=gaps)
    for answer in sorted(answers, key=lambda each: each["valid_from"]):
        timeline.add_late(answer)
    *ended, now = timeline.spells()
    inserts, replacements, kept = [], [], set()
    begins = {spell["valid_from"]: spell for spell in past}
    for spell in ended:
        there = begins.get(spell["valid_from"])
        key = there["_id"] if there else spell_id(collection, document["_id"], spell["valid_from"])
        kept.add(key)
        owner = {"entity": collection, "key": document["_id"], "star_id": document["star_id"]}
        write = _put(collection, {"_id": key, **owner, **spell})
        if there is None:
            inserts.append(write)
        elif {name: there[name] for name in there if name not in _NOT_OF_SPELL} != spell:
            replacements.append(write)
    removals = [DeleteOne({"_id": spell["_id"]}) for spell in past if spell["_id"] not in kept]
    first_seen_at = min(document["crawl"]["first_seen_at"], (ended or [now])[0]["valid_from"])
    update = _update(collection, document, current, {**now, "first_seen_at": first_seen_at})
    pull = UpdateOne({"_id": document["_id"]}, [{"$set": {PENDING: without([each["spell"] for each in waiting])}}])
    return Plan(document["_id"], now, inserts, replacements, update, removals, pull)


_NOT_OF_SPELL = frozenset({"_id", "entity", "key", "star_id", "current"})
_IN_CRAWL = {
    "spell": "spell",
    "valid_from": "changed_at",
    "last_observed_at": "fetched_at",
    "observations": "observations",
    "observed_between": "observed_between",
    "content_hash": "content_hash",
    "unparsed": "unparsed",
    "first_seen_at": "first_seen_at",
}
"""The names in `crawl` of what a spell says."""
_READ = ("spell", "valid_from", "last_observed_at", "observations")
"""Fields of the current spell of which one changes when a crawl writes the document."""


def _current(document: dict[str, Any]) -> Spell:
    crawl = document["crawl"]
    spell = {name: crawl[in_crawl] for name, in_crawl in _IN_CRAWL.items() if in_crawl in crawl}
    del spell["first_seen_at"]
    return {**spell, "data": document["data"]}


def _put(collection: str, spell: dict[str, Any]) -> ReplaceOne[dict[str, Any]] | UpdateOne:
    if collection != VIDEOS:
        return ReplaceOne({"_id": spell["_id"]}, spell, upsert=True)
    hashed = [{"$replaceWith": {"$literal": spell}}, {"$set": {"content_hash": text_expression()}}]
    return UpdateOne({"_id": spell["_id"]}, hashed, upsert=True)


def _update(collection: str, document: dict[str, Any], before: Spell, now: dict[str, Any]) -> UpdateOne:
    changed: dict[str, Any] = {}
    for name, in_crawl in _IN_CRAWL.items():
        changed[f"crawl.{in_crawl}"] = {"$literal": now[name]} if name in now else "$$REMOVE"
    if now["data"] != before["data"]:
        changed["data"] = {"$literal": now["data"]}
    pipeline: list[dict[str, Any]] = [{"$set": changed}]
    if collection == VIDEOS:
        sources = sorted({name for each in document.get(PENDING, []) for name in each.get("sources", ())})
        union = {"$setUnion": [{"$ifNull": ["$crawl.sources", []]}, sources]}
        pipeline.append({"$set": {"crawl.content_hash": text_expression(), "crawl.sources": union}})
    as_read = {f"crawl.{_IN_CRAWL[name]}": before[name] for name in _READ}
    return UpdateOne({"_id": document["_id"], **as_read}, pipeline)
