"""`scrapy find` as a user runs it, against a real MongoDB."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import PATIENCE_S, Finished, command, environment, run
from xingtu_crawler.dataset.find import render

Find = Callable[..., Finished]

LONG = "很" * 500


@pytest.fixture
async def find(mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path) -> Find:
    """Return a function that runs `scrapy find` on a database with three authors and one quarantined answer."""
    await mongo_db.authors.insert_many(
        {
            "_id": str(number),
            "data": {"nickname": f"小{number}", "followers": number * 2**40, "text": LONG},
            "crawl": {"fetched_at": datetime(2026, 3, number, 9, 30, tzinfo=UTC)},
        }
        for number in (1, 2, 3)
    )
    await mongo_db.quarantine.insert_one({"_id": "q", "body": "{不".encode(), "junk": b"\xff\xfe"})
    env = environment(MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_db.name)
    return lambda *words: run(command("find", *words), cwd=tmp_path, env=env)


def documents(done: Finished) -> list[dict[str, Any]]:
    """Return what a command printed, one document per line."""
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_documents_come_as_plain_json(find: Find) -> None:
    first = documents(find("authors", "--sort", "_id", "--limit", "1"))[0]
    assert first["data"]["followers"] == 2**40
    assert first["data"]["nickname"] == "小1"
    assert first["crawl"]["fetched_at"] == "2026-03-01T09:30:00.000Z"


async def test_a_pipe_gets_whole_documents(find: Find) -> None:
    assert documents(find("authors", "--limit", "1"))[0]["data"]["text"] == LONG


def test_long_strings_are_shortened_on_a_terminal_unless_full() -> None:
    def shown(*, full: bool) -> str:
        text: str = json.loads(render({"text": LONG}, full=full, indent=None, ascii_only=False))["text"]
        return text

    assert shown(full=False).endswith("很…")
    assert len(shown(full=False)) == 100
    assert shown(full=True) == LONG


async def test_raw_bodies_are_printed_as_text_if_they_are_text(find: Find) -> None:
    found = documents(find("quarantine"))[0]
    assert found["body"] == "{不"
    assert set(found["junk"]) == {"$binary"}


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("--filter", '{"_id": {"$gte": "2"}}', "--sort", "_id"), ["2", "3"]),
        (("--filter", '{"crawl.fetched_at": {"$lt": {"$date": "2026-03-02T00:00:00Z"}}}'), ["1"]),
        (("--sort=-crawl.fetched_at",), ["3", "2", "1"]),
        (("--sort=-_id", "--limit", "2"), ["3", "2"]),
        (("--sort", "_id", "--limit", "0"), ["1", "2", "3"]),
    ],
)
async def test_the_options_decide_what_is_printed(find: Find, words: tuple[str, ...], ids: list[str]) -> None:
    assert [document["_id"] for document in documents(find("authors", *words))] == ids


async def test_only_the_requested_fields_are_printed(find: Find) -> None:
    found = documents(find("authors", "--fields", "data.nickname, crawl", "--limit", "1", "--sort", "_id"))
    assert found == [
        {"_id": "1", "data": {"nickname": "小1"}, "crawl": {"fetched_at": "2026-03-01T09:30:00.000Z"}},
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("authrs",), "There is no collection 'authrs': did you mean authors?"),
        (("zzzz",), "There is no collection 'zzzz': name one of author_base_info, "),
        (("authors", "--filter", "{a"), "--filter is not JSON ("),
        (("authors", "--filter", "[1]"), "--filter is not a JSON object: "),
        (("authors", "--filter", '{"a": {"$date": "never"}}'), "--filter cannot be read ("),
        (("authors", "--filter", '{"$no": 1}'), "MongoDB rejects the query (unknown top level operator"),
        (("authors", "--filter", '{"a": 1' + "0" * 30 + "}"), "--filter has a value that MongoDB cannot hold ("),
        (("authors", "--fields", "data,data.text"), "MongoDB rejects the query (Path collision"),
        (("authors", "--fields", "data,,crawl"), "--fields has an empty path: "),
        (("authors", "--sort", ""), "--sort is empty: "),
        (("authors", "--limit", "-1"), "--limit is '-1': "),
        (("authors", "--limit", "9" * 20), "--limit is '99999999999999999999': "),
        (("authors", "--limt=3"), "Unknown option --limt: did you mean --limit?"),
        ((), "Name one collection, as in scrapy find authors: "),
        (("authors", "videos"), "scrapy find does not take 'videos': run scrapy find -h for what it takes."),
    ],
)
async def test_a_mistake_is_one_error_line(find: Find, words: tuple[str, ...], said: str) -> None:
    done = find(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("--fields", "_id,data.no_such"), ("--sort=-data.no_such",)])
async def test_a_path_that_no_document_has_is_reported(find: Find, words: tuple[str, ...]) -> None:
    done = find("authors", *words)
    assert done.returncode == 0
    assert done.stdout
    assert done.stderr == (
        "None of the first 1,000 documents of authors has data.no_such: "
        "scrapy find authors --limit 1 prints a whole one.\n"
    )


async def test_no_result_is_no_error_and_names_the_database(
    find: Find, mongo_db: AsyncDatabase[dict[str, Any]]
) -> None:
    done = find("videos")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"No such document in videos of database {mongo_db.name}.\n"


@pytest.mark.parametrize(("env", "database"), [("sandbox", "xingtu_sandbox"), ("prod-global", "xingtu")])
def test_the_environment_decides_the_database(mongo_uri: str, tmp_path: Path, env: str, database: str) -> None:
    done = run(
        command("find", "failures", "--filter", '{"_id": "none"}'),
        cwd=tmp_path,
        env=environment(MONGO_URI=mongo_uri, JUSTONEAPI_ENV=env),
    )
    assert done.stderr.startswith(f"No such document in failures of database {database}.")
    assert ("JUSTONEAPI_ENV=sandbox" in done.stderr) == (env != "sandbox")


def test_a_reader_starts_no_empty_database(tmp_path: Path) -> None:
    done = run(command("find", "authors"), cwd=tmp_path, env=environment())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: There is no dataset in .data yet: crawl first")
    assert list(tmp_path.iterdir()) == []


async def test_a_terminal_gets_indented_documents(
    mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    await mongo_db.authors.insert_one({"_id": "1", "data": {"nickname": "小红"}})
    env = environment(MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_db.name)

    def shown(*words: str) -> str:
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            child = subprocess.Popen(command("find", "authors", *words), cwd=tmp_path, env=env, stdout=theirs)
            os.close(theirs)
            output = b""
            try:
                while part := terminal.read(65536):
                    output += part
            except OSError:  # how a terminal ends whose other side has been closed
                pass
            assert child.wait(PATIENCE_S) == 0
        return output.decode().replace("\r\n", "\n")

    assert shown() == '{\n  "_id": "1",\n  "data": {\n    "nickname": "小红"\n  }\n}\n'
    assert shown("--lines") == '{"_id": "1", "data": {"nickname": "小红"}}\n'


async def test_a_terminal_without_chinese_gets_valid_json(
    mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    await mongo_db.authors.insert_one({"_id": "1", "data": "小红😀"})
    env = environment(MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_db.name, PYTHONIOENCODING="ascii")
    found = documents(run(command("find", "authors"), cwd=tmp_path, env=env))
    assert found == [{"_id": "1", "data": "小红😀"}]


async def test_a_pipe_that_closes_early_is_no_error(
    mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path
) -> None:
    await mongo_db.videos.insert_many({"_id": str(number), "text": LONG} for number in range(5000))
    words = command("find", "videos", "--limit", "0", "--full")
    env = environment(MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_db.name)
    with subprocess.Popen(words, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert re.match(rb'{"_id": "\d+"', child.stdout.readline())
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(PATIENCE_S) == 0
