"""What the benchmarks of the promises share: crawls of a sandbox into a MongoDB, and what of the answers is stored.

Knows the crawler from outside only: its command line, its database and the sandbox's ledger.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.database import Database

from xingtu_crawler.api.endpoints import DETAILS
from xingtu_crawler.mongo.embedded import EmbeddedMongo, find_mongod
from xingtu_crawler.mongo.keeper import Server, answers
from xingtu_crawler.sandbox.process import SandboxProcess

ROOT = Path(__file__).resolve().parent.parent
IN_FLIGHT = 64
"""`CONCURRENT_REQUESTS`: so many calls are under way at most."""
NOT_DURABLE = IN_FLIGHT * 5 // 4
"""So many calls have been sent and are not stored at most."""

DetailKey = tuple[str, str, str]
"""Endpoint, star id, platform; of a page of the search: "search", its number, ""."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where crawls crawl, and where they write to."""

    sandbox: SandboxProcess
    mongo_uri: str
    database: str
    folder: Path

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of a crawl, with short pauses: what is measured is what comes after them."""
        foreign = ("JUSTONEAPI_", "MONGO_", "XINGTU_", "SCRAPY_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "SCRAPY_SETTINGS_MODULE": "xingtu_crawler.settings",
            "JUSTONEAPI_ENV": "sandbox",
            "JUSTONEAPI_BASE_URL": self.sandbox.base_url,
            "JUSTONEAPI_TOKEN": "benchmark",
            "MONGO_URI": self.mongo_uri,
            "MONGO_DATABASE": self.database,
            "XINGTU_BACKOFF_BASE": "0.02",
            "XINGTU_BACKOFF_MAX": "0.2",
            **variables,
        }

    @property
    def log(self) -> Path:
        """What the crawls say."""
        return self.folder / f"{self.database}.log"

    def start(
        self,
        spider: str,
        variables: Mapping[str, str] | None = None,
        *,
        settings: Mapping[str, object] | None = None,
        **arguments: object,
    ) -> subprocess.Popen[bytes]:
        """Start a crawl with these environment variables, Scrapy settings and arguments."""
        words = [sys.executable, "-m", "scrapy", "crawl", spider]
        words += [word for name, value in arguments.items() for word in ("-a", f"{name}={value}")]
        words += [word for name, value in (settings or {}).items() for word in ("-s", f"{name}={value}")]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                words, cwd=self.folder, env=self.environment(**(variables or {})), stdout=log, stderr=log
            )

    def crawl(
        self,
        spider: str,
        variables: Mapping[str, str] | None = None,
        *,
        settings: Mapping[str, object] | None = None,
        timeout: float = 600,
        **arguments: object,
    ) -> int:
        """Crawl to the end and return the exit code; `timeout` in seconds."""
        process = self.start(spider, variables, settings=settings, **arguments)
        try:
            return process.wait(timeout)
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def documents(self) -> Iterator[Database[dict[str, Any]]]:
        """Open the database that the crawls write to."""
        with MongoClient[dict[str, Any]](self.mongo_uri, tz_aware=True) as client:
            yield client[self.database]

    def answered(self) -> list[DetailKey]:
        """Return the question of every call that the sandbox has answered, in the order of the answers."""
        return [
            ("search", str(call["page"]), "")
            if call["endpoint"] == "search"
            else (call["endpoint"], call["key"], call["platform"])
            for call in self.sandbox.calls()
            if call["answered"]
        ]

    def stored(self) -> set[DetailKey]:
        """Return the questions whose answers are in the database."""
        with self.documents() as database:
            pages = {("search", page, "") for sweep in database.sweeps.find() for page in sweep["pages"]}
            return pages | {
                (name, each["star_id"], each["platform"])
                for name, endpoint in DETAILS.items()
                for each in database[endpoint.collection].find({}, {"star_id": 1, "platform": 1})
            }


@contextmanager
def place(*options: str, mongo: AbstractContextManager[str] | None = None) -> Iterator[Place]:
    """Start a sandbox with these options and a MongoDB, by default an embedded one, both gone at the end."""
    with (
        TemporaryDirectory(prefix="xingtu-bench-") as folder,
        SandboxProcess.start(options) as sandbox,
        mongo or EmbeddedMongo(Path(folder) / "mongo", min_free_bytes=0) as uri,
    ):
        yield Place(sandbox, uri, "bench", Path(folder))


class LoneMongo:
    """A mongod that nobody starts again when it is killed; use it as a context manager that yields its URI."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="xingtu-mongo-")
        folder = Path(self._folder.name)
        self._server = Server(str(find_mongod()), folder, folder / "mongod.sock")

    def __enter__(self) -> str:
        self.start()
        return f"mongodb://{quote(str(self._server.socket_path), safe='')}"

    def __exit__(self, *_exception: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it on the data files that it has, and wait until it answers."""
        self._server.start()
        wait_until(lambda: answers(self._server.socket_path))

    def kill(self) -> None:
        """End it at once, with SIGKILL."""
        self._server.stop(signal.SIGKILL)


def faults(**rates: float) -> list[str]:
    """Return sandbox options: `faults(code_301=0.1, garbage=0.01)`."""
    return [word for name, rate in rates.items() for word in ("--fault", f"{name.removeprefix('code_')}={rate}")]


def wait_until(holds: Callable[[], bool], *, timeout: float = 300) -> None:
    """Return when `holds` does; raise `TimeoutError` where it has not within `timeout` seconds."""
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not come")
        pause.wait(0.01)
