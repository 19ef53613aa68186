"""The shape of JSON values, and the population whose shapes are compared with the API's documented examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xingtu_crawler.sandbox.population import Population

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
POPULATION = Population(seed=1, size=400)
# Its keys are tags, words or other data, not fields.
OPEN = {"$.tags_relation"}


def paths(value: Any, path: str = "$") -> Iterator[tuple[str, str]]:
    """Yield (path, JSON type) for everything in `value`; elements of a list share one path."""
    kind = "number" if type(value) in (int, float) else type(value).__name__
    yield path, kind
    if isinstance(value, dict) and path not in OPEN:
        for name, inner in value.items():
            yield from paths(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{path}[]")


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"author_{name}.json").read_text(encoding="utf-8"))["data"]


def old_card(index: int) -> bool:
    return POPULATION.priced(index) and not POPULATION.new_card(index)
