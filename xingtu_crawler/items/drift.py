"""Drift: fields that vanished, were emptied or changed their type between the answers of two runs.

`FieldCounts` counts the shapes of one run's answers; `drifts` compares the counts of two runs. Field sets differ from
author to author, so a difference counts only where chance does not explain it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from xingtu_crawler.items.shape import FILLED, GONE, TYPES, shape

FEWEST_ANSWERS = 10
"""Answers that either run needs of an endpoint, or of what contains a field: fewer say nothing."""
RARELY = 0.05
"""A field counts as always there if at most this share of the answers lacks it, a type as new if at most this share had
it."""
USUALLY = 0.5
"""A field counts as usually filled if at least this share of the answers fills it."""
_ALL, _EVERY = 200, 20
"""The first 200 answers of an endpoint are counted, then every twentieth, so that the counts cost no time."""
_ELEMENTS = 2
"""Elements of each list that are looked at."""
_NOTEWORTHY, _SURE = 1.5, 2.0
"""Standard errors between two shares that are worth a note, and that chance does not explain."""


@dataclass(slots=True)
class PathCounts:
    """In how many answers a field could be (`answers`), was missing or filled, and had each JSON type."""

    answers: int = 0
    missing: int = 0
    filled: int = 0
    types: dict[str, int] = field(default_factory=dict)

    def add(self, bits: int, count: int) -> None:
        """Count the answers that have the same bits."""
        self.answers += count
        if bits & GONE:
            self.missing += count
        if bits & FILLED:
            self.filled += count
        for bit, name in TYPES.items():
            if bits & bit:
                self.types[name] = self.types.get(name, 0) + count


@dataclass(slots=True)
class EndpointCounts:
    """The counts of one endpoint: the number of answers that were counted, and its fields by path."""

    answers: int = 0
    paths: dict[str, PathCounts] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """Return the counts for `runs.fields`: a list, as paths hold dots, without what is 0."""
        return {
            "answers": self.answers,
            "paths": [
                {"path": path, "answers": counts.answers}
                | {name: count for name in ("missing", "filled", "types") if (count := getattr(counts, name))}
                for path, counts in sorted(self.paths.items())
            ],
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> EndpointCounts:
        """Return the counts that `as_document` has made a document of."""
        paths = {
            each["path"]: PathCounts(
                each["answers"], each.get("missing", 0), each.get("filled", 0), dict(each.get("types", {}))
            )
            for each in document["paths"]
        }
        return cls(document["answers"], paths)


class FieldCounts:
    """The counts of one run, by endpoint. Its size is bounded by the number of fields in the models."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._counted: Counter[str] = Counter()
        self._bits: defaultdict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
        """By endpoint, how many answers have which bits of which path."""
        self._examples: defaultdict[str, dict[tuple[str, int], str]] = defaultdict(dict)

    def add(self, endpoint: str, payload: object, star_id: str) -> None:
        """Count the fields of one answer about an author; after the first 200 answers, those of every twentieth."""
        self._seen[endpoint] += 1
        if (seen := self._seen[endpoint]) > _ALL and seen % _EVERY:
            return
        self._counted[endpoint] += 1
        bits = self._bits[endpoint]
        known = len(bits)
        found = shape(endpoint, payload, elements=_ELEMENTS).items()
        bits.update(found)
        if len(bits) > known:
            for each in found:
                self._examples[endpoint].setdefault(each, star_id)

    @property
    def endpoints(self) -> dict[str, EndpointCounts]:
        """The counts so far, by endpoint."""
        counts: dict[str, EndpointCounts] = {}
        for endpoint, bits in sorted(self._bits.items()):
            of_endpoint = counts[endpoint] = EndpointCounts(self._counted[endpoint])
            for (path, bits_of_path), count in bits.items():
                of_endpoint.paths.setdefault(path, PathCounts()).add(bits_of_path, count)
        return counts

    def example(self, endpoint: str, path: str, what: str) -> str | None:
        """Return an author in whose answer a field was `missing` or had the JSON type `what`."""
        wanted = GONE if what == "missing" else next((bit for bit, name in TYPES.items() if name == what), 0)
        found = (star_id for (of, bits), star_id in self._examples[endpoint].items() if of == path and bits & wanted)
        return next(found, None)

    def as_document(self) -> dict[str, Any]:
        """Return the counts for `runs.fields`."""
        return {endpoint: counts.as_document() for endpoint, counts in self.endpoints.items()}


class Drift(NamedTuple):
    """One field that differs from an earlier run."""

    kind: str
    """`vanished` (absent or null), `emptied` (there, and filled in no answer) or `retyped`."""
    path: str
    what: str
    """The new JSON type; "missing" or "empty" of the other kinds."""
    affected: int
    """Number of answers."""
    answers: int
    """Number of answers that could have the field."""
    before: tuple[int, int]
    """Both numbers of the earlier run."""
    is_sure: bool
    """Whether neither chance nor other authors explain it."""


def drifts(now: EndpointCounts, before: EndpointCounts, *, alike: bool) -> Iterator[Drift]:
    """Yield how the fields of one endpoint differ from an earlier run, in the order of their paths.

    What is inside a field that vanished is left out: too few answers could have it.

    Args:
        now: the counts of this run.
        before: the counts of the earlier run.
        alike: whether both runs were about the same queries. Other authors may lack other fields: then only what is
            gone from every answer is sure.
    """
    if min(now.answers, before.answers) < FEWEST_ANSWERS:
        return
    for path, is_now in sorted(now.paths.items()):
        was = before.paths.get(path)
        if was is not None and min(is_now.answers, was.answers) >= FEWEST_ANSWERS:
            found = [_vanished(path, is_now, was, alike), _emptied(path, is_now, was, alike)]
            yield from [each for each in found if each is not None][:1]
            yield from _retyped(path, is_now, was)


def _vanished(path: str, now: PathCounts, was: PathCounts, alike: bool) -> Drift | None:
    errors = _standard_errors(now.missing, now.answers, was.missing, was.answers)
    is_gone = now.missing == now.answers
    if errors < _NOTEWORTHY or not (is_gone or was.missing <= RARELY * was.answers):
        return None
    is_sure = errors >= _SURE and (alike or (is_gone and was.missing <= RARELY * was.answers))
    return Drift("vanished", path, "missing", now.missing, now.answers, (was.missing, was.answers), is_sure)


def _emptied(path: str, now: PathCounts, was: PathCounts, alike: bool) -> Drift | None:
    if now.filled or now.missing == now.answers or was.filled < USUALLY * was.answers:
        return None
    before = (was.answers - was.filled, was.answers)
    return Drift("emptied", path, "empty", now.answers, now.answers, before, alike)


def _retyped(path: str, now: PathCounts, was: PathCounts) -> Iterator[Drift]:
    for name, count in sorted(now.types.items()) if was.types else ():
        rare = was.types.get(name, 0)
        errors = _standard_errors(count, now.answers, rare, was.answers)
        if rare <= RARELY * was.answers and errors >= _NOTEWORTHY:
            yield Drift("retyped", path, name, count, now.answers, (rare, was.answers), errors >= _SURE)


def _standard_errors(now: int, answers_now: int, was: int, answers_was: int) -> float:
    """Return by how many standard errors a share is larger than before (the test of two proportions)."""
    difference = now / answers_now - was / answers_was
    pooled = (now + was) / (answers_now + answers_was)
    error = math.sqrt(pooled * (1 - pooled) * (1 / answers_now + 1 / answers_was))
    return difference / error if error else 0.0
