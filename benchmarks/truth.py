"""Does a crawl tell the truth? An API that misbehaves in one way after the other, and what the crawl says of it.

For each case of `benchmarks.truth_cases`: crawl an empty database, and run the same command again when the API is
well. A crawl that is `complete` must have everything; no case may make the next crawl impossible.
`python -m benchmarks.truth [WORD …]` runs the cases with these words in their names, by default all.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from rich.console import Console
from rich.table import Table

from benchmarks import truth_cases
from benchmarks.crawling import Place, place
from benchmarks.scripted_api import Fault, Front, healthy, serving
from benchmarks.truth_cases import AUTHORS, COMPLETE, Case
from xingtu_crawler.api.endpoints import DETAILS

_LONGEST_S = 120
SCRAPY_SETTINGS = ("DOWNLOAD_TIMEOUT", "HTTPPROXY_ENABLED")
_REFUSED = 2
"""The exit code of a command that has asked nothing."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one crawl did: authors with all details stored, calls, and what it said."""

    stored: int
    calls: int
    verdict: str
    close_reason: str
    exit_code: int
    findings: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.verdict} ({self.close_reason}), exit code {self.exit_code}, {self.calls} calls"


@dataclass(slots=True)
class Played:
    """One case, both crawls, and what is wrong about them."""

    case: Case
    crawl: Result
    again: Result
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


def play(where: Place, front: Front, case: Case) -> Played:
    """Crawl with the fault, and again with the fault of the second crawl."""
    begun = time.monotonic()
    if case.before:
        _crawl(where, front, case, healthy)
    with where.documents() as database:
        case.prepare(database)
    crawl = _crawl(where, front, case, case.fault)
    with where.documents() as database:
        case.between(database)
    again = _crawl(where, front, case, case.again)
    return Played(case, crawl, again, list(wrong(case, crawl, again)), time.monotonic() - begun)


def _crawl(where: Place, front: Front, case: Case, fault: Fault) -> Result:
    front.reset(fault)
    arguments = {"endpoints": case.endpoints, **case.arguments}
    variables = {"DOWNLOAD_TIMEOUT": "2", **case.variables}
    settings = {name: variables.pop(name) for name in list(variables) if name in SCRAPY_SETTINGS}
    code = where.crawl("author_square", variables, settings=settings, timeout=_LONGEST_S, **arguments)
    with where.documents() as database:
        names = case.endpoints.split(",")
        stored = [set(database[DETAILS[name].collection].distinct("star_id")) for name in names]
        run = database.runs.find_one({}, sort=[("started_at", -1)]) or {}
    return Result(
        stored=len(set.intersection(*stored)),
        calls=front.calls.total(),
        verdict=run.get("verdict", "-"),
        close_reason=run.get("close_reason", "-"),
        exit_code=code,
        findings=frozenset(each["kind"] for each in run.get("findings", ())),
    )


def wrong(case: Case, crawl: Result, again: Result) -> Iterator[str]:
    """Yield what a crawl did otherwise than it should."""
    if crawl.verdict != case.verdict or crawl.exit_code != case.exit_code:
        yield f"should be {case.verdict}, exit code {case.exit_code}"
    if crawl.close_reason != case.close_reason:
        yield f"should close with {case.close_reason}"
    if crawl.stored < case.stored:
        yield f"{crawl.stored} stored, should be {case.stored}"
    if crawl.calls > case.most_calls:
        yield f"{crawl.calls} calls, at most {case.most_calls}"
    if missing := set(case.findings) - crawl.findings:
        yield f"no finding {', '.join(sorted(missing))}"
    if crawl.verdict == COMPLETE and crawl.stored < case.available and case.verdict != COMPLETE:
        yield "COMPLETE WITH SOMETHING MISSING"
    if again.exit_code == _REFUSED and crawl.exit_code != _REFUSED:
        yield "THE NEXT CRAWL IS IMPOSSIBLE"
    if again.verdict != case.again_verdict:
        yield f"again: {again.verdict}, should be {case.again_verdict}"
    if again.stored < (case.available if case.again_stored is None else case.again_stored):
        yield f"again: {again.stored} stored of {case.available}"
    if again.calls > case.again_calls:
        yield f"again: {again.calls} calls, at most {case.again_calls}"


def table(played: list[Played]) -> Table:
    """Return the table: case, stored of available, calls, verdict, exit code, what the same command does next."""
    shown = Table(title="What a crawl says of an API that misbehaves", show_lines=False)
    for title, justify in (
        ("case", "left"),
        ("stored", "right"),
        ("of", "right"),
        ("calls", "right"),
        ("verdict", "left"),
        ("close reason", "left"),
        ("exit", "right"),
        ("the same command next", "left"),
        ("right", "left"),
    ):
        shown.add_column(title, justify=justify)  # type: ignore[arg-type]
    for each in played:
        again = each.again
        shown.add_row(
            each.case.name,
            str(each.crawl.stored),
            str(each.case.available),
            str(each.crawl.calls),
            each.crawl.verdict,
            each.crawl.close_reason,
            str(each.crawl.exit_code),
            f"{again.calls} calls, {again.stored} stored, {again.verdict}",
            "; ".join(each.wrong) or "yes",
        )
    return shown


def run(cases: list[Case], say: Callable[[str], None]) -> list[Played]:
    """Play the cases, each in a database of its own."""
    played: list[Played] = []
    with place("--authors", str(AUTHORS)) as base, serving(base.sandbox.base_url) as (front, url):
        for number, case in enumerate(cases):
            where = replace(base, database=f"truth_{number}")
            last = play(where, front, replace(case, variables={"JUSTONEAPI_BASE_URL": url, **case.variables}))
            played.append(last)
            say(f"{case.name}: {last.crawl}; again {last.again} ({last.seconds:.0f} s) {'; '.join(last.wrong) or 'ok'}")
            if last.wrong:
                say(f"  findings: {sorted(last.crawl.findings)}; again: {sorted(last.again.findings)}")
    return played


def main() -> int:
    """Play the cases, print the table, and return 1 if a crawl did not tell the truth."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="cases with one of these words; all by default")
    typed = parser.parse_args()
    cases = [case for case in truth_cases.cases() if not typed.words or any(word in case.name for word in typed.words)]
    if not cases:
        parser.error("no case has one of these words in its name.")
    console = Console(width=200, soft_wrap=False)
    played = run(cases, lambda line: console.print(line, markup=False, highlight=False))
    console.print(table(played))
    wrong = [each for each in played if each.wrong]
    console.print(f"{len(played)} cases, {len(wrong)} of them not as they should be")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
