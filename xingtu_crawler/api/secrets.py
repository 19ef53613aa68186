"""Redaction: finds a token in any spelling and replaces it.

This is the second line of defence. The first one is that the token is only in the URL that is sent, and in no request
or response that other components see.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable

from xingtu_crawler.api.pieces import Pieces

MASK = "***"
_PARAMETER = re.compile(r"(\btoken=)[^&#\s\"'<>\\]+", re.IGNORECASE)
_UNCHANGED = re.compile("[A-Za-z0-9]+")
_SALT = b"xingtu-crawler token fingerprint"


def fingerprint(token: str) -> str:
    """Return the alias of a token in the log and in `runs`: a short salted hash, the same in every run."""
    return "token-" + hashlib.blake2b(token.encode(), key=_SALT, digest_size=4).hexdigest()


def spellings(token: str) -> str:
    """Return a regular expression that matches the token in every spelling.

    Each character may be plain, or escaped for URLs, JSON, HTML or a Python literal, any number of times (a URL in a
    URL). A text may mix these, and servers differ in which characters they escape and in upper or lower case.
    """
    return "".join(map(_character, token))


def _character(character: str) -> str:
    plain = re.escape(character)
    if _UNCHANGED.fullmatch(character):
        return plain
    # An environment variable that is not UTF-8 contains halves of surrogate pairs. It is no token, but hidden as well.
    encoded = character.encode(errors="surrogatepass")
    octets = [_hexadecimal(octet, 2) for octet in encoded]
    utf16 = character.encode("utf-16-be", errors="surrogatepass")
    units = [_hexadecimal(int.from_bytes(utf16[at : at + 2], "big"), 4) for at in range(0, len(utf16), 2)]
    number = ord(character)
    ways = [
        "".join(f"%(?:25)*{octet}" for octet in octets),
        "".join(rf"\\+u{unit}" for unit in units),
        "".join(rf"\\+x{octet}" for octet in octets),
        rf"\\+(?:U{_hexadecimal(number, 8)}|x{_hexadecimal(number, 2)})",
        rf"&(?:amp;)*#(?:0*{number}|[xX]0*{_hexadecimal(number, 1)});",
        *([rf"&(?:amp;)*{html.escape(character)[1:]}"] if html.escape(character) != character else []),
        re.escape(encoded.decode("latin-1")),  # read in the wrong encoding
        rf"\\*{plain}",
        *([r"\+"] if character == " " else []),
    ]
    return f"(?:{'|'.join(ways)})"


def _hexadecimal(number: int, digits: int) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{number:0{digits}x}")


class Redactor:
    """Replaces the given tokens in every spelling, pieces of them, and in texts the value of every `token=`, by `***`.

    A piece is 8 or more characters of a token in a row, in any escape that `Pieces` decodes.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        # The longest token first, so that no part of it is left where it contains another.
        ordered = sorted(set(tokens), key=len, reverse=True)
        # Letters and digits are rarely escaped: a text without the longest run of them has no need of the expression.
        signs = [max(_UNCHANGED.findall(token), key=len, default="") for token in ordered]
        patterns = [spellings(token) for token in ordered]
        self._texts = [(sign, re.compile(each)) for sign, each in zip(signs, patterns, strict=True)]
        encoded = [each.encode(errors="surrogatepass") for each in patterns]
        self._bodies = [(sign.encode(), re.compile(each)) for sign, each in zip(signs, encoded, strict=True)]
        self._pieces = Pieces(ordered)

    def text(self, text: str) -> str:
        """Return `text` without any token, or piece of a token, in it."""
        for sign, spelling in self._texts:
            if sign in text:
                text = spelling.sub(MASK, text)
        if self._bodies:
            raw = text.encode(errors="surrogatepass")
            if (clean := self._pieces.masked(raw, MASK.encode())) is not raw:
                text = clean.decode(errors="surrogatepass")
        return _PARAMETER.sub(rf"\1{MASK}", text) if "=" in text else text

    def body(self, body: bytes) -> bytes:
        """Return a response body without tokens and pieces; other values of `token=` stay, because they are data."""
        for sign, spelling in self._bodies:
            if sign in body:
                body = spelling.sub(MASK.encode(), body)
        return self._pieces.masked(body, MASK.encode())
