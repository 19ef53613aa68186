"""The API's envelope: `{code, message, data, recordTime, requestId}` around every answer.

Only `code` and `data` are certain. The body decides at any HTTP status, so nothing in here looks at HTTP.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from xingtu_crawler.exceptions import MalformedBodyError, TooDeepError

_TOO_DEEP = "the JSON is nested too deeply to be read"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One answer.

    `inner_status` is `data.base_resp.status_code`, the second status layer: where it is not 0 the payload is
    not a success even with `code` 0.
    """

    code: int
    message: str | None
    data: Any
    record_time: str | None
    request_id: str | None
    inner_status: int


MAX_DEPTH = 500
"""Levels of nesting that are read; known answers have ten. Python's own limit depends on who calls."""


def _load(body: bytes) -> Any:
    try:
        return from_json(body, allow_inf_nan=True, cache_strings="keys")
    except ValueError:
        # What the fast parser refuses and a lenient one can still read (lone surrogates, a byte order mark,
        # UTF-16, nesting of a few hundred levels) was paid for and may hold everything that was asked.
        try:
            document = json.loads(body)
        except RecursionError:
            raise TooDeepError(_TOO_DEEP) from None
        except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
            raise MalformedBodyError(f"not JSON: {error}") from None
        if _is_too_deep(document):
            raise TooDeepError(_TOO_DEEP) from None
        return document


def _is_too_deep(document: object) -> bool:
    level = [document]
    for _ in range(MAX_DEPTH):
        containers = [each for each in level if isinstance(each, dict | list)]
        level = [inner for each in containers for inner in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return False
    return True


def _integer(value: object) -> int | None:
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            return None
    # 0.0 is 0 in JSON, and some writers know no other number.
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        return None
    number = int(value)
    # What no database can hold is no code either.
    return number if number.bit_length() < 64 else None


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Half a surrogate pair can be neither stored nor logged.
    return text.encode(errors="backslashreplace").decode()


def parse(body: bytes) -> Envelope:
    """Read a response body.

    Raises `MalformedBodyError` where it is not JSON, is cut, is not an object or has no numeric `code`
    (an integer, or a string or float that is one), and `TooDeepError` where it is nested beyond what can be read.
    """
    document = _load(body)
    if not isinstance(document, dict):
        raise MalformedBodyError(f"JSON, but a {type(document).__name__} and not an object")
    code = _integer(document.get("code"))
    if code is None:
        raise MalformedBodyError("an object without a numeric `code`")
    data = document.get("data")
    base_resp = data.get("base_resp") if isinstance(data, dict) else None
    inner = _integer(base_resp.get("status_code")) if isinstance(base_resp, dict) else None
    message = document.get("message")
    if inner and code == 0:
        message = base_resp.get("status_message") if isinstance(base_resp, dict) else message
    return Envelope(
        code=code,
        message=_text(message),
        data=data,
        record_time=_text(document.get("recordTime")),
        request_id=_text(document.get("requestId")),
        inner_status=inner or 0,
    )
