"""The types of fields: converters from a value as the API sends it to the value that is stored.

A converter raises `PydanticCustomError` for a value that does not fit. It knows nothing about paths or payloads.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PlainValidator
from pydantic_core import PydanticCustomError, from_json

from xingtu_crawler.items.storable import INT64, is_storable_text

_DECIMAL = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?").fullmatch
_WHOLE = re.compile(r"(-?[0-9]{1,400})(?:\.0+)?")
_SAFE_DIGITS = 18  # as many always fit 64 bits
_MAX_DIGITS = 400  # more than any double has; Python refuses to convert thousands
_EXACT_DOUBLE = 2.0**53  # every integer below is exact in a double
_MINUS_EXACT_DOUBLE = -_EXACT_DOUBLE
_LAST_SECOND = 253402300799  # 9999-12-31 23:59:59 UTC, the end of what a datetime can hold
_FLAGS = {"0": False, "1": True, "false": False, "true": True}


Evidence: TypeAlias = Literal["documented", "by_name", "guess"]
"""How the meaning of a field is known: from documentation or from answers that prove it; from its name; inferred."""
Privacy: TypeAlias = Literal["direct", "id", "quasi", "free_text", "none"]
"""The privacy class: identifies a person directly; is an id that others can look up; identifies in combination; is
text that may hold anything; is nothing about a person."""


def about(description: str, evidence: Evidence | None = None, privacy: Privacy | None = None) -> Any:
    """Declare a field that may be absent: its line in the codebook.

    Every field of the models has an evidence and a privacy class; a test fails where one is missing.
    """
    return Field(default=None, description=description, json_schema_extra={"evidence": evidence, "privacy": privacy})


def to_int(value: object) -> int | None:
    """Return a 64-bit integer from an integer, a whole float or their decimal text; `""` is None."""
    if isinstance(value, str):
        if value.isdigit() and value.isascii() and len(value) <= _SAFE_DIGITS:
            return int(value)
        return _rare_int(value) if value else None
    if isinstance(value, int) and value is not True and value is not False:
        if INT64.start <= value < INT64.stop:
            return value
        raise PydanticCustomError("int", "an integer beyond 64 bits")
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_DOUBLE:
        return int(value)
    raise PydanticCustomError("int", "not an integer")


def _rare_int(text: str) -> int:
    """Read the decimal text of an integer that is negative, long, or written with a zero fraction."""
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        raise PydanticCustomError("int", "not an integer")
    number = int(whole[1])
    if number not in INT64:
        raise PydanticCustomError("int", "an integer beyond 64 bits")
    return number


def to_float(value: object) -> float | None:
    """Return a finite double from a number or its decimal text; `""` is None.

    An integer that a double cannot hold exactly does not fit.
    """
    if isinstance(value, str):
        if not value:
            return None
        plain = len(value) <= _MAX_DIGITS and value.replace(".", "", 1).isdigit() and value.isascii()
        if not plain and not _DECIMAL(value):
            raise PydanticCustomError("float", "not a number")
        number = float(value)
    elif isinstance(value, float):
        number = value
    elif isinstance(value, int) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise PydanticCustomError("float", "a number beyond a double") from None
    elif value is None:
        return None
    else:
        raise PydanticCustomError("float", "not a number")
    if _MINUS_EXACT_DOUBLE < number < _EXACT_DOUBLE:
        return number or 0.0  # -0.0 is the same number, but would give another hash
    if not isfinite(number):
        raise PydanticCustomError("float", "not a finite number")
    if _is_inexact(number, value):
        raise PydanticCustomError("float", "an integer beyond the precision of a double")
    return number


def _is_inexact(number: float, value: object) -> bool:
    if isinstance(value, str):
        return value.lstrip("-").isdigit() and int(number) != int(value)
    return isinstance(value, int) and int(number) != value


def to_bool(value: object) -> bool | None:
    """Return a flag from a boolean, 0 or 1, or their text in any case; `""` is None."""
    if value is True or value is False or value is None:
        return value
    if isinstance(value, str):
        flag = _FLAGS.get(value)
        if flag is None and value:
            flag = _FLAGS.get(value.lower())
            if flag is None:
                raise PydanticCustomError("bool", "not a flag")
        return flag
    if type(value) is int and value in (0, 1):
        return value == 1
    raise PydanticCustomError("bool", "not a flag")


def to_time(value: object) -> datetime | None:
    """Return a UTC datetime from Unix seconds (number or text); 0 and `""` are None."""
    seconds = to_int(value)
    return _moment(seconds) if seconds else None


@lru_cache(maxsize=4096)
def _moment(seconds: int) -> datetime:
    """Return the UTC datetime of Unix seconds; cached, as an author's prices start and end at the same few moments."""
    if not 0 < seconds <= _LAST_SECOND:
        raise PydanticCustomError("time", "not Unix seconds before the year 10000")
    return datetime.fromtimestamp(seconds, UTC)


def to_text(value: object) -> str | None:
    """Return text unchanged; text that is not Unicode (a lone surrogate) does not fit."""
    if isinstance(value, str):
        if value.isascii() or is_storable_text(value):
            return value
        raise PydanticCustomError("text", "not valid Unicode")
    if value is None:
        return None
    raise PydanticCustomError("text", "not a text")


def to_id(value: object) -> str | None:
    """Return an id as text. An integer becomes its decimal text; a float may have lost digits, so it does not fit."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError:  # more digits than Python converts
            raise PydanticCustomError("id", "not an id") from None
    if value is None or isinstance(value, str):
        return to_text(value)
    raise PydanticCustomError("id", "not an id")


def decode(value: object) -> Any:
    """Return the value of a JSON text; `""` is None, and a value that is not text is returned as it is."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    try:
        return from_json(value)
    except (ValueError, TypeError):  # TypeError: a lone surrogate in the text
        raise PydanticCustomError("json", "not JSON, or cut short") from None


Int = Annotated[int | None, PlainValidator(to_int)]
Float = Annotated[float | None, PlainValidator(to_float)]
Bool = Annotated[bool | None, PlainValidator(to_bool)]
Time = Annotated[datetime | None, PlainValidator(to_time)]
Text = Annotated[str | None, PlainValidator(to_text)]
Id = Annotated[str | None, PlainValidator(to_id)]

Decoded = BeforeValidator(decode)
"""Marks a field that may come as a JSON text: `Annotated[list[Text] | None, Decoded]`."""

TextList = Annotated[list[Text] | None, Decoded]
IdList = Annotated[list[Id] | None, Decoded]
IntList = Annotated[list[Int] | None, Decoded]
FloatMap = Annotated[dict[str, Float] | None, Decoded]
TextListMap = Annotated[dict[str, list[Text] | None] | None, Decoded]

AnyJson = Annotated[Any, Decoded]
AnyList = Annotated[list[Any] | None, Decoded]
AnyObject = Annotated[dict[str, Any] | None, Decoded]
"""JSON, lists and objects of an undocumented shape: decoded, and stored as they came."""
