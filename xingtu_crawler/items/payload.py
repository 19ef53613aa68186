"""The base classes of the models: `Payload`, one per endpoint, registers itself; `Part` is an object inside one.

A model declares names, types and meanings of fields; `parse` handles the values that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items.fields import Int, Text, about, to_id

MODELS: dict[str, type[Payload]] = {}
"""The model of each endpoint, by the endpoint's name in the registry."""


class Part(BaseModel):
    """An object inside a payload. Every field may be absent; unknown fields are kept."""

    model_config = ConfigDict(extra="allow")

    sparse: ClassVar[bool] = False
    """True: only fields that are present are stored. False: absent fields are stored as null."""

    seldom: ClassVar[frozenset[str]] = frozenset()
    """The fields that most authors lack: absent ones are not stored as null."""

    zero_is_null: ClassVar[frozenset[str]] = frozenset()
    """The fields in which 0, "0", "", [] and false mean "not supplied": they are stored as null."""

    correct: ClassVar[Callable[[dict[str, Any]], None] | None] = None
    """Corrects the typed data in place; each correction is one of `corrections.CORRECTIONS`."""


class Payload(Part):
    """The payload of one endpoint: `class BaseInfo(Payload, endpoint="base_info")`."""

    def __init_subclass__(cls, *, endpoint: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if endpoint is not None:
            MODELS[endpoint] = cls

    @classmethod
    def identify(cls, payload: dict[str, Any], star_id: str | None) -> None:
        """Raise `IdentityError` unless `payload`, as received, is an answer of this endpoint about `star_id`.

        This method requires at least one of the endpoint's own fields; models of answers with an id check that too.
        The status layer alone is an empty answer, which is about any author.
        """
        if own_fields(cls).isdisjoint(payload) and not is_empty(payload):
            raise IdentityError("the payload has none of the fields of its endpoint")

    @classmethod
    def is_anonymous(cls, payload: dict[str, Any]) -> bool:
        """Return whether `payload` lacks the author's id, although answers of this endpoint have it."""
        return False


class BaseResp(Part):
    """The second status layer; `api` checks it before a payload is typed."""

    status_code: Int = about("Inner status; 0 is success.", "documented", "none")
    status_message: Text = about("Inner status in words; may be empty.", "documented", "none")


def is_empty(payload: dict[str, Any]) -> bool:
    """Return whether a payload is an empty answer: it has the status layer, and nothing else."""
    return payload.keys() == {"base_resp"}


@cache
def own_fields(model: type[Payload]) -> frozenset[str]:
    """Return the fields of the endpoint of `model`: all but the status layer, which every payload has."""
    return frozenset(model.model_fields) - {"base_resp"}


def is_absent(raw: object) -> bool:
    """Return whether an id is not supplied."""
    return raw is None or raw == 0 or (isinstance(raw, str) and raw.strip() in {"", "0"})


def require_same_id(name: str, raw: object, star_id: str | None) -> None:
    """Raise `IdentityError` if the id `raw` in the field `name` contradicts `star_id`; None: nothing does.

    An absent id contradicts nothing, and neither does a float that has lost the last digits of `star_id`.
    """
    if star_id is None or is_absent(raw):
        return
    if isinstance(raw, float):
        if raw == float(star_id):
            return
        raise IdentityError(f"{name} is {raw!r} and not {star_id!r}")
    try:
        found = (to_id(raw) or "").strip()
    except PydanticCustomError:
        raise IdentityError(f"{name} is {type(raw).__name__} and not an id") from None
    if found != star_id:
        raise IdentityError(f"{name} is {found[:40]!r} and not {star_id!r}")
