"""The forecast after page 1, and the question that a crawl without a limit asks on a terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import Crawler, MakeCrawler, StartSandbox

Database = AsyncDatabase[dict[str, Any]]

QUESTION = b"Go on? [y/N]"


@contextmanager
def on_a_terminal(crawler: Crawler, **arguments: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a crawl whose three streams are a terminal; yield its process and the other end of the terminal."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            crawler.words("author_square", None, **arguments),
            cwd=crawler.cwd,
            env=crawler.env(TERM="dumb"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            text=True,
        )
    finally:
        os.close(theirs)
    try:
        yield process, ours
    finally:
        os.close(ours)
        process.wait()


def read_until(terminal: int, text: bytes) -> bytes:
    """Return what the terminal shows up to `text`, or to its end."""
    shown = b""
    with suppress(OSError):  # the last process has closed it
        while text not in shown and (more := os.read(terminal, 4096)):
            shown += more
    return shown


def type_in(line: bytes) -> Callable[[subprocess.Popen[str], int], None]:
    return lambda _process, terminal: (os.write(terminal, line), None)[1]


def interrupt(process: subprocess.Popen[str], _terminal: int) -> None:
    os.kill(process.pid, signal.SIGINT)


@pytest.mark.parametrize(
    ("react", "ended"),
    [(type_in(b"n\n"), ("declined", 0)), (type_in(b"\n"), ("declined", 0)), (interrupt, ("shutdown", 1))],
)
async def test_without_a_yes_the_crawl_ends_after_page_1(
    start_sandbox: StartSandbox,
    make_crawler: MakeCrawler,
    mongo_db: Database,
    react: Callable[[subprocess.Popen[str], int], None],
    ended: tuple[str, int],
) -> None:
    close_reason, code = ended
    sandbox = start_sandbox("--authors", "400")
    with on_a_terminal(make_crawler(sandbox)) as (process, terminal):
        shown = read_until(terminal, QUESTION)
        assert b"1,619 calls, " in shown
        react(process, terminal)
        read_until(terminal, b"never")
        assert process.wait() == code
    assert sandbox.ledger()["calls"] == 1
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["close_reason"], run["state"]) == (close_reason, "ended")
    assert run["verdict"] == ("limited" if close_reason == "declined" else "incomplete")
    # Page 1 is kept: the next crawl goes on behind it.
    assert await mongo_db.authors.count_documents({}) == 20
    sweep = await mongo_db.sweeps.find_one({})
    assert sweep is not None
    assert (sweep["state"], sweep["next_page"]) == ("open", 2)


async def test_with_a_yes_the_crawl_goes_on(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> None:
    sandbox = start_sandbox("--authors", "260")
    with on_a_terminal(make_crawler(sandbox)) as (process, terminal):
        assert QUESTION in read_until(terminal, QUESTION)
        os.write(terminal, b"y\n")
        read_until(terminal, b"never")
        assert process.wait() == 0
    assert sandbox.ledger()["calls"] == 13 + 4 * 260


@pytest.mark.parametrize("arguments", [{"yes": 1, "endpoints": "base_info"}, {"max_calls": 3}])
async def test_a_limit_and_yes_leave_the_question_out(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, arguments: dict[str, object]
) -> None:
    sandbox = start_sandbox("--authors", "1100")
    with on_a_terminal(make_crawler(sandbox), **arguments) as (process, terminal):
        shown = read_until(terminal, b"never")
        assert process.wait() == 0
    assert QUESTION not in shown
    assert b"Forecast: " in shown


async def test_without_a_terminal_the_forecast_is_logged_and_the_crawl_goes_on(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler
) -> None:
    sandbox = start_sandbox("--authors", "45")
    done = make_crawler(sandbox)("author_square")
    assert done.returncode == 0
    assert re.search(r"Forecast: 18[0-2] calls, ", done.stderr)  # page 2 may be stored by then
    assert sandbox.ledger()["calls"] == 3 + 180
