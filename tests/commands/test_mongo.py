"""`scrapy mongo`: the embedded MongoDB for as long as the command runs."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure

from tests.harness import PATIENCE_S, command, environment, run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    env = environment(JUSTONEAPI_ENV="sandbox", XINGTU_EMBEDDED_MIN_FREE="0")
    with subprocess.Popen(
        command("mongo"), cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        uri = child.stdout.readline().removeprefix("MongoDB runs until Ctrl-C at ").strip()
        how = child.stdout.readline()
        assert f'pymongo.MongoClient("{uri}")["xingtu_sandbox"]' in how
        with MongoClient[dict[str, str]](uri, serverSelectionTimeoutMS=3000) as client:
            client.test.things.insert_one({"_id": "1"})
        child.send_signal(number)
        assert child.wait(PATIENCE_S) == 0
        assert child.stderr.read() == ""
    with (
        MongoClient[dict[str, str]](uri, serverSelectionTimeoutMS=100) as client,
        pytest.raises(ConnectionFailure),
    ):
        client.admin.command("ping")


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        ((), {"MONGO_URI": "mongodb://user:secret@db"}, "MONGO_URI is set, so crawls use that server: "),
        ((), {"XINGTU_EMBEDDED_MIN_FREE": "9" * 20}, "Not enough disk space for MongoDB in .data/mongo ("),
        ((), {"JUSTONEAPI_ENV": "sanbox"}, "JUSTONEAPI_ENV is 'sanbox': "),
        (("--port", "1"), {}, "Unknown option --port: run scrapy mongo -h for the options."),
    ],
)
def test_a_mistake_is_one_error_line(
    tmp_path: Path, words: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    done = run(command("mongo", *words), cwd=tmp_path, env=environment(**variables))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr
