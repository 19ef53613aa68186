"""Fixtures of the tests that run whole crawls: sandboxes, and crawlers bound to a database of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import Crawler, MakeCrawler, StartSandbox
from xingtu_crawler.sandbox.process import SandboxProcess


@pytest.fixture
def start_sandbox() -> Iterator[StartSandbox]:
    """Return a function that starts a sandbox with the given options; all stop at the end of the test."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(SandboxProcess.start(options))


@pytest.fixture
def make_crawler(mongo_uri: str, mongo_db: AsyncDatabase[dict[str, Any]], tmp_path: Path) -> MakeCrawler:
    """Return a function that binds a crawler to a sandbox, the test's own database and working directory."""

    def make(sandbox: SandboxProcess, **changes: Any) -> Crawler:
        return Crawler(sandbox.base_url, mongo_uri, mongo_db.name, tmp_path, **changes)

    return make
