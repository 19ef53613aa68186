"""MongoDB killed, stopped and gone for good in the middle of a crawl: what is lost, paid for twice, asked meanwhile.

`python -m benchmarks.outage [--authors 300] [--kills 5]`
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.crawling import NOT_DURABLE, DetailKey, LoneMongo, Place, faults, place, wait_until
from benchmarks.dataset_check import Dataset, examine
from xingtu_crawler.api.endpoints import DETAILS, PAGE_SIZE

AWAY = b"MongoDB is away"
BACK = b"MongoDB is back"
NOTICED_S = 4
"""Absences of so many seconds must be told; the driver bears short ones without a word, at times."""
MOST_SHUTDOWN_S = 30


Away = Callable[[Place], AbstractContextManager[None]]
"""Takes MongoDB away; it is back at the end."""


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage of so many seconds: the calls that began in it, and how often the log told that MongoDB was away,
    and back."""

    seconds: float
    asked: int
    away: int
    back: int

    @property
    def is_told(self) -> bool:
        """Whether the log tells of its beginning and its end, where it was long enough."""
        return self.away == self.back and (self.away > 0 or self.seconds < NOTICED_S)


@dataclass(slots=True)
class Outages:
    """What a crawl through outages came to."""

    planned: int
    dataset: Dataset
    outages: list[Outage] = field(default_factory=list)
    exit_code: int = -1
    answered_twice: int = 0

    def __str__(self) -> str:
        return (
            f"{len(self.outages)} of {self.planned} outages of {[round(each.seconds, 1) for each in self.outages]} s, "
            f"told {[each.away for each in self.outages]} times, calls begun meanwhile "
            f"{[each.asked for each in self.outages]}, {self.answered_twice} answered twice; {self.dataset}"
        )

    def broken(self) -> list[str]:
        """Return what does not hold."""
        claims = {
            "every outage hit a running crawl": len(self.outages) == self.planned,
            "the crawl did its job": self.exit_code == 0,
            "nothing is asked twice": self.answered_twice == 0,
            f"at most {NOT_DURABLE} calls begin meanwhile": all(each.asked <= NOT_DURABLE for each in self.outages),
            "the log tells of every outage, and of its end": all(each.is_told for each in self.outages),
        }
        return [claim for claim, holds in claims.items() if not holds] + self.dataset.broken()


def mongod_pid(where: Place) -> int:
    """Return the process id of the embedded mongod that the place writes to."""
    with where.documents() as database:
        return int(database.client.admin.command("serverStatus")["pid"])


def through_outages(
    where: Place,
    *,
    authors: int,
    outages: int,
    outage: Callable[[Place], None],
    variables: Mapping[str, str] | None = None,
) -> Outages:
    """Crawl through so many outages, evenly spread; `variables` are the crawl's environment."""
    result = Outages(outages, Dataset(authors))
    process = where.start("author_square", variables)
    calls = authors * len(DETAILS) + authors // PAGE_SIZE
    for number in range(outages):
        due = calls * (number + 1) // (outages + 2)
        wait_until(lambda due=due: where.sandbox.ledger()["answered"] >= due or process.poll() is not None)  # type: ignore[misc]
        if process.poll() is not None:
            break
        result.outages.append(_live_through(where, outage, process))
    result.exit_code = process.wait(300)
    result.answered_twice = where.sandbox.ledger()["answered_twice"]
    result.dataset = examine(where, authors)
    return result


def _live_through(where: Place, outage: Callable[[Place], None], process: subprocess.Popen[bytes]) -> Outage:
    """Return when the crawl asks again: it finds out a moment after MongoDB has come back."""
    away, back = _told(where)
    begun = time.time()
    outage(where)
    with where.documents() as database:  # waits until it answers
        database.client.admin.command("ping")
    ended = time.time()

    def goes_on() -> bool:
        now_away, now_back = _told(where)
        return now_away - away == now_back - back and _begun_between(where, ended, float("inf")) > 0

    wait_until(lambda: goes_on() or process.poll() is not None)
    now_away, now_back = _told(where)
    return Outage(ended - begun, _begun_between(where, begun, ended), now_away - away, now_back - back)


def _told(where: Place) -> tuple[int, int]:
    log = where.log.read_bytes()
    return log.count(AWAY), log.count(BACK)


def _begun_between(where: Place, since: float, until: float) -> int:
    return sum(since < call["at"] < until for call in where.sandbox.calls())


def kill(where: Place) -> None:
    """Kill mongod; its keeper starts it again."""
    pid = mongod_pid(where)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or b"Z" in _state(pid))


def _state(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]
    except OSError:
        return b"Z"


def lasting(seconds: float, away: Away) -> Callable[[Place], None]:
    """Return an outage of so many seconds."""

    def outage(where: Place) -> None:
        with away(where):
            threading.Event().wait(seconds)

    return outage


@contextmanager
def silent(where: Place) -> Iterator[None]:
    """Stop mongod: it keeps its connections and says nothing."""
    pid = mongod_pid(where)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def dead(mongo: LoneMongo) -> Away:
    """Return an absence: mongod is killed, and stays so."""

    @contextmanager
    def killed(_where: Place) -> Iterator[None]:
        mongo.kill()
        try:
            yield
        finally:
            mongo.start()

    return killed


@dataclass(slots=True)
class Gone:
    """A crawl whose MongoDB stayed away until it had ended, and the one after it."""

    dataset: Dataset
    interrupt: bool
    exit_codes: tuple[int, int] = (-1, -1)
    close_reason: str = ""
    seconds: float = 0.0
    asked: int = 0
    answered: int = 0
    stored: int = 0
    spilled: int = 0
    neither: int = 0
    left_over: int = 0
    answered_twice: int = 0

    def __str__(self) -> str:
        return (
            f"{self.close_reason} (exit {self.exit_codes[0]}) after {self.seconds:.1f} s, calls begun meanwhile "
            f"{self.asked}; {self.answered} answered = {self.stored} stored + {self.spilled} spilled + {self.neither} "
            f"lost; then (exit {self.exit_codes[1]}) {self.left_over} spill files left, {self.answered_twice} answered "
            f"twice; {self.dataset}"
        )

    def broken(self) -> list[str]:
        """Return what does not hold."""
        claims = {
            "the first crawl says that it did not do its job": self.exit_codes[0] == 1,
            f"SIGTERM ends it within {MOST_SHUTDOWN_S} s": not self.interrupt or self.seconds <= MOST_SHUTDOWN_S,
            f"at most {NOT_DURABLE} calls were paid for that could not be stored": self.spilled <= NOT_DURABLE,
            "every answer is stored or spilled": self.neither == 0,
            "something was spilled": self.spilled > 0,
            "the second crawl did the rest": self.exit_codes[1] == 0,
            "nothing is asked twice": self.answered_twice == 0,
            "the spill file is gone": self.left_over == 0,
        }
        return [claim for claim, holds in claims.items() if not holds] + self.dataset.broken()


def gone_for_good(where: Place, *, authors: int, away: Away, interrupt: bool, patience: float = 3) -> Gone:
    """Take MongoDB away until the crawl has ended: by its patience, or because it is interrupted with SIGTERM."""
    result = Gone(Dataset(authors), interrupt)
    process = where.start("author_square", {"XINGTU_STORAGE_PATIENCE": "900" if interrupt else str(patience)})
    wait_until(lambda: where.sandbox.ledger()["answered"] >= authors or process.poll() is not None)
    gone_at = time.time()
    with away(where):
        try:
            wait_until(lambda: AWAY in where.log.read_bytes() or process.poll() is not None)
            begun = time.monotonic()
            if interrupt:
                process.send_signal(signal.SIGTERM)
            first = process.wait(120)
            result.seconds = time.monotonic() - begun
            result.asked = _begun_between(where, gone_at, time.time())
        finally:
            _end(process)
    answered, stored, spilled = set(where.answered()), where.stored(), _spilled(where)
    result.answered, result.stored, result.spilled = len(answered), len(stored), len(spilled - stored)
    result.neither = len(answered - stored - spilled)
    log = where.log.read_text(encoding="utf-8")
    result.close_reason = log.rpartition("Closed (")[2].partition(")")[0]
    result.exit_codes = first, where.crawl("author_square")
    result.left_over = len(_spill_files(where))
    result.answered_twice = where.sandbox.ledger()["answered_twice"]
    result.dataset = examine(where, authors)
    return result


def _spilled(where: Place) -> set[DetailKey]:
    """Return the questions whose answers are in a spill file."""
    lines = [json.loads(line) for path in _spill_files(where) for line in path.read_text().splitlines()]
    return {
        (line["endpoint"], line["star_id"], line["platform"])
        if line.get("star_id")
        else (line["endpoint"], str(line["page"]), "")
        for line in lines
    }


def _spill_files(where: Place) -> list[Path]:
    return [path for path in (where.folder / ".data").rglob("*") if path.is_file() and "spill" in path.parts]


def _end(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait()


def main() -> int:
    """Crawl through every kind of outage, print what they came to, and return 0 where everything holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--authors", type=int, default=300)
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    authors = options.authors
    arguments = ["--authors", str(authors), "--latency", "50", "--jitter", "50", *faults(code_301=0.05)]
    broken: list[str] = []
    with place(*arguments) as where:
        kept = through_outages(where, authors=authors, outages=options.kills, outage=kill)
    print("mongod killed, started again at once:", kept)
    mongo = LoneMongo()
    with place(*arguments, mongo=mongo) as where:
        killed = through_outages(where, authors=authors, outages=options.kills, outage=lasting(5, dead(mongo)))
    print("mongod killed, started again after 5 s:", killed)
    with place(*arguments) as where:
        stopped = through_outages(where, authors=authors, outages=1, outage=lasting(10, silent))
    print("mongod silent for 10 s:", stopped)
    broken += [*kept.broken(), *killed.broken(), *stopped.broken()]
    for how in ("dead", "silent"):
        for interrupt in (False, True):
            mongo = LoneMongo()
            with place(*arguments, mongo=mongo) as where:
                away = dead(mongo) if how == "dead" else silent
                gone = gone_for_good(where, authors=authors, away=away, interrupt=interrupt)
                print(f"mongod {how} {'and SIGTERM' if interrupt else 'for longer than the patience'}:", gone)
                broken += gone.broken()
    for claim in broken:
        print(f"does not hold: {claim}")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
