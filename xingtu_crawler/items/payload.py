"""The bases of the models: `Payload`, one per endpoint, registers itself; `Part` is an object inside one.

A model says what the fields are called, their types and meaning; how misfits are survived is `parse`'s business.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from xingtu_crawler.exceptions import IdentityError
from xingtu_crawler.items.fields import Int, Text, about, to_id

MODELS: dict[str, type[Payload]] = {}
"""The model of each endpoint, by the endpoint's name in the registry."""


class Part(BaseModel):
    """An object inside a payload. Every field may be absent; fields that no model names are kept."""

    model_config = ConfigDict(extra="allow")

    sparse: ClassVar[bool] = False
    """True: only the fields that came are stored; False: every field is, as null where it did not come."""

    zero_is_null: ClassVar[frozenset[str]] = frozenset()
    """The fields in which 0, "0", "", [] and false mean "not supplied": they are stored as null."""


class Payload(Part):
    """The payload of one endpoint: `class BaseInfo(Payload, endpoint="base_info")`."""

    def __init_subclass__(cls, *, endpoint: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if endpoint is not None:
            MODELS[endpoint] = cls

    @classmethod
    def identify(cls, payload: dict[str, Any], star_id: str | None) -> None:
        """Raise `IdentityError` unless `payload`, as it came, is an answer of this endpoint about `star_id`.

        This one asks for at least one of the endpoint's own fields; an endpoint whose answers bear an id asks more.
        """
        if own_fields(cls).isdisjoint(payload):
            raise IdentityError("the payload has none of the fields of its endpoint")


class BaseResp(Part):
    """The second status layer, checked before a payload gets here."""

    status_code: Int = about("Inner status; 0 is success.")
    status_message: Text = about("Inner status in words; may be empty.")


@cache
def own_fields(model: type[Payload]) -> frozenset[str]:
    """Return the fields that only `model`'s endpoint answers: all but the status layer every payload has."""
    return frozenset(model.model_fields) - {"base_resp"}


def require_id(name: str, raw: object, star_id: str | None) -> None:
    """Raise `IdentityError` unless the id `raw`, called `name`, is that of `star_id` (None: of anybody)."""
    try:
        found = to_id(raw)
    except PydanticCustomError:
        raise IdentityError(f"{name} is {type(raw).__name__} and not an id") from None
    if not found:
        raise IdentityError(f"{name} is missing")
    if star_id is not None and found != star_id:
        raise IdentityError(f"{name} is {found[:40]!r} and not {star_id!r}")
