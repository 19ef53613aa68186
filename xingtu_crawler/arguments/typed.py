"""`Typed`: one argument as it was given, its value cleaned, and the error message that names it.

Knows no argument by name.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from xingtu_crawler.arguments.wording import narrow, shown
from xingtu_crawler.exceptions import ArgumentError

_EDGES = "\ufeff\u200b"  # documents and chats add these when text is copied, and `str.strip` keeps them
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212~\u301c"), "-")
_COMMAS = dict.fromkeys(map(ord, "，、"), ",")
_NOT_TEXT = {"Cc", "Cs", "Zl", "Zp"}  # control characters, surrogates, line and paragraph separators


@dataclass(frozen=True, slots=True)
class Typed:
    """The name and the cleaned value of one argument."""

    name: str
    value: str

    @classmethod
    def clean(cls, name: str, value: str) -> Typed:
        """Return the argument with its value trimmed; raise `ArgumentError` if it is empty or not text."""
        # A terminal on macOS may send accents apart from their letters: the same text, another byte sequence.
        text = unicodedata.normalize("NFC", value).strip().strip(_EDGES).strip()
        typed = cls(name, text)
        if not text:
            raise typed.error("the value is missing; give one or leave the argument out.")
        if any(unicodedata.category(character) in _NOT_TEXT for character in text):
            raise typed.error("the value contains a character that is not text; remove it.")
        return typed

    def __str__(self) -> str:
        return f"{shown(self.name)}={shown(self.value)}"

    @property
    def figures(self) -> str:
        """The value with full-width digits, all kinds of dashes and the space around dashes made plain."""
        text = narrow(self.value).translate(_DASHES).casefold()
        return "-".join(part.strip() for part in text.split("-"))

    @property
    def elements(self) -> tuple[str, ...]:
        """The trimmed elements of a comma separated value; raises `ArgumentError` if one is empty."""
        elements = tuple(element.strip() for element in self.value.translate(_COMMAS).split(","))
        if not all(elements):
            raise self.error("an element of the list is empty; remove the extra comma.")
        return elements

    def error(self, problem: str) -> ArgumentError:
        """Return the exception that names this argument and its problem."""
        return ArgumentError(f"{self}: {problem}")

    def write(self, value: str) -> str:
        """Return this argument with another value, for a message that recommends it."""
        return f"{shown(self.name)}={value}"
