"""`scrapy find COLLECTION`: print documents as JSON. Argument parsing only; the work is done in `dataset/find`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import aclosing
from typing import ClassVar

from xingtu_crawler.arguments.wording import shown
from xingtu_crawler.commands.base import OwnOptions, ProjectCommand
from xingtu_crawler.dataset.find import SAMPLED, Query, find, render, unknown_paths
from xingtu_crawler.exceptions import ArgumentError
from xingtu_crawler.storage.collections import names


class Command(ProjectCommand):
    """Print documents of the dataset."""

    own_options: ClassVar[OwnOptions] = {
        "--filter": {"metavar": "JSON", "default": "{}", "help": "MongoDB filter (default: all documents)"},
        "--sort": {"metavar": "FIELD", "help": "sort by this path; write --sort=-FIELD to sort downwards"},
        "--limit": {"metavar": "N", "default": "10", "help": "maximum number of documents, 0: all (default: 10)"},
        "--fields": {"metavar": "PATHS", "help": "print only these paths, with commas: star_id,data.follower"},
        "--lines": {"action": "store_true", "help": "print one document per line, as always into a pipe"},
        "--full": {"action": "store_true", "help": "do not shorten long strings, as always into a pipe"},
    }

    def syntax(self) -> str:
        """Return the usage after the command's name."""
        return "[options] <collection>"

    def short_desc(self) -> str:
        """Return what the command does."""
        return "Print documents of the dataset as JSON"

    def long_desc(self) -> str:
        """Return what `scrapy find -h` prints."""
        return (
            "Print documents of the dataset as JSON, from the MongoDB that a crawl with the same settings writes to. "
            f"Collections: {', '.join(names())}."
        )

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        """Print the documents."""
        try:
            asyncio.run(self._print(args, opts))
        except BrokenPipeError:  # `| head` has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    async def _print(self, args: list[str], opts: argparse.Namespace) -> None:
        words = self.positional(args, at_most=1)
        if not words:
            raise ArgumentError(f"Name one collection, as in scrapy find authors: one of {', '.join(names())}.")
        query = Query.of(words[0], condition=opts.filter, order=opts.sort, limit=opts.limit, fields=opts.fields)
        # Into a file or another program go whole documents.
        to_terminal = sys.stdout.isatty()
        full, indent = opts.full or not to_terminal, 2 if to_terminal and not opts.lines else None
        ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
        count = 0
        async with self.dataset() as database, aclosing(find(database, query, known=names())) as documents:
            async for document in documents:
                count += 1
                sys.stdout.write(render(document, full=full, indent=indent, ascii_only=ascii_only) + "\n")
            sys.stdout.flush()
            for path in await unknown_paths(database, query) if count else []:
                sys.stderr.write(
                    f"None of the first {SAMPLED:,} documents of {query.collection} has {shown(path)}: "
                    f"scrapy find {query.collection} --limit 1 prints a whole one.\n"
                )
        if count == 0:
            sys.stderr.write(self._nothing_found(query.collection) + "\n")

    def _nothing_found(self, collection: str) -> str:
        line = f"No such document in {collection} of database {self.options.database_name}."
        if self.options.is_sandbox or self.options.given_database:
            return line
        return f"{line} For the data of sandbox crawls set JUSTONEAPI_ENV=sandbox."
