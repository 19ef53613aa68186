"""`kill -9` at random moments of a crawl, the same command again each time: what is lost, what is paid for twice.

In flight at a kill is what was sent and is not durable: calls that the sandbox had not answered, and answers that
MongoDB did not have yet. Only those may be asked again.
`python -m benchmarks.kill [--kills 20] [--authors 300] [--seed 1]`
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field

from benchmarks.crawling import IN_FLIGHT, NOT_DURABLE, DetailKey, Place, faults, place, wait_until
from benchmarks.dataset_check import Dataset, examine
from xingtu_crawler.api.endpoints import DETAILS, PAGE_SIZE

SLOW = ("--latency", "100", "--jitter", "200")
"""Milliseconds: so slow that many calls are in flight soon after a start."""
LAST_MOMENTS = 8
"""Answers that a kill leaves at least, where it can: one that comes after the end of a sweep interrupts nothing."""


@dataclass(slots=True)
class Kill:
    """One kill: calls `made` by the run that it ended, those without an answer, answers that were not stored.

    `repeated`: of the latter, those that were asked again later.
    """

    made: int
    unanswered: int
    lost: set[DetailKey]
    answers_before: int
    """Answers of all runs until the kill."""
    repeated: int = 0

    @property
    def in_flight(self) -> int:
        """Calls that had been sent and were not durable."""
        return self.unanswered + len(self.lost)


@dataclass(slots=True)
class Tally:
    """What the crawls came to. `unexplained` calls were answered again although no kill had interrupted them."""

    asked: int
    dataset: Dataset
    kills: list[Kill] = field(default_factory=list)
    answered: int = 0
    answered_twice: int = 0
    unexplained: int = 0
    exit_code: int = -1

    def __str__(self) -> str:
        return (
            f"{len(self.kills)} of {self.asked} kills hit a running crawl: {self.answered} answers, "
            f"{self.answered_twice} to a question answered before, {self.unexplained} of them not in flight at a kill; "
            f"{self.dataset}\n"
            f"  in flight at each kill: {[kill.in_flight for kill in self.kills]}, answered among them: "
            f"{[len(kill.lost) for kill in self.kills]}, asked again: {[kill.repeated for kill in self.kills]}"
        )

    def broken(self) -> list[str]:
        """Return what does not hold."""
        claims = {
            f"{self.asked} kills hit a running crawl that had made calls": len(self.kills) == self.asked
            and all(kill.made for kill in self.kills),
            "one of them at least hit many calls in flight": any(
                kill.in_flight >= IN_FLIGHT // 2 for kill in self.kills
            ),
            "the last crawl did its job": self.exit_code == 0,
            "only what was in flight at a kill is asked again": self.unexplained == 0,
            f"at most {NOT_DURABLE} were in flight": all(kill.in_flight <= NOT_DURABLE for kill in self.kills),
        }
        return [claim for claim, holds in claims.items() if not holds] + self.dataset.broken()


def kill_repeatedly(where: Place, *, kills: int, authors: int, seed: int) -> Tally:
    """Crawl `authors` authors, killed `kills` times, to the end."""
    chance = random.Random(seed)
    tally = Tally(kills, Dataset(authors))
    questions = authors * len(DETAILS) + -(-authors // PAGE_SIZE)
    for number in range(kills):
        # Each kill takes a random share of what is left, so that the crawl is not through before the last of them.
        left = questions - len(where.stored())
        due = int(left / (kills - number) * chance.uniform(0.1, 1.9))
        kill = _crawl_and_kill(where, after=max(1, min(due, left - LAST_MOMENTS)), chance=chance)
        if kill is None:
            break  # it was through before the moment came
        tally.kills.append(kill)
    tally.exit_code = where.crawl("author_square")
    tally.dataset = examine(where, authors)
    explain(where.answered(), tally)
    return tally


def _crawl_and_kill(where: Place, *, after: int, chance: random.Random) -> Kill | None:
    """Kill a crawl as soon as so many of its calls are answered; None where it has ended by itself."""
    before = where.sandbox.ledger()
    process = where.start("author_square")
    answers = before["answered"] + after
    wait_until(lambda: where.sandbox.ledger()["answered"] >= answers or process.poll() is not None, timeout=120)
    threading.Event().wait(chance.uniform(0, 0.02))
    _end(process)
    # The sandbox notes the calls whose client has gone.
    seen = -1
    while seen != (seen := where.sandbox.ledger()["calls"]):
        threading.Event().wait(0.1)
    if process.returncode != -signal.SIGKILL:
        return None
    ledger, answered, stored = where.sandbox.ledger(), where.answered(), where.stored()
    return Kill(
        made=ledger["calls"] - before["calls"],
        unanswered=ledger["by_code"].get("left", 0) - before["by_code"].get("left", 0),
        lost=set(answered[before["answered"] :]) - stored,
        answers_before=len(answered),
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def explain(answered: list[DetailKey], tally: Tally) -> None:
    """Find the kill because of which a question was answered again; each explains one further answer."""
    tally.answered = len(answered)
    seen: set[DetailKey] = set()
    open_losses = [set(kill.lost) for kill in tally.kills]
    for number, question in enumerate(answered):
        if question in seen:
            tally.answered_twice += 1
            for kill, losses in zip(reversed(tally.kills), reversed(open_losses), strict=True):
                if kill.answers_before <= number and question in losses:
                    losses.remove(question)
                    kill.repeated += 1
                    break
            else:
                tally.unexplained += 1
        seen.add(question)


def main() -> int:
    """Crawl, print the tally, and return 0 where everything holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--authors", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rates = faults(code_301=0.1, code_500=0.03, garbage=0.01)
    with place("--authors", str(options.authors), *SLOW, *rates) as where:
        tally = kill_repeatedly(where, kills=options.kills, authors=options.authors, seed=options.seed)
        broken = tally.broken()
        if broken:
            print(where.log.read_text(encoding="utf-8", errors="replace")[-6000:])
    print(tally)
    for claim in broken:
        print(f"does not hold: {claim}")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
