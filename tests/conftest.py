"""Shared by all tests: an environment without the project's variables, fork servers, and one MongoDB."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from tests import fork_server
from xingtu_crawler.mongo.embedded import EmbeddedMongo

PROJECT_VARIABLES = ("JUSTONEAPI_", "MONGO_", "XINGTU_")

# A busy machine makes no test fail.
hypothesis.settings.register_profile("xingtu", deadline=None)
hypothesis.settings.load_profile("xingtu")


def pytest_configure() -> None:
    """Remove the developer's settings before any test module is imported: settings are read at import."""
    for name in list(os.environ):
        if name.startswith(PROJECT_VARIABLES):
            del os.environ[name]


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
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of one embedded MongoDB for the whole session."""
    with EmbeddedMongo(tmp_path_factory.mktemp("embedded") / "mongo", min_free_bytes=0) as uri:
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
