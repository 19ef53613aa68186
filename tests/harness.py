"""Runs `scrapy …` in its own process, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import fork_server
from xingtu_crawler.sandbox.process import SandboxProcess

ROOT = fork_server.ROOT

PATIENCE_S = 300
"""Maximum time to wait for what must happen: longer than any machine needs, shorter than pytest's `timeout`."""
QUICK = {"XINGTU_BACKOFF_BASE": "0.01", "XINGTU_BACKOFF_MAX": "0.1"}
"""Settings that make pauses short."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The exit code and the output of a command."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def error_lines(self) -> list[str]:
        """The error lines of the command and of the log."""
        return [line for line in self.stderr.splitlines() if line.startswith("error: ") or " ERROR: " in line]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without the project's variables, plus `variables`."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("JUSTONEAPI_", "MONGO_", "XINGTU_"))
    }
    # The tree under test, wherever the command is run.
    return {**inherited, "PYTHONPATH": str(ROOT), "SCRAPY_SETTINGS_MODULE": "xingtu_crawler.settings", **variables}


def command(*words: str) -> list[str]:
    """Return a `scrapy` command line that runs in this interpreter."""
    return [sys.executable, "-m", "scrapy", *words]


def script(code: str, *arguments: str) -> list[str]:
    """Return a command line that runs code as `python -c` does, with the package imported already."""
    return [sys.executable, "-m", "tests.script", code, *arguments]


def crawl_words(spider: str, arguments: Mapping[str, object], settings: Mapping[str, object]) -> list[str]:
    """Return the words of `scrapy crawl` for a spider, its `-a` arguments and `-s` settings."""
    words = ["crawl", spider]
    for name, value in arguments.items():
        words += ["-a", f"{name}={value}"]
    for name, value in settings.items():
        words += ["-s", f"{name}={value}"]
    return words


def run(words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float = PATIENCE_S) -> Finished:
    """Run a command to its end; raise `TimeoutExpired` if it runs for more than `timeout` seconds."""
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    return Finished(done.returncode, done.stdout, done.stderr)


def wait_until(holds: Callable[[], bool], *, timeout: float = PATIENCE_S) -> None:
    """Return once `holds` does; raise `TimeoutError` if it does not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:g} seconds")
        pause.wait(0.02)


@dataclass(frozen=True, slots=True)
class Crawler:
    """Crawls one sandbox into one database: `crawler("author_square", keyword="美食", max_pages=2)`."""

    base_url: str
    mongo_uri: str
    database: str
    cwd: Path
    token: str = "sandbox"

    def env(self, **variables: str) -> dict[str, str]:
        """Return the environment of a crawl."""
        return environment(
            JUSTONEAPI_ENV="sandbox",
            JUSTONEAPI_BASE_URL=self.base_url,
            JUSTONEAPI_TOKEN=self.token,
            MONGO_URI=self.mongo_uri,
            MONGO_DATABASE=self.database,
            **{**QUICK, **variables},
        )

    def scrapy(self, *words: str) -> Finished:
        """Run another `scrapy` command in the same environment."""
        return run(command(*words), cwd=self.cwd, env=self.env())

    def words(self, spider: str, settings: Mapping[str, object] | None = None, **arguments: object) -> list[str]:
        """Return the command line of a crawl."""
        return command(*crawl_words(spider, arguments, settings or {}))

    def __call__(self, spider: str, *, settings: Mapping[str, object] | None = None, **arguments: object) -> Finished:
        """Crawl to the end."""
        return run(self.words(spider, settings, **arguments), cwd=self.cwd, env=self.env())

    def start(
        self, spider: str, *, settings: Mapping[str, object] | None = None, **arguments: object
    ) -> subprocess.Popen[str]:
        """Start a crawl and return its process; its output goes to `crawl.log` in the working directory."""
        log = (self.cwd / "crawl.log").open("a", encoding="utf-8")
        with log:
            words = self.words(spider, settings, **arguments)
            return subprocess.Popen(words, cwd=self.cwd, env=self.env(), stdout=log, stderr=log, text=True)


StartSandbox = Callable[..., SandboxProcess]
"""Starts a sandbox with the given options."""
MakeCrawler = Callable[..., Crawler]
"""Binds a crawler to a sandbox."""
