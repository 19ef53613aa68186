"""`kill -9` at random moments of a crawl, the same command again each time: what is lost, what is paid for twice.

`python -m benchmarks.kill [--kills 20] [--authors 300] [--seed 1]`
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.crawling import IN_FLIGHT, Place, faults, place, wait_until
from benchmarks.history_check import Checked, check
from xingtu_crawler.api.endpoints import DETAILS, PAGE_SIZE


@dataclass(slots=True)
class Tally:
    """What the crawls came to; `lost` are the answers of each killed run that were not stored when it was killed."""

    authors: int
    kills: int = 0
    lost: list[int] = field(default_factory=list)
    left: int = 0
    complete: int = 0
    duplicates: int = 0
    unstored: int = 0
    answered: int = 0
    answered_twice: int = 0
    exit_code: int = -1
    history: Checked = field(default_factory=Checked)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills: {self.complete}/{self.authors} authors complete, {self.duplicates} duplicates, "
            f"{self.answered} answered, {self.unstored} of them not stored in the end; answered and in flight at the "
            f"kills: {self.lost} = {sum(self.lost)}, unanswered and in flight: {self.left}, answered twice: "
            f"{self.answered_twice}\n{self.history}"
        )


def kill_repeatedly(where: Place, *, kills: int, authors: int, seed: int) -> Tally:
    """Crawl `authors` authors, killed `kills` times, to the end."""
    chance = random.Random(seed)
    tally = Tally(authors)
    calls = authors * len(DETAILS) + authors // PAGE_SIZE
    for number in range(kills):
        # Spread over the crawl: its start, its middle, its last moments.
        answered = int(calls * (number + chance.random()) / kills)
        if number == kills - 1:
            answered = calls
        before = len(where.answered())
        process = where.start("author_square")
        _kill(where, process, answered=max(answered, 0 if chance.random() < 0.2 else before + 1), chance=chance)
        if process.returncode == 0:
            break  # it was through before the moment came
        tally.kills += 1
        stored = where.stored()
        tally.lost.append(sum(question not in stored for question in where.answered()[before:]))
    tally.exit_code = where.crawl("author_square")
    _examine(where, tally)
    return tally


def _kill(where: Place, process: subprocess.Popen[bytes], *, answered: int, chance: random.Random) -> None:
    wait_until(lambda: where.sandbox.ledger()["answered"] >= answered or process.poll() is not None, timeout=120)
    threading.Event().wait(chance.uniform(0, 0.25) if chance.random() < 0.5 else chance.uniform(0, 0.02))
    process.kill()
    process.wait()
    # What was in flight has been answered into the void.
    seen = -1
    while seen != (seen := where.sandbox.ledger()["calls"]):
        threading.Event().wait(0.1)


def _examine(where: Place, tally: Tally) -> None:
    ledger, answered, stored = where.sandbox.ledger(), where.answered(), where.stored()
    tally.answered, tally.answered_twice = ledger["answered"], ledger["answered_twice"]
    tally.left = ledger["by_code"].get("left", 0)
    tally.unstored = len(set(answered) - stored)
    with where.documents() as database:
        for endpoint in DETAILS.values():
            keys = Counter(each["star_id"] for each in database[endpoint.collection].find({}, {"star_id": 1}))
            tally.duplicates += sum(count - 1 for count in keys.values())
        known = {author["_id"] for author in database.authors.find({}, {"_id": 1})}
        details = [{star for name, star, _ in stored if name == endpoint} for endpoint in DETAILS]
        tally.complete = len(known.intersection(*details))
        tally.history = check(database)


def verdict(tally: Tally) -> list[str]:
    """Return what does not hold."""
    claims = {
        "the last crawl did its job": tally.exit_code == 0,
        "every author is complete": tally.complete == tally.authors,
        "no document is there twice": tally.duplicates == 0,
        "every answer is stored in the end": tally.unstored == 0,
        "only what was in flight at a kill is asked again": tally.answered_twice <= sum(tally.lost),
        "what is in flight is bounded": all(lost <= 2 * IN_FLIGHT for lost in tally.lost),
        "history agrees with the documents": not tally.history.violations,
    }
    return [claim for claim, holds in claims.items() if not holds] + tally.history.violations[:10]


def main() -> int:
    """Crawl, print the tally, and return 0 where everything holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--authors", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rates = faults(code_301=0.1, code_500=0.03, garbage=0.01)
    with place("--authors", str(options.authors), "--latency", "20", "--jitter", "30", *rates) as where:
        tally = kill_repeatedly(where, kills=options.kills, authors=options.authors, seed=options.seed)
        broken = verdict(tally)
        if broken:
            print(where.log.read_text(encoding="utf-8", errors="replace")[-6000:])
    print(tally)
    for claim in broken:
        print(f"does not hold: {claim}")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
