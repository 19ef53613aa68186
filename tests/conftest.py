"""Shared by all tests: an environment without the project's variables, fork servers, and one MongoDB."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from tests import fork_server
from xingtu_crawler.mongo.embedded import EmbeddedMongo

PROJECT_VARIABLES = ("JUSTONEAPI_", "MONGO_", "XINGTU_")

MEMORY = Path("/dev/shm")
"""A file system in memory, on Linux."""
ENOUGH_BYTES = 3_000_000_000
"""Space for the MongoDBs of a session: each process uses a few hundred MB."""

MONGO_PREFIX = "xingtu-tests-"

# A busy machine makes no test fail.
hypothesis.settings.register_profile("xingtu", deadline=None)
hypothesis.settings.load_profile("xingtu")


def pytest_configure() -> None:
    """Remove the developer's settings before any test module is imported: settings are read at import."""
    for name in list(os.environ):
        if name.startswith(PROJECT_VARIABLES):
            del os.environ[name]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the processes of `--dist loadgroup` the long tests first, and all tests that share a fixture to one."""
    if hasattr(config, "workerinput"):
        for item in items:
            if _shares_a_fixture(item):
                item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
        items.sort(key=_rank)


def _shares_a_fixture(item: pytest.Item) -> bool:
    definitions = item._fixtureinfo.name2fixturedefs.values() if isinstance(item, pytest.Function) else ()
    return any(each.scope == "module" and each.func.__module__ == item.module.__name__ for (*_, each) in definitions)  # type: ignore[attr-defined]


def _rank(item: pytest.Item) -> int:
    """Return 0 for tests that run whole crawls, 1 for others with a MongoDB, 2 for the rest."""
    if {"crawl", "commands"} & set(item.path.parts):
        return 0
    return 1 if "mongo_root" in getattr(item, "fixturenames", ()) else 2


@pytest.fixture(scope="session", autouse=True)
def _fork_servers() -> Iterator[None]:
    """Start the commands and sandboxes of all tests with fork servers, which end with the session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", fork_server.Popen)
        yield
    fork_server.stop()


@pytest.fixture
def new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each command of a test with a new interpreter, as a user does."""
    monkeypatch.setattr(subprocess, "Popen", fork_server.NewPopen)


@pytest.fixture(scope="session")
def mongo_root() -> Iterator[Path]:
    """A directory for MongoDBs, in memory if possible: creating collections on a disk takes most of a small crawl."""
    _remove_left_over(MEMORY)
    is_large = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES
    with TemporaryDirectory(prefix=f"{MONGO_PREFIX}{os.getpid()}-", dir=MEMORY if is_large else None) as root:
        yield Path(root)


def _remove_left_over(folder: Path) -> None:
    """Remove the MongoDBs of sessions that were killed; the name of each has the id of its process."""
    for path in folder.glob(f"{MONGO_PREFIX}*"):
        pid = path.name.removeprefix(MONGO_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def mongo_path(mongo_root: Path) -> Iterator[Path]:
    """An empty directory for the MongoDB of one test."""
    with TemporaryDirectory(dir=mongo_root) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def mongo_uri(mongo_root: Path) -> Iterator[str]:
    """The URI of one embedded MongoDB for the whole session."""
    with EmbeddedMongo(mongo_root / "mongo", min_free_bytes=0) as uri:
        yield uri


@pytest.fixture
async def mongo_db(mongo_uri: str) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """An empty database for one test."""
    name = f"test_{uuid4().hex}"
    # A test that waits for a crawl blocks the event loop; a monitor in it would then consider the server away.
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        mongo_uri, tz_aware=True, serverMonitoringMode="poll", heartbeatFrequencyMS=3_600_000
    )
    try:
        yield client[name]
    finally:
        await client.drop_database(name)
        await client.close()
