"""`scrapy mongo`: keep the embedded MongoDB running, for notebooks and other tools. Argument parsing only."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from typing import Any, ClassVar

from scrapy.commands import ScrapyCommand

from xingtu_crawler.commands.words import one_line
from xingtu_crawler.exceptions import ArgumentError
from xingtu_crawler.mongo.embedded import EmbeddedMongo
from xingtu_crawler.options import Options


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
            options = Options.read(self.settings)
            if options.mongo_uri:
                raise ArgumentError("MONGO_URI is set, so crawls use that server: unset it to use the embedded one.")
            with EmbeddedMongo(options.embedded_folder, min_free_bytes=options.embedded_min_free) as uri:
                sys.stdout.write(
                    f"MongoDB runs until Ctrl-C at {uri}\n"
                    f'Python: db = pymongo.MongoClient("{uri}")["{options.database_name}"]; '
                    "pandas: pandas.json_normalize(list(db.authors.find()))\n"
                )
                sys.stdout.flush()
                stop.wait()
