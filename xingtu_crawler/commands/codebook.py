"""`scrapy codebook [folder]`: write the pages that say what every stored field means. Argument parsing only."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from xingtu_crawler.commands.base import ProjectCommand
from xingtu_crawler.dataset.codebook import write
from xingtu_crawler.exceptions import UserError

DEFAULT_FOLDER = "docs/codebook"


class Command(ProjectCommand):
    """Write the codebook."""

    def syntax(self) -> str:
        """Return the usage after the command's name."""
        return "[folder]"

    def short_desc(self) -> str:
        """Return what the command does."""
        return f"Write the codebook, which explains every stored field, into a folder (default: {DEFAULT_FOLDER})"

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        """Write the pages."""
        words = self.positional(args, at_most=1)
        folder = Path(words[0] if words else DEFAULT_FOLDER)
        try:
            written = write(folder)
        except OSError as error:
            raise UserError(f"Cannot write the codebook to {folder} ({error.strerror}): name another folder.") from None
        sys.stdout.write(f"Wrote {len(written)} pages to {folder}.\n")
