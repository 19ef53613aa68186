"""Single values of spider arguments: an age, a count, a flag, a path. Knows no argument by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from xingtu_crawler.arguments.typed import Typed

_WHOLE = re.compile(r"0*[1-9][0-9]{0,17}")
_AGE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36500)  # a longer one, subtracted from today, would lie before the year 1
_FLAGS = {"1": True, "true": True, "0": False, "false": False}


def age(typed: Typed) -> timedelta:
    """Return an age such as `90s`, `12h` or `0`; raise `ArgumentError` if it is not one."""
    text = typed.figures
    if re.fullmatch(r"0{1,9}", text):
        return timedelta(0)
    if re.fullmatch(r"[0-9]{1,9}", text):
        forms = ", ".join(f"{text}{unit}" for unit in _UNITS)
        raise typed.error(f"the unit is missing; write one of {forms} ({', '.join(_UNITS.values())}).")
    match = _AGE.fullmatch(text)
    if match is None:
        raise typed.error(
            f"not an age; write a number and s, m, h, d or w, for example {typed.name}=12h, or {typed.name}=0."
        )
    try:
        found = timedelta(**{_UNITS[match[2]]: float(match[1])})
    except OverflowError:
        found = timedelta.max
    if found > _LONGEST:
        raise typed.error(f"longer than a hundred years; write a shorter age, for example {typed.name}=52w.")
    return found


def count(own: Mapping[str, str], name: str) -> int | None:
    """Return the whole number (1 or more) of the argument `name`, None if it is absent; raise `ArgumentError`."""
    if name not in own:
        return None
    typed = Typed.clean(name, own[name])
    if not _WHOLE.fullmatch(typed.figures):
        raise typed.error(f"not a whole number of 1 or more; leave {name} out for no limit.")
    return int(typed.figures)


def flag(own: Mapping[str, str], name: str) -> bool:
    """Return the flag `name`, False if it is absent; raise `ArgumentError` if it is neither 1 nor 0."""
    if name not in own:
        return False
    typed = Typed.clean(name, own[name])
    if typed.value.lower() not in _FLAGS:
        raise typed.error("write 1 for yes or 0 for no.")
    return _FLAGS[typed.value.lower()]


def path(typed: Typed) -> Path:
    """Return a path with `~` expanded; raise `ArgumentError` if that home directory does not exist."""
    try:
        return Path(typed.value).expanduser()
    except RuntimeError:
        raise typed.error("this home directory does not exist; write the full path.") from None
