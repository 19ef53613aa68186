"""MongoDB servers for single tests, on loopback, that a test can kill, start again or make a replica set."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from xingtu_crawler.mongo.embedded import find_mongod


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Mongod:
    """A mongod on loopback."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.port = free_port()
        self.uri = f"mongodb://127.0.0.1:{self.port}"
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._directory.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [
                str(find_mongod()),
                *("--dbpath", str(self._directory), "--port", str(self.port), "--bind_ip", "127.0.0.1"),
                *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", *self._options),
                *("--logpath", f"{self._directory}.log", "--logappend"),
            ],
            stdout=subprocess.DEVNULL,
        )
        with MongoClient[dict[str, Any]](self.uri, directConnection=True, serverSelectionTimeoutMS=20_000) as client:
            client.admin.command("ping")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def mongod(directory: Path, *options: str) -> Iterator[Mongod]:
    server = Mongod(directory, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def replica_set(directory: Path) -> Iterator[str]:
    """Yield the URI of a replica set of one member, which is its primary."""
    with mongod(directory, "--replSet", "rs") as server:
        members = [{"_id": 0, "host": f"127.0.0.1:{server.port}"}]
        with MongoClient[dict[str, Any]](server.uri, directConnection=True) as client:
            client.admin.command("replSetInitiate", {"_id": "rs", "members": members})
        uri = f"{server.uri}/?replicaSet=rs"
        with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=20_000) as client:
            client.admin.command("ping")
        yield uri
