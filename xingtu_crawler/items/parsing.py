"""`parse`: a payload becomes typed data plus a list of what did not fit. Lenient per field, strict per identity.

It knows pydantic and the models' registry, but no endpoint, no MongoDB and no Scrapy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items.fields import decode
from xingtu_crawler.items.payload import MODELS, Part, Payload
from xingtu_crawler.items.storable import MAX_DEPTH, Notes, clean, clean_key, is_storable_key

_MAX_ROUNDS = 4
"""Validations of one payload; two suffice, a wrapper around a model may need more."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A payload after typing.

    `data` holds plain values that BSON can encode. `unparsed` maps the path of each value that did not fit
    (`price_info.3.price`) to `{"raw", "error"}`; the typed field is then None, and `raw` is the value as it came, or
    its JSON text where MongoDB cannot store it. `unknown_fields` are the sorted paths that no model names
    (`price_info[].new_field`); their values stay in `data` as they came.
    """

    data: dict[str, Any]
    unparsed: dict[str, dict[str, Any]]
    unknown_fields: list[str]


def parse(endpoint: str, payload: object, *, star_id: str | None) -> Parsed:
    """Type `payload`, an answer of `endpoint` about `star_id` (None: whoever it is about), without changing it.

    Raises `IdentityError` when it is not such an answer, and nothing else whatever it holds; an endpoint without
    a model is a `KeyError`.
    """
    model = MODELS[endpoint]
    if not isinstance(payload, dict):
        raise IdentityError(f"the payload is {type(payload).__name__} and not an object")
    model.identify(payload, star_id)
    notes = Notes()
    try:
        data = _dump(_validate(model, payload, notes), "", "", notes)
    except RecursionError:
        raise IdentityError("the payload is nested too deeply to be stored") from None
    return Parsed(data, notes.unparsed, sorted(notes.unknown))


def _validate(model: type[Payload], payload: dict[str, Any], notes: Notes) -> Payload:
    """Validate; where that fails, take out what does not fit until the rest passes."""
    try:
        return model.model_validate(payload)
    except ValidationError:
        copy = clean(payload, "", notes, wide_ints=True)
    for _ in range(_MAX_ROUNDS):
        try:
            return model.model_validate(copy)
        except ValidationError as misfits:
            errors = misfits.errors(include_url=False, include_context=False, include_input=False)
        for error in errors:
            _take_out(copy, error["loc"], error["msg"], notes)
    raise IdentityError(f"the payload does not fit its model: {errors[0]['msg'].splitlines()[0]}")


def _take_out(copy: dict[str, Any], loc: tuple[int | str, ...], message: str, notes: Notes) -> None:
    """Set the value at `loc` to None in `copy`, decoding JSON texts on the way, and note it as it came."""
    holder: Any = copy
    for depth, step in enumerate(loc, start=1):
        try:
            inner = holder[step]
        except (KeyError, IndexError, TypeError):  # a field that may not be absent, or a loc that is no path
            return
        if inner is None:
            return
        if depth < len(loc) and isinstance(inner, str):
            inner = holder[step] = _decoded(inner)
        if depth == len(loc) or not isinstance(inner, dict | list):
            notes.misfit(".".join(map(str, loc[:depth])), inner, message)
            holder[step] = None
            return
        holder = inner


def _decoded(text: str) -> Any:
    try:
        return decode(text)
    except PydanticCustomError:  # then the misfit is the text itself
        return text


def _dump(model: Part, path: str, pattern: str, notes: Notes) -> dict[str, Any]:
    """Return the fields of `model` as plain values; `path` has list indexes, `pattern` has [] for them."""
    data: dict[str, Any] = model.__dict__
    if model.sparse:
        given = model.model_fields_set
        data = {name: value for name, value in data.items() if name in given}
    else:
        data = data.copy()
    for name in _nested(type(model)):
        value = data.get(name)
        if value:
            data[name] = _plain(value, f"{path}.{name}", f"{pattern}.{name}", notes)
    for key, value in (model.__pydantic_extra__ or {}).items():
        name = key if is_storable_key(key) else clean_key(key, path, data, notes)
        notes.unknown.add(f"{pattern}.{name}".removeprefix("."))
        data[name] = clean(value, f"{path}.{name}", notes)
    return data


def _plain(value: object, path: str, pattern: str, notes: Notes, depth: int = 0) -> Any:
    if isinstance(value, Part):
        return _dump(value, path, pattern, notes)
    if isinstance(value, list) and depth < MAX_DEPTH:
        return [_plain(inner, f"{path}.{index}", f"{pattern}[]", notes, depth + 1) for index, inner in enumerate(value)]
    if isinstance(value, dict) and any(isinstance(inner, Part) for inner in value.values()):
        return {
            key: _plain(inner, f"{path}.{key}", f"{pattern}.{key}", notes, depth + 1) for key, inner in value.items()
        }
    return clean(value, path, notes, depth=depth)


@cache
def _nested(model: type[Part]) -> tuple[str, ...]:
    """Return the fields of `model` that can hold a model, or values that nobody has typed."""
    return tuple(name for name, field in model.model_fields.items() if _is_nested(field.annotation))


def _is_nested(annotation: Any) -> bool:
    if annotation is Any or (isinstance(annotation, type) and issubclass(annotation, Part)):
        return True
    return any(_is_nested(inner) for inner in get_args(annotation))
