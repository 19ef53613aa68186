"""The value of one search filter: from the form in which it was given to the canonical form that is sent.

Knows the kinds of filters, not the filters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from functools import cache, lru_cache

from xingtu_crawler.arguments import ranges
from xingtu_crawler.arguments.filters import Filter, Kind
from xingtu_crawler.arguments.typed import Typed
from xingtu_crawler.arguments.wording import folded, nearest, shown

_FEW = 6
_RANGES: dict[Kind, Callable[[Typed, str], str]] = {
    Kind.INTEGERS: ranges.integers,
    Kind.DECIMALS: ranges.decimals,
    Kind.FRACTIONS: ranges.fractions,
    Kind.DAYS: ranges.days,
}


def canonical(filter_: Filter, typed: Typed) -> tuple[str, tuple[str, ...]]:
    """Return the value to send and the warnings about it; raise `ArgumentError` for an invalid value.

    Values of the same meaning give the same text, however they were written. Only documented aliases are replaced.
    Undocumented labels and undocumented values of `kolPriceType` are sent as given, with a warning.
    """
    if filter_.kind in _RANGES:
        return _RANGES[filter_.kind](typed, filter_.example), ()
    if filter_.kind in {Kind.CODE, Kind.FLAG}:
        return _code(filter_, typed, typed.value), ()
    if filter_.kind is Kind.CODES:
        return _joined(_code(filter_, typed, element) for element in typed.elements), ()
    if filter_.kind is Kind.OPEN_CODE:
        return typed.value, () if typed.value in filter_.codes else (_undocumented(filter_, typed, typed.value),)
    if filter_.kind is Kind.LABELS:
        return _labels(filter_, typed)
    return typed.value, ()


def _joined(elements: Iterable[str]) -> str:
    """Join elements as a set: order and repetition have no meaning in a filter."""
    return ",".join(sorted(set(elements)))


def _lookup(filter_: Filter, text: str) -> str | None:
    return _folded(filter_).get(folded(text))


@cache
def _folded(filter_: Filter) -> dict[str, str]:
    return {folded(known): value for known, value in filter_.known.items()}


def _code(filter_: Filter, typed: Typed, text: str) -> str:
    value = _lookup(filter_, text)
    if value is not None:
        return value
    near = nearest(text, filter_.known)
    few = len(filter_.codes) <= _FEW
    where = f"one of {', '.join(filter_.codes)}" if few else "one of the codes in docs/search-filters.md"
    if near is None:
        raise typed.error(f"{shown(text)} is not a value of {filter_.name}; it must be {where}.")
    raise typed.error(
        f"{shown(text)} is not a value of {filter_.name}; did you mean {filter_.known[near]}? It must be {where}."
    )


def _labels(filter_: Filter, typed: Typed) -> tuple[str, tuple[str, ...]]:
    sent, warnings = [], []
    for element in typed.elements:
        label = _lookup(filter_, element)
        if label is None:
            label = unicodedata.normalize("NFC", element)
            is_number = filter_.numbered and element.isascii() and element.isdigit()
            # Where the documentation does not list every label, only a likely misspelling deserves a warning.
            if not is_number and (filter_.exhaustive or _near_label(filter_, element) is not None):
                warnings.append(_undocumented(filter_, typed, element))
        sent.append(label)
    return _joined(sent), tuple(warnings)


@lru_cache(4096)  # a file of queries repeats the same labels hundreds of times
def _near_label(filter_: Filter, element: str) -> str | None:
    # Two Chinese labels of three characters that share two have a likeness of 0.67; often both exist (吉林省, 吉林市).
    return nearest(element, filter_.known, likeness=0.75)


def _undocumented(filter_: Filter, typed: Typed, text: str) -> str:
    near = _near_label(filter_, text)
    hint = "" if near is None else f" (did you mean {near}?)"
    return f"{typed}: {shown(text)} is not among the documented values of {filter_.name}{hint}; sent as given."
