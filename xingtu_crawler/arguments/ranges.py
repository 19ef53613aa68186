"""Ranges of search filters: `min-max` in whole numbers, decimals or fractions, and `days:min-max`.

Each function returns a range in its canonical form, or raises `ArgumentError` with the form to write.
Knows no filter by name.
"""

from __future__ import annotations

import re
from decimal import Decimal

from xingtu_crawler.arguments.typed import Typed
from xingtu_crawler.exceptions import ArgumentError

_WHOLE = re.compile(r"[0-9]{1,15}")
_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_END = re.compile(r"([0-9]{1,15}(?:,[0-9]{3}){0,4}(?:\.[0-9]{1,15})?)\s*(\D*)")
_UNITS = {"k": 1_000, "千": 1_000, "w": 10_000, "万": 10_000, "m": 1_000_000, "亿": 100_000_000}
_OPEN_END = {False: "1000000000", True: "1"}


def integers(typed: Typed, example: str) -> str:
    """Return `min-max` of whole numbers without leading zeros; the error shows `example` if it has no better hint."""
    return _range(typed, example, fractions=False, pattern=_WHOLE, numbers="whole numbers")


def decimals(typed: Typed, example: str) -> str:
    """Return `min-max` of decimal numbers, without superfluous zeros."""
    return _range(typed, example, fractions=False, pattern=_DECIMAL, numbers="numbers")


def fractions(typed: Typed, example: str) -> str:
    """Return `min-max` of fractions between 0 and 1."""
    text = _range(typed, example, fractions=True, pattern=_DECIMAL, numbers="fractions")
    if Decimal(text.partition("-")[2]) > 1:
        hint = _percent(text.split("-"))
        raise typed.error(f"rates are fractions from 0 to 1 (0.01 is 1%){_or_write(typed, hint, example)}")
    return text


def days(typed: Typed, example: str) -> str:
    """Return `days:min-max`; one of the two ends may be missing."""
    number, colon, ends = typed.figures.partition(":")
    low, dash, high = ends.partition("-")
    parts = [part.strip() for part in (number, low, high)]
    if not (colon and dash and any(parts[1:]) and all(_WHOLE.fullmatch(part) for part in parts if part)):
        raise typed.error(f"not days:min-max in whole numbers; write it like {typed.write(example)}.")
    if not parts[0] or int(parts[0]) == 0:
        raise typed.error(f"the number of days must be at least 1; write it like {typed.write(example)}.")
    number, low, high = (str(int(part)) if part else "" for part in parts)
    if low and high and int(low) > int(high):
        raise _swapped(typed, f"{number}:{high}-{low}")
    return f"{number}:{low}-{high}"


def _range(typed: Typed, example: str, *, fractions: bool, pattern: re.Pattern[str], numbers: str) -> str:
    ends = typed.figures.split("-")
    if len(ends) == 2 and all(pattern.fullmatch(end) for end in ends):
        low, high = (_plain(Decimal(end)) for end in ends)
        if Decimal(low) > Decimal(high):
            raise _swapped(typed, f"{high}-{low}")
        return f"{low}-{high}"
    if len(ends) == 2 and pattern.fullmatch(ends[0]) and not ends[1]:
        hint = f"{_plain(Decimal(ends[0]))}-{_OPEN_END[fractions]}"
        raise typed.error(f"the maximum is missing; for an open end write {typed.write(hint)}.")
    if len(ends) == 2 and pattern.fullmatch(ends[1]) and not ends[0]:
        raise typed.error(f"the minimum is missing; write {typed.write('0-' + _plain(Decimal(ends[1])))}.")
    guess = _spelled_out(ends, fractions=fractions)
    if guess is not None and not all(pattern.fullmatch(end) for end in guess.split("-")):
        guess = None
    raise typed.error(f"not min-max in {numbers}{_or_write(typed, guess, example)}")


def _swapped(typed: Typed, value: str) -> ArgumentError:
    return typed.error(f"the minimum is larger than the maximum; write {typed.write(value)}.")


def _or_write(typed: Typed, hint: str | None, example: str) -> str:
    return f"; write {typed.write(hint)}." if hint else f"; write it like {typed.write(example)}."


def _spelled_out(ends: list[str], *, fractions: bool) -> str | None:
    """Return the plain form of `10k-20k`, `10万-20万`, `10,000-20,000` or `1%-5%`; None if it is ambiguous."""
    found = [_END.fullmatch(end) for end in ends]
    if len(found) != 2 or found[0] is None or found[1] is None:
        return None
    numbers = [match[1].replace(",", "") for match in found if match]
    units = [match[2].strip() for match in found if match]
    if fractions:
        return _percent(numbers) if units in (["%", "%"], ["", "%"]) else None
    if units[1] and not units[0] and Decimal(numbers[0]) != 0:
        return None  # 10-20k: ten, or ten thousand?
    if any(unit not in {"", *_UNITS} for unit in units):
        return None
    low, high = sorted(Decimal(n) * _UNITS.get(unit, 1) for n, unit in zip(numbers, units, strict=True))
    return f"{_plain(low)}-{_plain(high)}"


def _percent(ends: list[str]) -> str | None:
    low, high = sorted(Decimal(end) / 100 for end in ends)
    return f"{_plain(low)}-{_plain(high)}" if high <= 1 else None


def _plain(number: Decimal) -> str:
    """Return the number without an exponent and without superfluous zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
