"""`scrapy mongo`: keep the embedded MongoDB running, for notebooks and other tools. Argument parsing only."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from xingtu_crawler.commands.base import ProjectCommand
from xingtu_crawler.exceptions import ArgumentError
from xingtu_crawler.mongo.embedded import EmbeddedMongo


class Command(ProjectCommand):
    """Run the embedded MongoDB until Ctrl-C."""

    def short_desc(self) -> str:
        """Return what the command does."""
        return "Keep the embedded MongoDB running until Ctrl-C, and print how to connect to it"

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        """Run until SIGINT or SIGTERM."""
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        self.positional(args)
        options = self.options
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
