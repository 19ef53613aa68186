"""Finds pieces of tokens in bytes, also where they are escaped or in UTF-16; `api.secrets` hides them.

A message that cuts a URL holds a part of the token, and that part is a secret too. The search has two stages: a
check that costs some microseconds and excludes nearly every response, and a search in the decoded text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from pydantic_core import SchemaValidator, ValidationError, core_schema

PIECE = 8
"""The minimum number of characters of a token that must not be seen."""
_GRAM = 5
"""Characters of a probe."""
_STEP = PIECE - _GRAM + 1
"""Characters from one probe to the next: any piece contains a whole probe."""
_LEVELS = 6
"""How many times the text is decoded: a URL in HTML in JSON takes three."""
_PART = 250_000
"""Bytes of a body that are decoded at once."""
_OVERLAP = 4_096
"""Bytes that two parts share: more than the longest spelling of a piece."""
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_ESCAPE = re.compile(
    rb"%([0-9a-fA-F]{2})"
    rb"|\\x([0-9a-fA-F]{2})"
    rb"|\\u([0-9a-fA-F]{4})"
    rb"|\\U([0-9a-fA-F]{8})"
    rb"|&#[xX]([0-9a-fA-F]{1,8});?"
    rb"|&#([0-9]{1,8});?"
    rb"|&(amp|lt|gt|quot|apos);"
    rb"""|\\(["'\\/])"""
    rb"|(\0+)"  # UTF-16 and UTF-32: what is left are the characters of ASCII
)

_Edit = tuple[int, int, int, int]
"""Where the decoded characters begin and end, and where the escape did."""


class Pieces:
    """The pieces of some tokens."""

    def __init__(self, tokens: Iterable[str]) -> None:
        windows: dict[bytes, None] = {}
        probes: dict[str, None] = {}
        characters: set[str] = set()
        for token in tokens:
            for spelled in {token, _decoded_completely(token)}:
                if spelled != token and len(spelled) < PIECE:
                    continue  # as short as that, it can be anything
                windows |= dict.fromkeys(each.encode(errors="surrogatepass") for each in _windows(spelled, PIECE, 1))
                probes |= dict.fromkeys(_windows(spelled, _GRAM if len(spelled) >= PIECE else PIECE, _STEP))
                characters |= set(spelled)
        self._windows = list(windows)
        self._signs: SchemaValidator | None = None
        if not windows:
            return
        # Half a surrogate pair is in no UTF-8; a body that is not UTF-8 is always searched.
        probes = {probe: None for probe in probes if probe.isascii() or probe.encode(errors="ignore").decode() == probe}
        octets = sorted({octet for each in characters for octet in each.encode(errors="surrogatepass")})
        has_marks = not characters.isdisjoint("&<>\"'\\/")
        # Rust's engine searches for a few strings at once fifty times as fast as `in` for one after the other.
        self._signs = _matcher([re.escape(probe) for probe in probes])
        self._beginnings = _matcher(_beginnings_of_escapes(octets, has_marks=has_marks))
        self._escapes = _matcher(_escapes_of(octets, has_marks=has_marks))

    def masked(self, body: bytes, mask: bytes) -> bytes:
        """Return `body` with `mask` for every piece in it; the object itself where there is none."""
        if self._signs is None or self._is_clean(body):
            return body
        spans = sorted(self._all_spans(body))
        if not spans:
            return body
        parts: list[bytes] = []
        begun = 0
        for start, end in _merged(spans):
            parts += [body[begun:start], _as_wide_as(body[start:end], mask)]
            begun = end
        return b"".join([*parts, body[begun:]])

    def _is_clean(self, body: bytes) -> bool:
        """Return whether there can be no piece: no probe as it is, and no escape of a character of the tokens."""
        assert self._signs is not None
        if b"\0" in body or _is_in(body, self._signs) is not False:
            return False
        return not _is_in(body, self._beginnings) or not _is_in(body, self._escapes)

    def _all_spans(self, body: bytes) -> Iterator[tuple[int, int]]:
        """Yield where pieces begin and end; a large body is searched in parts: decoding takes many times its size."""
        for at in range(0, len(body), _PART):
            begin = max(0, at - _OVERLAP)
            for start, end in self._spans(body[begin : at + _PART + _OVERLAP]):
                yield begin + start, begin + end

    def _spans(self, body: bytes) -> Iterator[tuple[int, int]]:
        """Yield where pieces begin and end, as the body is and after each decoding."""
        edits: list[list[_Edit]] = []
        for _ in range(_LEVELS):
            for window in self._windows:
                at = body.find(window)
                while at >= 0:
                    yield _before(at, at + len(window), edits)
                    at = body.find(window, at + 1)
            body, changed = _decoded(body)
            if not changed:
                return
            edits.append(changed)


def _matcher(expressions: list[str]) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern="|".join(expressions), regex_engine="rust-regex"))


def _is_in(body: bytes, matcher: SchemaValidator) -> bool | None:
    """Return whether one of the expressions is in `body`; None where it is not UTF-8."""
    try:
        matcher.validate_python(body)
    except ValidationError as error:
        (reason,) = error.errors(include_url=False, include_context=False, include_input=False)
        return False if reason["type"] == "string_pattern_mismatch" else None
    return True


def _windows(token: str, length: int, step: int) -> list[str]:
    return [token[at : at + length] for at in range(0, max(1, len(token) - length + 1), step)]


def _beginnings_of_escapes(octets: list[int], *, has_marks: bool) -> list[str]:
    """Return strings, as expressions, of which every escape that `_escapes_of` matches contains one."""
    digits = {f"{octet:02x}"[0] for octet in [*octets, 0x25]}
    percents = {f"%{digit}" for digit in digits} | {f"%{digit.upper()}" for digit in digits}
    marks = [r"\\[\"'\\/]", "&amp;", "&lt;", "&gt;", "&quot;", "&apos;"] if has_marks else []
    return [*sorted(percents), "%5", "&#", ";#", r"\\u" if octets[-1] > 127 else r"\\u00", r"\\x", r"\\U", *marks]


def _escapes_of(octets: list[int], *, has_marks: bool) -> list[str]:
    """Return expressions for the escapes that can stand for one of the bytes in UTF-8."""
    pairs = "|".join(f"[{a}{a.upper()}][{b}{b.upper()}]" for a, b in (list(f"{octet:02x}") for octet in octets))
    # Of what lies beyond ASCII, any \uXXXX may be a part.
    four = "[0-9a-fA-F]{4}" if octets[-1] > 127 else f"00(?:{pairs})"
    marks, named = ("|[\"'\\\\/]", "|amp;|lt;|gt;|quot;|apos;") if has_marks else ("", "")
    # The first character of an escape may be escaped too: & in a URL, % and & in JSON.
    percent = rf"{pairs}|26(?:amp%3[bB])*(?:%23|#)|5[cC](?:[uUx]|%)"
    unicode = rf"{four}|0025(?:25)*(?:{pairs})|0026(?:amp;)*(?:#|\\+u0023{named})|005[cC]"
    return [
        f"%(?:25)*(?:{percent})",
        f"&(?:amp;)*(?:#{named})",
        rf"\\(?:u(?:{unicode})|x(?:{pairs}|25|26|5c)|U{marks})",
    ]


def _decoded_completely(token: str) -> str:
    raw = token.encode(errors="surrogatepass")
    for _ in range(_LEVELS):
        raw, _edits = _decoded(raw)
    return raw.decode(errors="replace")


def _decoded(body: bytes) -> tuple[bytes, list[_Edit]]:
    """Return `body` with each escape decoded once, and where."""
    parts: list[bytes] = []
    edits: list[_Edit] = []
    begun = length = 0
    for found in _ESCAPE.finditer(body):
        character = _character(found)
        parts += [body[begun : found.start()], character]
        length += found.start() - begun
        edits.append((length, length + len(character), found.start(), found.end()))
        length += len(character)
        begun = found.end()
    return (b"".join([*parts, body[begun:]]), edits) if edits else (body, edits)


def _character(found: re.Match[bytes]) -> bytes:
    percent, octet, four, eight, hexadecimal, decimal, named, mark, _nul = found.groups()
    if percent or octet:
        return bytes([int(percent or octet, 16)])
    if named or mark:
        return _NAMED[named] if named else bytes(mark)
    if not (four or eight or hexadecimal or decimal):
        return b""
    number = int(decimal) if decimal else int(four or eight or hexadecimal, 16)
    return chr(number).encode(errors="surrogatepass") if number <= 0x10FFFF else b""


def _before(start: int, end: int, edits: list[list[_Edit]]) -> tuple[int, int]:
    """Return where something began and ended before the decodings."""
    for level in reversed(edits):
        start, end = _undone(start, level)[0], _undone(end - 1, level)[1]
    return start, end


def _undone(at: int, edits: list[_Edit]) -> tuple[int, int]:
    """Return the begin and end of one byte before a decoding."""
    index = bisect_right(edits, at, key=lambda edit: edit[0]) - 1
    if index < 0:
        return at, at + 1
    begin, over, before, until = edits[index]
    return (before, until) if begin <= at < over else (until + at - over, until + at - over + 1)


def _merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    start, end = spans[0]
    for other, until in spans[1:]:
        if other > end:
            yield start, end
            start = other
        end = max(end, until)
    yield start, end


def _as_wide_as(piece: bytes, mask: bytes) -> bytes:
    """Return `mask` in characters of as many bytes as those of `piece`, so that UTF-16 stays UTF-16."""
    width = round(len(piece) / (len(piece) - piece.count(0)))
    if width == 1:
        return mask
    return b"".join(mask[at : at + 1] + b"\0" * (width - 1) for at in range(len(mask)))[: 1 - width]
