"""The shape of a payload: which fields of its model are there, whether they are filled, and their JSON types.

Fields that no model names are left out, because the keys of an object may be data. So is `base_resp`: it is about the
call and not about the author.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, TypeAlias, get_args, get_origin

from xingtu_crawler.items.payload import MODELS, Part

GONE = 1
"""The field is absent or null."""
FILLED = 2
"""The value says something: it is not 0, false, empty text, an empty list or an empty object."""
TYPES = {4: "flag", 8: "number", 16: "text", 32: "list", 64: "object"}
"""The JSON types by their bits. Empty text, lists and objects stand for values of any type, so they have none."""

_BIT_OF: dict[type, int] = {bool: 4, int: 8, float: 8, str: 16, list: 32, dict: 64}
_BLANK = frozenset({"", "0", "0.0", "[]", "{}", "null", "false", "False"})
"""Texts that say nothing: numbers, flags and JSON come as text."""
_SCALARS_WITH_TYPE = 4 | 8


class _Field(NamedTuple):
    name: str
    path: str
    below: tuple[_Field, ...]
    """The fields of the object, or of each element of the list; empty for any other value."""


_Names: TypeAlias = "dict[str, _Names]"
"""The names of fields, each with those below it."""


def shape(endpoint: str, payload: object, *, elements: int = 1) -> dict[str, int]:
    """Return the bits of every field of a payload as received, by its path (`price_info[].price`).

    A path inside a list has the bits of its first `elements` elements together. A path inside an object or a list that
    is not there is left out.
    """
    found: dict[str, int] = {}
    if isinstance(payload, dict):
        _add(_fields_of(MODELS[endpoint], ""), payload, elements, found)
    return found


def count_filled(endpoint: str, payload: object) -> int:
    """Return the number of different fields of a payload that say something; of a list, the first element counts.

    Every answer is counted, so this is no sum over `shape`, which costs several times as much.
    """
    return _count(_names_of(endpoint), payload) if isinstance(payload, dict) else 0


def _count(names: _Names, raw: dict[Any, Any]) -> int:
    count = 0
    for name, value in raw.items():
        if not value or name not in names:
            continue
        if value.__class__ is str:
            count += value not in _BLANK
            continue
        count += 1
        if below := names[name]:
            inner = value[0] if value.__class__ is list else value
            if inner.__class__ is dict:
                count += _count(below, inner)
    return count


@cache
def _names_of(endpoint: str) -> _Names:
    return _names(_fields_of(MODELS[endpoint], ""))


def _names(fields: tuple[_Field, ...]) -> _Names:
    return {name: _names(below) for name, _, below in fields}


def _add(fields: tuple[_Field, ...], raw: dict[Any, Any], elements: int, found: dict[str, int]) -> None:
    for name, path, below in fields:
        value = raw.get(name)
        if value is None:
            bits = GONE
        elif not value:
            bits = _BIT_OF.get(value.__class__, 0) & _SCALARS_WITH_TYPE
        else:
            bits = _BIT_OF.get(value.__class__, 0)
            if value.__class__ is not str or value not in _BLANK:
                bits |= FILLED
        found[path] = found.get(path, 0) | bits
        if below and bits & FILLED:
            if value.__class__ is dict:
                _add(below, value, elements, found)
            elif value.__class__ is list:
                for each in value[:elements]:
                    if each.__class__ is dict:
                        _add(below, each, elements, found)


@cache
def _fields_of(model: type[Part], prefix: str) -> tuple[_Field, ...]:
    """Return the fields of a model, compiled once, as every answer is walked through."""
    return tuple(
        _Field(name, f"{prefix}{name}", _below(field.annotation, f"{prefix}{name}"))
        for name, field in model.model_fields.items()
        if name != "base_resp"
    )


def _below(annotation: Any, path: str) -> tuple[_Field, ...]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return _fields_of(annotation, f"{path}.")
    if get_origin(annotation) is dict:
        return ()
    inner = f"{path}[]" if get_origin(annotation) is list else path
    return next((below for each in get_args(annotation) if (below := _below(each, inner))), ())
