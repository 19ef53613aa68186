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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.crawling import IN_FLIGHT, Place, Question, faults, place, wait_until
from benchmarks.history_check import Checked, check
from xingtu_crawler.api.endpoints import DETAILS

AWAY = b"MongoDB is away"
BACK = b"MongoDB is back"


@dataclass(slots=True)
class Outage:
    """What a crawl through outages came to; `asked` are the calls that began in each outage."""

    authors: int
    exit_code: int = -1
    outages: int = 0
    asked: list[int] = field(default_factory=list)
    told_away: int = 0
    told_back: int = 0
    complete: int = 0
    unstored: int = 0
    answered_twice: int = 0
    history: Checked = field(default_factory=Checked)

    def __str__(self) -> str:
        return (
            f"{self.outages} outages, told {self.told_away} times away and {self.told_back} times back: "
            f"{self.complete}/{self.authors} authors complete, {self.unstored} answers not stored, "
            f"{self.answered_twice} answered twice; calls begun while MongoDB was away: {self.asked}\n{self.history}"
        )

    def broken(self) -> list[str]:
        """Return what does not hold."""
        claims = {
            "the crawl did its job": self.exit_code == 0,
            "every author is complete": self.complete == self.authors,
            "every answer is stored": self.unstored == 0,
            "nothing is asked twice": self.answered_twice == 0,
            "nothing is asked beyond what was in flight": all(asked <= 2 * IN_FLIGHT for asked in self.asked),
            "the log tells of every outage": self.told_away >= 1 and self.told_back == self.told_away,
            "history agrees with the documents": not self.history.violations,
        }
        return [claim for claim, holds in claims.items() if not holds] + self.history.violations[:10]


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
) -> Outage:
    """Crawl through so many outages, evenly spread; `variables` are the crawl's environment."""
    result = Outage(authors)
    process = where.start("author_square", variables)
    calls = authors * len(DETAILS) + authors // 20
    for number in range(outages):
        due = calls * (number + 1) // (outages + 2)
        wait_until(lambda due=due: where.sandbox.ledger()["answered"] >= due or process.poll() is not None)  # type: ignore[misc]
        if process.poll() is not None:
            break
        result.outages += 1
        result.asked.append(_asked_during(where, outage))
    result.exit_code = process.wait(300)
    _examine(where, result)
    return result


def _asked_during(where: Place, outage: Callable[[Place], None]) -> int:
    """Return how many calls began between the outage's first moment and MongoDB's answer after it."""
    begun = time.time()
    outage(where)
    with where.documents() as database:  # waits until it answers
        database.client.admin.command("ping")
    back = time.time()
    return sum(begun < call["at"] < back for call in where.sandbox.calls())


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


def stop_for(seconds: float) -> Callable[[Place], None]:
    """Return an outage: mongod stands still for so long."""

    def stop(where: Place) -> None:
        pid = mongod_pid(where)
        os.kill(pid, signal.SIGSTOP)
        try:
            threading.Event().wait(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    return stop


def _examine(where: Place, result: Outage) -> None:
    log = where.log.read_bytes()
    result.told_away, result.told_back = log.count(AWAY), log.count(BACK)
    ledger, stored = where.sandbox.ledger(), where.stored()
    result.answered_twice = ledger["answered_twice"]
    result.unstored = len(set(where.answered()) - stored)
    with where.documents() as database:
        known = {author["_id"] for author in database.authors.find({}, {"_id": 1})}
        details = [{star for name, star, _ in stored if name == endpoint} for endpoint in DETAILS]
        result.complete = len(known.intersection(*details))
        result.history = check(database)


@dataclass(slots=True)
class Gone:
    """A crawl whose MongoDB stayed away for longer than its patience, and the one after it."""

    exit_codes: tuple[int, int] = (-1, -1)
    close_reason: str = ""
    seconds: float = 0.0
    answered: int = 0
    stored: int = 0
    spilled: int = 0
    neither: int = 0
    left_over: int = 0
    after: Outage = field(default_factory=lambda: Outage(0))

    def __str__(self) -> str:
        return (
            f"gone for good ({self.close_reason}, exit {self.exit_codes[0]}): {self.answered} answered, {self.stored} "
            f"stored, {self.spilled} spilled, {self.neither} neither; ended {self.seconds:.1f} s after MongoDB was "
            f"away, or SIGTERM came; then (exit {self.exit_codes[1]}) {self.after.complete}/{self.after.authors} "
            f"complete, {self.after.unstored} answers not stored, {self.after.answered_twice} answered twice, "
            f"{self.left_over} spill files left"
        )

    def broken(self) -> list[str]:
        """Return what does not hold."""
        claims = {
            "the first crawl says that it did not do its job": self.exit_codes[0] == 1,
            "every answer is stored or spilled": self.neither == 0,
            "something was spilled": self.spilled > 0,
            "the second crawl did the rest": self.exit_codes[1] == 0,
            "every author is complete": self.after.complete == self.after.authors,
            "every answer is stored in the end": self.after.unstored == 0,
            "nothing is asked twice": self.after.answered_twice == 0,
            "the spill file is gone": self.left_over == 0,
            "history agrees with the documents": not self.after.history.violations,
        }
        return [claim for claim, holds in claims.items() if not holds] + self.after.history.violations[:10]


def gone_for_good(where: Place, *, authors: int, interrupt: bool, patience: float = 3) -> Gone:
    """Stop mongod until the crawl has ended: by its patience, or because it is interrupted with SIGTERM."""
    result = Gone()
    process = where.start("author_square", {"XINGTU_STORAGE_PATIENCE": "900" if interrupt else str(patience)})
    wait_until(lambda: where.sandbox.ledger()["answered"] >= authors or process.poll() is not None)
    pid = mongod_pid(where)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: AWAY in where.log.read_bytes() or process.poll() is not None)
        begun = time.monotonic()
        if interrupt:
            process.send_signal(signal.SIGTERM)
        first = process.wait(120)
        result.seconds = time.monotonic() - begun
    finally:
        os.kill(pid, signal.SIGCONT)
        _end(process)
    answered, stored, spilled = set(where.answered()), where.stored(), _spilled(where)
    result.answered, result.stored, result.spilled = len(answered), len(stored), len(spilled)
    result.neither = len(answered - stored - spilled)
    log = where.log.read_text(encoding="utf-8")
    result.close_reason = log.rpartition("Closed (")[2].partition(")")[0]
    result.exit_codes = first, where.crawl("author_square")
    result.left_over = len(_spill_files(where))
    result.after = Outage(authors)
    _examine(where, result.after)
    return result


def _spilled(where: Place) -> set[Question]:
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
        killed = through_outages(where, authors=authors, outages=options.kills, outage=kill)
        print("mongod killed:", killed)
        broken += killed.broken()
    with place(*arguments) as where:
        stopped = through_outages(where, authors=authors, outages=1, outage=stop_for(10))
        print("mongod stopped for 10 s:", stopped)
        broken += stopped.broken()
    for interrupt in (False, True):
        with place(*arguments) as where:
            gone = gone_for_good(where, authors=authors, interrupt=interrupt)
            print("with SIGTERM:" if interrupt else "patience of 3 s:", gone)
            broken += gone.broken()
    for claim in broken:
        print(f"does not hold: {claim}")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
