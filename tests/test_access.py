"""`open_dataset`: reads what the commands read, in a notebook too, and reports in one line what is wrong."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, OperationFailure

from tests.harness import ROOT, Finished, environment, run, script
from xingtu_crawler.exceptions import StorageError
from xingtu_crawler.options import Options
from xingtu_crawler.storage.reader import open_for_reading_blocking

Database = AsyncDatabase[dict[str, Any]]
AT = datetime(2026, 3, 8, 9, 30, tzinfo=UTC)

READS = """
import asyncio
import xingtu_crawler

async def cell():
    with xingtu_crawler.open_dataset() as db:
        author = db.authors.find_one() or {}
        print(db.name, author.get("_id"), author["seen_at"].isoformat() if author else None)

asyncio.run(cell())
"""


def python(code: str, cwd: Path, **variables: str) -> Finished:
    return run(script(code), cwd=cwd, env=environment(**variables))


async def test_it_reads_the_database_of_the_environment_while_a_loop_runs(
    mongo_uri: str, mongo_db: Database, tmp_path: Path
) -> None:
    await mongo_db.authors.insert_one({"_id": "66", "seen_at": AT})
    done = python(READS, tmp_path, MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_db.name)
    assert done.stdout == f"{mongo_db.name} 66 2026-03-08T09:30:00+00:00\n", done.stderr


async def test_it_reads_the_settings_of_a_project(mongo_uri: str, mongo_db: Database, tmp_path: Path) -> None:
    own = f"from xingtu_crawler.settings import *\nMONGO_URI = {mongo_uri!r}\nMONGO_DATABASE = {mongo_db.name!r}\n"
    (tmp_path / "own_settings.py").write_text(own, encoding="utf-8")
    (tmp_path / "scrapy.cfg").write_text("[settings]\ndefault = own_settings\n", encoding="utf-8")
    env = environment()
    del env["SCRAPY_SETTINGS_MODULE"]
    done = run(script(READS), cwd=tmp_path, env=env)
    assert done.stdout == f"{mongo_db.name} None None\n", done.stderr


def test_outside_of_a_project_the_environment_counts(tmp_path: Path) -> None:
    env = environment(MONGO_URI="mongodb://127.0.0.1:9", SCRAPY_SETTINGS_MODULE="")
    done = run(script(READS), cwd=tmp_path, env=env)
    assert "xingtu_crawler.exceptions.StorageError: " in done.stderr.splitlines()[-1]
    assert "127.0.0.1:9" in done.stderr.splitlines()[-1]


def test_without_a_dataset_no_mongodb_is_started(tmp_path: Path) -> None:
    options = Options.read({"XINGTU_DATA_DIR": str(tmp_path / "none")})
    with (
        pytest.raises(StorageError, match=r"There is no dataset in .* yet: crawl first"),
        open_for_reading_blocking(options),
    ):
        pass
    assert not (tmp_path / "none").exists()


async def test_a_wrong_query_stays_pymongos_own_error(mongo_uri: str, mongo_db: Database) -> None:
    options = Options.read({"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_db.name})
    with pytest.raises(OperationFailure, match=r"\$nothing"), open_for_reading_blocking(options) as db:
        list(db.authors.find({"x": {"$nothing": 1}}))


async def test_a_lost_connection_is_one_line(mongo_uri: str, mongo_db: Database) -> None:
    options = Options.read({"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_db.name})
    with (
        pytest.raises(StorageError, match=r"The connection to MongoDB failed \(AutoReconnect\)"),
        open_for_reading_blocking(options),
    ):
        raise AutoReconnect("gone")


async def test_nothing_is_created(mongo_uri: str, mongo_db: Database) -> None:
    options = Options.read({"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_db.name})
    with open_for_reading_blocking(options) as db:
        assert db.authors.count_documents({}) == 0
    assert await mongo_db.list_collection_names() == []


def test_importing_the_package_loads_none_of_its_libraries() -> None:
    code = (
        "import sys, xingtu_crawler; xingtu_crawler.__version__; "
        "print({'scrapy', 'pymongo', 'pydantic', 'twisted', 'asyncio'} & set(sys.modules)); "
        "print(hasattr(xingtu_crawler, 'no_such_name'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\nFalse\n"
