"""One `name=value` as somebody typed it: cleaned, shown on one line, and complained about by its own name.

It must not know what any name means.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

from xingtu_crawler.exceptions import ArgumentError

_EDGES = "\ufeff\u200b"  # pasted along from documents and chats, and not white space to `str.strip`
_WIDE = {0xFF00 + offset: 0x20 + offset for offset in range(1, 0x5F)}  # full-width ASCII
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212~\u301c"), "-")
_COMMAS = dict.fromkeys(map(ord, "，、"), ",")


def shown(text: str, longest: int = 60) -> str:
    """Return `text` fit for one line of a message: at most `longest` characters, none invisible, all encodable."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return line if len(line) <= longest else line[: longest - 3] + "..."


def narrow(text: str) -> str:
    """Return `text` with full-width figures, letters and signs made plain, and nothing else (NFKC reads 10² as 102)."""
    return text.translate(_WIDE)


def folded(text: str) -> str:
    """Return `text` without the differences that mean nothing: width, case, space around it."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def nearest(text: str, candidates: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """Return the candidate most like `text`, or None where none is at least so alike (0 to 1).

    Case, underscores and hyphens count for nothing; a candidate that begins with the text is always alike.
    """

    def plain(word: str) -> str:
        return folded(word).replace("_", "").replace("-", "")

    def alike(candidate: str) -> float:
        other = plain(candidate)
        ratio = SequenceMatcher(None, wanted, other, autojunk=False).ratio()
        return max(ratio, likeness) if len(wanted) > 1 and other.startswith(wanted) else ratio

    wanted = plain(text)
    best = max(candidates, key=alike, default=None)
    return best if best is not None and alike(best) >= likeness else None


@dataclass(frozen=True, slots=True)
class Typed:
    """A name and its value as typed, the value cleaned of what cannot be meant."""

    name: str
    value: str

    @classmethod
    def clean(cls, name: str, value: str) -> Typed:
        """Take what was typed; raise `ArgumentError` where it is empty or holds what is no text."""
        # A Mac's terminal may send accents apart from their letters: the same text, another byte sequence.
        text = unicodedata.normalize("NFC", value).strip().strip(_EDGES).strip()
        typed = cls(name, text)
        if not text:
            raise typed.error("the value is missing; give one or leave the argument out.")
        if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
            raise typed.error("the value holds a character that is no text; type it again.")
        return typed

    def __str__(self) -> str:
        return f"{shown(self.name)}={shown(self.value)}"

    @property
    def figures(self) -> str:
        """The value with full-width figures, the many kinds of dash and the space around them made plain."""
        text = narrow(self.value).translate(_DASHES).casefold()
        return "-".join(part.strip() for part in text.split("-"))

    @property
    def elements(self) -> tuple[str, ...]:
        """The elements of a comma separated value, trimmed; raises `ArgumentError` where one is empty."""
        elements = tuple(element.strip() for element in self.value.translate(_COMMAS).split(","))
        if not all(elements):
            raise self.error("an element of the list is empty; remove the extra comma.")
        return elements

    def error(self, problem: str) -> ArgumentError:
        """Return the exception that names this argument and says what is wrong with it."""
        return ArgumentError(f"{self}: {problem}")

    def write(self, value: str) -> str:
        """Return this argument with another value, to be recommended."""
        return f"{shown(self.name)}={value}"
