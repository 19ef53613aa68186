"""The types of the settings, and how each reads what a user typed. `options.py` names the settings.

Raises `ValueError`, or `UserError` with a message of its own, for a value that the type cannot have.
"""

from __future__ import annotations

import logging
import math
import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox import options as sandbox

_SWITCH = {"0": False, "false": False, "False": False, "1": True, "true": True, "True": True}


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) else value


def _finite(value: object) -> object:
    number = float(value) if isinstance(value, str) else value
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _switch(value: object) -> bool:
    if (position := _SWITCH.get(str(value))) is None:
        raise ValueError("not a switch")
    return position


def _level(value: object) -> object:
    """Return the number of a log level. Scrapy accepts names and integers, but no digits in a string."""
    if value in {"CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"}:
        return logging.getLevelNamesMapping()[str(value)]
    if not isinstance(value, int):
        raise ValueError("not a log level")
    return value


def _words(value: object) -> object:
    """Split the sandbox's options as a shell does; raise `SandboxError` if the sandbox would not start with them."""
    if not value or not isinstance(value, str):
        return value or ()
    try:
        words = shlex.split(value)
        sandbox.parse(words)
    except (SandboxError, ValueError) as error:
        reason = str(error) if isinstance(error, SandboxError) else f"{error}: close the quotation mark."
        raise SandboxError(f"XINGTU_SANDBOX: {reason}") from None
    return tuple(words)


def _default_folder(value: object) -> object:
    return value or ".data"


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


Whole = Annotated[int, BeforeValidator(_whole)]
Number = Annotated[float, BeforeValidator(_finite)]
Switch = Annotated[bool, BeforeValidator(_switch)]
AlwaysOn = Annotated[Literal[True], BeforeValidator(_switch)]
Level = Annotated[int, BeforeValidator(_level)]
Text = Annotated[str | None, BeforeValidator(_none_if_empty)]
File = Annotated[Path | None, BeforeValidator(_none_if_empty)]
Folder = Annotated[Path, BeforeValidator(_default_folder)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
