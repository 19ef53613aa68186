"""`scrapy status`: where the dataset stands. Argument parsing only; the work is done in `dataset/status`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any, ClassVar

from rich.console import Console
from scrapy.commands import ScrapyCommand

from xingtu_crawler.commands.words import WIDTH_IN_A_PIPE, one_line, refuse
from xingtu_crawler.dataset import status
from xingtu_crawler.dataset.status_tables import render
from xingtu_crawler.options import Options
from xingtu_crawler.storage.reader import open_for_reading


class Command(ScrapyCommand):
    """Show where the dataset stands."""

    requires_project = True
    requires_crawler_process = False
    default_settings: ClassVar[dict[str, Any]] = {"LOG_ENABLED": False}

    def syntax(self) -> str:
        """Return the arguments in words."""
        return "[--json]"

    def short_desc(self) -> str:
        """Return what the command does."""
        return "Show runs, open sweeps, coverage, failures and cost"

    def long_desc(self) -> str:
        """Return what `scrapy status -h` says."""
        return (
            "Show where the dataset stands: the last runs, sweeps that can go on, authors with details and their age, "
            "failures, quarantine, calls and cost by day. Nothing is written and no call is made."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add this command's options to Scrapy's own."""
        super().add_options(parser)
        group = parser.add_argument_group("Status")
        group.add_argument("--json", action="store_true", help="one JSON object, for scripts")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Print the state; what is wrong is one line on standard error and the exit code 2."""
        with one_line(self):
            refuse(args, command="status", options=("--json",))
            state = asyncio.run(self._read())
            if opts.json:
                sys.stdout.write(json.dumps(state, default=_plain) + "\n")
            else:
                Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_PIPE).print(render(state))

    async def _read(self) -> dict[str, Any]:
        assert self.settings is not None
        options = Options.read(self.settings)
        async with open_for_reading(options) as database:
            return await status.read(
                database, now=datetime.now(UTC), spill=options.spill_directory, daily_cap=options.daily_calls
            )


def _plain(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"no JSON for {type(value).__name__}")
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
