"""The API's envelope: `{code, message, data, recordTime, requestId}` around every payload.

Only `code` and `data` are always there. The body decides at any HTTP status, so this module knows no HTTP.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from xingtu_crawler.exceptions import MalformedBodyError, TooDeepError, TooLargeError

_TOO_DEEP = "the JSON is nested too deeply to be read"
_MESSAGES = ("message", "msg", "reason")
"""The fields that can hold the message; the first one that is there counts."""
_CODE = re.compile(r"[+-]?\d{1,20}", re.ASCII)
MAX_TEXT = 2_000
"""Maximum length of a message, a time or a request id: they go into the log and into every document."""
MAX_DEPTH = 500
"""Maximum number of levels of nesting; known payloads have ten. Python's own limit depends on the caller."""
MAX_VALUES = 200_000
"""Maximum number of JSON values in a body; known ones have some thousands. A value can take a hundred bytes of memory
for each byte on the wire."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One parsed body.

    `inner_status` is `data.base_resp.status_code`, the second layer of status: unless it is 0, the payload is no
    success even with `code` 0. The texts are one line each, of at most `MAX_TEXT` characters.
    """

    code: int
    message: str | None
    data: Any
    record_time: str | None
    request_id: str | None
    inner_status: int


def _load(body: bytes) -> Any:
    # Each value but the first follows a comma or an opening bracket, so this counts all of them, and no fewer.
    if len(body) > MAX_VALUES and (values := sum(map(body.count, (b",", b"[", b"{")))) > MAX_VALUES:
        raise TooLargeError(f"the JSON holds up to {values:,} values, more than {MAX_VALUES:,}: it is not parsed")
    try:
        return from_json(body, allow_inf_nan=True, cache_strings="keys")
    except ValueError:
        # The lenient parser reads some bodies that the fast one refuses: lone surrogates, a byte order mark, UTF-16,
        # hundreds of levels of nesting. They were paid for and may contain all of the data.
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
        value = int(value) if _CODE.fullmatch(value.strip()) else None
    # Some writers know doubles only: 0.0 is 0.
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        return None
    number = int(value)
    # MongoDB holds no larger integers.
    return number if number.bit_length() < 64 else None


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return one_line(text)


def one_line(text: str) -> str:
    """Return `text` in one line of at most `MAX_TEXT` characters, without control characters."""
    if len(text) > MAX_TEXT:
        text = f"{text[: MAX_TEXT - 1]}…"
    # Half a surrogate pair can be neither stored nor logged; an escape sequence would change the terminal.
    text = " ".join(text.split()).encode(errors="backslashreplace").decode()
    return (
        text
        if text.isprintable()
        else "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    )


def parse(body: bytes) -> Envelope:
    """Parse a response body.

    Raises `MalformedBodyError` if it is not JSON, is cut, is not an object or has no numeric `code` (an integer, or a
    string or float with an integer value), `TooDeepError` if it is nested too deeply, and `TooLargeError` if it holds
    more than `MAX_VALUES` values.
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
    message = next((said for name in _MESSAGES if (said := document.get(name)) not in (None, "")), None)
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
