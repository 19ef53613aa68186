"""The options of `scrapy sandbox` and `python -m xingtu_crawler.sandbox`.

Turns the command line into a `Config`, or into one line that says what is wrong. Starts nothing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox import faults, tokens
from xingtu_crawler.sandbox.population import MAX_AUTHORS

DEFAULT_PORT = 8702
_LIMITS_HELP = (
    "limits of a token, with commas: invalid, rate:N, quota:N, deny:ENDPOINT, balance:N, spend:N, account:NAME; "
    "repeatable"
)


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration of a sandbox; `latency` and `jitter` are in milliseconds, `rate` is in calls per second."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    authors: int = 2_000
    seed: int = 1
    day: int = 0
    overlap: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    http_status: bool = False
    gzip: bool = False
    tokens: dict[str, tokens.TokenSpec] = field(default_factory=dict)
    rate: float = 0.0
    latency: float = 0.0
    jitter: float = 0.0
    parent_pipe: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sandbox's options to a parser. Their values stay text; `config` checks them."""
    group = parser.add_argument_group("Sandbox")
    for name, metavar, default, text in (
        ("host", "HOST", "127.0.0.1", "address to listen on"),
        ("port", "PORT", str(DEFAULT_PORT), "port to listen on, 0 for a free one"),
        ("authors", "N", "2000", f"size of the population, 1 to {MAX_AUTHORS}"),
        ("seed", "N", "1", "seed of the population: the same seed and size give the same authors"),
        ("day", "N", "0", "day of the population: some values differ from day to day"),
        ("overlap", "RATE", "0", "share of search pages that repeat an author of the page before, 0 to 1"),
        ("rate", "N", "0", "limit in calls/s for every token without a rate of its own, 0 for none"),
        ("latency", "MS", "0", "time until the response, in milliseconds"),
        ("jitter", "MS", "0", "largest random addition to the latency, in milliseconds"),
    ):
        group.add_argument(f"--{name}", metavar=metavar, default=default, help=f"{text} (default: {default})")
    for name, metavar, text in (
        ("fault", "NAME=RATE", f"fault by rate: a business code or {', '.join(faults.NAMES)}; repeatable"),
        ("fail", "ENDPOINT:KEY=NAME", "fault for every call with this star id or search page; repeatable"),
        ("token", "NAME=SPEC", _LIMITS_HELP),
    ):
        group.add_argument(f"--{name}", metavar=metavar, action="append", default=[], help=text)
    group.add_argument("--http-status", action="store_true", help="business codes come with HTTP 400 to 503")
    group.add_argument("--gzip", action="store_true", help="compress for clients that accept it")
    group.add_argument("--parent-pipe", action="store_true", help=argparse.SUPPRESS)


def config(namespace: argparse.Namespace, unknown: Sequence[str] = ()) -> Config:
    """Return the checked configuration; raise `SandboxError` with one line for the first invalid option.

    `unknown` are the arguments that the parser does not know, as returned by `parse_known_args`.
    """
    if unknown:
        raise SandboxError(_unknown(unknown[0]))
    return Config(
        host=namespace.host,
        port=_integer(namespace, "port", 0, 65_535),
        authors=_integer(namespace, "authors", 1, MAX_AUTHORS),
        seed=_integer(namespace, "seed", 0, 2**63 - 1),
        day=_integer(namespace, "day", 0, 100_000),
        overlap=_number(namespace, "overlap", 1.0),
        rates=faults.parse_rates(namespace.fault),
        failures=faults.parse_failures(namespace.fail),
        http_status=namespace.http_status,
        gzip=namespace.gzip,
        tokens=tokens.parse_tokens(namespace.token),
        rate=tokens.check_rate(namespace.rate),
        latency=_number(namespace, "latency", 3_600_000.0),
        jitter=_number(namespace, "jitter", 3_600_000.0),
        parent_pipe=namespace.parent_pipe,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # the base class exits
        raise SandboxError(f"{message}: see --help for the options.")


def parse(arguments: Sequence[str]) -> Config:
    """Return the configuration for a command line; raise `SandboxError` with one line if it is invalid."""
    parser = _Parser(
        prog="python -m xingtu_crawler.sandbox",
        description="An offline Just One API with a synthetic population.",
        allow_abbrev=False,
    )
    add_arguments(parser)
    return config(*parser.parse_known_args(list(arguments)))


def _unknown(argument: str) -> str:
    name = argument.partition("=")[0]
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    near = get_close_matches(name, parser.format_usage().replace("[", " ").replace("]", " ").split(), n=1)
    hint = f"did you mean {near[0]}?" if near else "see --help for the options."
    return f"unknown argument {name}: {hint}"


def _integer(namespace: argparse.Namespace, name: str, low: int, high: int) -> int:
    text: str = getattr(namespace, name)
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise SandboxError(f"--{name} is {text!r}: it must be an integer from {low} to {high}.")
    return value


def _number(namespace: argparse.Namespace, name: str, high: float) -> float:
    text: str = getattr(namespace, name)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and 0 <= value <= high):
        raise SandboxError(f"--{name} is {text!r}: it must be a number from 0 to {high:g}.")
    return value
