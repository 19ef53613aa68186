"""`parse`: turns a payload into typed data and a list of values that did not fit.

Lenient about every field, strict about identity. Knows the registry of models, no single endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items.payload import MODELS
from xingtu_crawler.items.readers import reader_of
from xingtu_crawler.items.storable import Notes


@dataclass(frozen=True, slots=True)
class Parsed:
    """A payload after typing.

    `data` holds plain values that BSON can encode. `unparsed` maps the path of each value that did not fit
    (`price_info.3.price`) to `{"raw", "error"}`; the typed field is then None, and `raw` is the value as it came, or
    its JSON text if MongoDB cannot store it. `unknown_fields` are the sorted paths that no model names
    (`price_info[].new_field`); their values stay in `data` as they came.
    """

    data: dict[str, Any]
    unparsed: dict[str, dict[str, Any]]
    unknown_fields: list[str]
    is_anonymous: bool = False
    """Whether the payload lacks the author's id, although answers of its endpoint have it."""


def parse(endpoint: str, payload: object, *, star_id: str | None) -> Parsed:
    """Type `payload`, an answer of `endpoint` about `star_id` (None: about any author), without changing it.

    Raises `IdentityError` if it is not such an answer, `KeyError` for an endpoint without a model, and nothing else.
    """
    model = MODELS[endpoint]
    if not isinstance(payload, dict):
        raise IdentityError(f"the payload is {type(payload).__name__} and not an object")
    model.identify(payload, star_id)
    notes = Notes()
    try:
        data = reader_of(model)(payload, "", "", notes)
    except RecursionError:
        raise IdentityError("the payload is nested too deeply to be stored") from None
    return Parsed(data, notes.unparsed, sorted(notes.unknown), model.is_anonymous(payload))
