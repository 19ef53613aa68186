"""`scrapy status`: show the state of the dataset. Argument parsing only; the work is done in `dataset/status`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any, ClassVar

from xingtu_crawler.commands.base import OwnOptions, ProjectCommand
from xingtu_crawler.dataset import status
from xingtu_crawler.dataset.status_tables import render

_WIDTH_WITHOUT_TERMINAL = 80
"""Columns of the tables in a pipe or a file, as in a terminal of the usual size."""


class Command(ProjectCommand):
    """Show the state of the dataset."""

    own_options: ClassVar[OwnOptions] = {
        "--json": {"action": "store_true", "help": "print one JSON object, for scripts"}
    }

    def syntax(self) -> str:
        """Return the usage after the command's name."""
        return "[--json]"

    def short_desc(self) -> str:
        """Return what the command does."""
        return "Show runs, open sweeps, coverage, failures and cost"

    def long_desc(self) -> str:
        """Return what `scrapy status -h` prints."""
        return (
            "Show the state of the dataset: the last runs, sweeps that a crawl can resume, authors with details and "
            "their age, failures, quarantine, calls and cost by day. It writes nothing and makes no call."
        )

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        """Print the state."""
        self.positional(args)
        state = asyncio.run(self._read())
        if opts.json:
            sys.stdout.write(json.dumps(state, default=_plain) + "\n")
        else:
            self.show(render(state), width=_WIDTH_WITHOUT_TERMINAL)

    async def _read(self) -> dict[str, Any]:
        async with self.dataset() as database:
            return await status.read(
                database,
                now=datetime.now(UTC),
                spill=self.options.spill_directory,
                daily_cap=self.options.daily_calls,
            )


def _plain(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"no JSON for {type(value).__name__}")
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
