"""`scrapy mongo`: keep the embedded MongoDB running, for notebooks and other tools. Argument parsing only."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

from scrapy.commands import ScrapyCommand

from xingtu_crawler.api import environments
from xingtu_crawler.commands.words import one_line
from xingtu_crawler.exceptions import ArgumentError
from xingtu_crawler.extensions.run_record import database_name
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.storage.reader import embedded_folder


class Command(ScrapyCommand):
    """Runs the embedded MongoDB until Ctrl-C."""

    requires_project = True
    requires_crawler_process = False
    default_settings: ClassVar[dict[str, Any]] = {"LOG_ENABLED": False}

    def short_desc(self) -> str:
        """Return what the command does."""
        return "Keep the embedded MongoDB running until Ctrl-C, and say how to connect to it"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Run until the process is told to stop; what is wrong is one line on standard error and the exit code 2."""
        assert self.settings is not None
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        with one_line(self):
            if args:
                raise ArgumentError("scrapy mongo takes no arguments; XINGTU_DATA_DIR says where the data is.")
            if self.settings["MONGO_URI"]:
                raise ArgumentError("MONGO_URI is set, so crawls use that server: unset it to use the embedded one.")
            environments.base_url(self.settings["JUSTONEAPI_ENV"])
            embedded = EmbeddedMongo(
                embedded_folder(Path(self.settings["XINGTU_DATA_DIR"])),
                min_free_bytes=self.settings.getint("XINGTU_EMBEDDED_MIN_FREE"),
            )
            with embedded as uri:
                name = database_name(self.settings)
                sys.stdout.write(
                    f"MongoDB runs until Ctrl-C at {uri}\n"
                    f'Python: db = pymongo.MongoClient("{uri}")["{name}"]; '
                    "pandas: pandas.json_normalize(list(db.authors.find()))\n"
                )
                sys.stdout.flush()
                stop.wait()
