"""`scrapy sandbox` and `python -m xingtu_crawler.sandbox`: ready line, errors, signals, exit codes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness import PATIENCE_S
from xingtu_crawler.api.endpoints import SEARCH

ROOT = Path(__file__).parents[2]
MODULE = ["-m", "xingtu_crawler.sandbox"]
SCRAPY = ["-m", "scrapy", "sandbox"]
BOTH = pytest.mark.parametrize("program", [MODULE, SCRAPY], ids=["module", "scrapy"])


def spawn(program: list[str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )


def fails(program: list[str], *arguments: str) -> str:
    """Return what the program says on standard error before it ends with exit code 2."""
    child = spawn(program, *arguments)
    out, errors = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, out) == (2, "")
    return errors


@BOTH
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_how_to_crawl_it_and_stops_quietly(program: list[str], number: signal.Signals) -> None:
    child = spawn(program, "--port", "0", "--authors", "30", "--seed", "4")
    assert child.stdout is not None
    line = child.stdout.readline()
    url = line.split()[3]
    assert f"JUSTONEAPI_ENV=sandbox JUSTONEAPI_BASE_URL={url} scrapy crawl author_square" in line
    assert "30 authors, seed 4, day 0" in line
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    connection.request("GET", "/__ledger")
    assert json.loads(connection.getresponse().read())["calls"] == 0
    connection.close()
    child.send_signal(number)
    out, errors = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, out, errors) == (0, "", "")


def test_it_stops_while_a_client_waits_for_a_response() -> None:
    child = spawn(MODULE, "--port", "0", "--authors", "30", "--fault", "timeout=1")
    assert child.stdout is not None
    address = urlsplit(child.stdout.readline().split()[3]).netloc
    waiting, watching = (http.client.HTTPConnection(address, timeout=PATIENCE_S) for _ in range(2))
    waiting.request("GET", f"{SEARCH.path}?token=t")
    watching.request("GET", "/__control")
    watching.getresponse().read()
    child.send_signal(signal.SIGTERM)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        waiting.getresponse()
    out, errors = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, out, errors) == (0, "", "")
    waiting.close()
    watching.close()


@BOTH
def test_a_taken_port(program: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert fails(program, "--port", str(port)) == (
            f"error: port {port} on 127.0.0.1 is in use: choose another one with --port (0: any free port).\n"
        )


@BOTH
def test_a_wrong_value_is_one_error_line(program: list[str]) -> None:
    assert fails(program, "--port", "70000") == "error: --port is '70000': it must be an integer from 0 to 65535.\n"


def test_a_wrong_host_is_one_error_line() -> None:
    errors = fails(MODULE, "--host", "256.256.256.256")
    assert errors.startswith("error: cannot listen on 256.256.256.256 port 8702 (")
    assert errors.count("\n") == 1


@BOTH
def test_an_unknown_option_names_the_nearest(program: list[str]) -> None:
    assert fails(program, "--autors", "5") == "error: unknown argument --autors: did you mean --authors?\n"


def test_help_hides_internal_options() -> None:
    child = spawn(MODULE, "--help")
    out, _ = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0
    assert "--latency" in out
    assert "--parent-pipe" not in out


def test_a_terminal_without_chinese_characters_gets_the_ready_line() -> None:
    child = subprocess.Popen(
        [sys.executable, *MODULE, "--port", "0", "--authors", "5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert child.stdout is not None
    assert child.stdout.readline().startswith(b"Sandbox ready at http://127.0.0.1:")
    child.terminate()
    assert child.communicate(timeout=PATIENCE_S)[1] == b""
