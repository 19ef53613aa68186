"""`scrapy find COLLECTION`: show documents as JSON. Argument parsing only; the work is done in `dataset/documents`."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from contextlib import aclosing
from typing import Any, ClassVar

from scrapy.commands import ScrapyCommand

from xingtu_crawler.arguments.wording import nearest, shown
from xingtu_crawler.commands.words import one_line
from xingtu_crawler.dataset.documents import LOOKED_AT, Query, find, render, unknown_paths
from xingtu_crawler.exceptions import ArgumentError
from xingtu_crawler.options import Options
from xingtu_crawler.storage.collections import names
from xingtu_crawler.storage.reader import open_for_reading

_OPTIONS = ("--filter", "--sort", "--limit", "--fields", "--lines", "--full")
_DESCENDING = re.compile(r"-[a-z_][\w.]+")


class Command(ScrapyCommand):
    """Show documents of the dataset."""

    requires_project = True
    requires_crawler_process = False
    default_settings: ClassVar[dict[str, Any]] = {"LOG_ENABLED": False}

    def syntax(self) -> str:
        """Return the arguments in words."""
        return "[options] <collection>"

    def short_desc(self) -> str:
        """Return what the command does."""
        return "Show documents of the dataset as JSON"

    def long_desc(self) -> str:
        """Return what `scrapy find -h` says."""
        return (
            "Show documents of the dataset as JSON, from the MongoDB that a crawl with the same settings writes to. "
            f"Collections: {', '.join(names())}."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add this command's options to Scrapy's own."""
        super().add_options(parser)
        group = parser.add_argument_group("Find")
        group.add_argument("--filter", metavar="JSON", default="{}", help="MongoDB filter (default: everything)")
        group.add_argument("--sort", metavar="FIELD", help="order by this path; -FIELD has the largest first")
        group.add_argument("--limit", metavar="N", default="10", help="so many documents, 0 for all (default: 10)")
        group.add_argument("--fields", metavar="PATHS", help="only these paths, with commas: star_id,data.follower")
        group.add_argument("--lines", action="store_true", help="one document per line, as always in a pipe")
        group.add_argument("--full", action="store_true", help="show long strings whole, as always in a pipe")
        _take_descending_fields(parser)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Print the documents; what is wrong is one line on standard error and the exit code 2."""
        try:
            with one_line(self):
                asyncio.run(self._print(args, opts))
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    async def _print(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        for word in args:
            if word.startswith("-"):
                raise ArgumentError(_unknown(word))
        if len(args) != 1:
            raise ArgumentError(f"Name one collection, as in scrapy find authors: one of {', '.join(names())}.")
        options = Options.read(self.settings)
        question = Query.of(args[0], condition=opts.filter, order=opts.sort, limit=opts.limit, fields=opts.fields)
        dataset = open_for_reading(options)
        # What goes into a file or another program must be what is stored.
        is_read = sys.stdout.isatty()
        indent = 2 if is_read and not opts.lines else None
        ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
        count = 0
        async with dataset as database, aclosing(find(database, question, known=names())) as documents:
            async for document in documents:
                count += 1
                sys.stdout.write(
                    render(document, full=opts.full or not is_read, indent=indent, ascii_only=ascii_only) + "\n"
                )
            sys.stdout.flush()
            for path in await unknown_paths(database, question) if count else []:
                sys.stderr.write(
                    f"No document of {question.collection} among the first {LOOKED_AT:,} has {shown(path)}: "
                    f"scrapy find {question.collection} --limit 1 shows one whole.\n"
                )
        if count == 0:
            synthetic = options.is_sandbox or options.given_database
            hint = "" if synthetic else " What a sandbox crawl has written is shown with JUSTONEAPI_ENV=sandbox."
            sys.stderr.write(f"No such document in {question.collection} of database {options.database_name}.{hint}\n")


def _unknown(word: str) -> str:
    name = word.partition("=")[0]
    hint = nearest(name, _OPTIONS)
    return f"Unknown option {shown(name)}: " + (f"did you mean {hint}?" if hint else "type scrapy find -h.")


def _take_descending_fields(parser: argparse.ArgumentParser) -> None:
    """Make `--sort -crawl.fetched_at` what it looks like: argparse would take the field for options, `-c` or `-s`.

    Scrapy's own parser overrides the same method for `-o -:json`; argparse has no public way.
    """
    ordinary = vars(type(parser)).get("_parse_optional") or argparse.ArgumentParser._parse_optional

    def parse_optional(word: str) -> Any:
        return None if _DESCENDING.fullmatch(word) else ordinary(parser, word)

    vars(parser)["_parse_optional"] = parse_optional
