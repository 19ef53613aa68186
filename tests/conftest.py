"""What every test shares: an environment without this project's variables, and one real MongoDB."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import fork_server
import hypothesis
import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.mongo.embedded import EmbeddedMongo

PROJECT_VARIABLES = ("JUSTONEAPI_", "MONGO_", "XINGTU_")

# A busy machine makes no test fail.
hypothesis.settings.register_profile("xingtu", deadline=None)
hypothesis.settings.load_profile("xingtu")


def pytest_configure() -> None:
    """Forget the developer's settings, before any test module is imported: settings are read at import."""
    for name in list(os.environ):
        if name.startswith(PROJECT_VARIABLES):
            del os.environ[name]


@pytest.fixture(scope="session", autouse=True)
def _fork_servers() -> Iterator[None]:
    """Start the commands and sandboxes of all tests with fork servers; these have ended when the session ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", fork_server.Popen)
        yield
    fork_server.stop()


@pytest.fixture
def new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the commands of one test with a new interpreter each, as a user does."""
    monkeypatch.setattr(subprocess, "Popen", fork_server.NewPopen)


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of one embedded MongoDB for the whole session; it has stopped when the session ends."""
    with EmbeddedMongo(tmp_path_factory.mktemp("embedded") / "mongo", min_free_bytes=0) as uri:
        yield uri


@pytest.fixture
async def mongo_db(mongo_uri: str) -> AsyncIterator[AsyncDatabase[dict[str, Any]]]:
    """An empty database of its own for one test."""
    name = f"test_{uuid4().hex}"
    # A test that waits for a crawl stops the event loop, and with it a monitor that would then think the server away.
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        mongo_uri, tz_aware=True, serverMonitoringMode="poll", heartbeatFrequencyMS=3_600_000
    )
    try:
        yield client[name]
    finally:
        await client.drop_database(name)
        await client.close()
