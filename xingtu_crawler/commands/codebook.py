"""`scrapy codebook [folder]`: write the pages that say what every stored field means. Argument parsing only."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError

from xingtu_crawler.dataset.codebook import write

DEFAULT_FOLDER = "docs/codebook"


class Command(ScrapyCommand):
    """Write the codebook."""

    requires_project = True
    requires_crawler_process = False

    def syntax(self) -> str:
        """Return the arguments in words."""
        return "[folder]"

    def short_desc(self) -> str:
        """Return what the command does."""
        return f"Write the codebook, what every stored field means, into a folder (default {DEFAULT_FOLDER})"

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Write the pages; raise `UsageError` where the folder cannot be written."""
        if len(args) > 1 or any(word.startswith("-") for word in args):
            raise UsageError("One folder at most: type scrapy codebook [folder].", print_help=False)
        folder = Path(args[0] if args else DEFAULT_FOLDER)
        try:
            written = write(folder)
        except OSError as error:
            reason = f"The codebook cannot be written to {folder}: {error.strerror}; type scrapy codebook <folder>."
            raise UsageError(reason, print_help=False) from error
        sys.stdout.write(f"Wrote {len(written)} pages to {folder}.\n")
