"""`scrapy replay`: run what was kept aside through the current models again. Argument parsing only; see `storage/`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

from scrapy.commands import ScrapyCommand

from xingtu_crawler.commands.words import one_line, refuse
from xingtu_crawler.dataset.status import without_ids
from xingtu_crawler.options import Options
from xingtu_crawler.storage.reader import open_for_reading, require_dataset, told_in_one_line
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.replay import Replayed, examine_spilled, load_spilled, replay_quarantine
from xingtu_crawler.storage.spill import spilled
from xingtu_crawler.storage.store import Store


class Command(ScrapyCommand):
    """Recover spilled and quarantined answers."""

    requires_project = True
    requires_crawler_process = False
    default_settings: ClassVar[dict[str, Any]] = {"LOG_ENABLED": False}

    def syntax(self) -> str:
        """Return the arguments in words."""
        return "[--dry-run]"

    def short_desc(self) -> str:
        """Return what the command does."""
        return "Recover what is in spill files and in quarantine, without a call"

    def long_desc(self) -> str:
        """Return what `scrapy replay -h` says."""
        return (
            "Store what earlier crawls have paid for and could not store: answers in spill files (MongoDB was away), "
            "and answers in quarantine that the current models can read. No call is made. What does not fit stays."
        )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add this command's options to Scrapy's own."""
        super().add_options(parser)
        group = parser.add_argument_group("Replay")
        group.add_argument("--dry-run", action="store_true", help="only say what would be recovered")

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Replay and say what came of it; what is wrong is one line on standard error and the exit code 2."""
        assert self.settings is not None
        with one_line(self):
            refuse(args, command="replay", options=("--dry-run",))
            options = Options.read(self.settings)
            if not spilled(options.spill_directory):
                require_dataset(options)
            spill, quarantine = asyncio.run(_examine(options) if opts.dry_run else _replay(options))
            for line in _lines(spill, quarantine, verb="would be recovered" if opts.dry_run else "recovered"):
                sys.stdout.write(line + "\n")


async def _examine(options: Options) -> tuple[Replayed, Replayed]:
    spill = examine_spilled(options.spill_directory)
    async with open_for_reading(options) as database:
        return spill, await replay_quarantine(database, None)


async def _replay(options: Options) -> tuple[Replayed, Replayed]:
    store = await Store.open(options)
    try:
        with told_in_one_line():
            recorder = Recorder(
                store.writer,
                store.claims,
                store.sweeps,
                store.history,
                run_id="replay",
                count=lambda _what, _count: None,
            )
            spill = await load_spilled(options.spill_directory, recorder)
            return spill, await replay_quarantine(store.database, recorder)
    finally:
        await store.close()


def _lines(spill: Replayed, quarantine: Replayed, *, verb: str) -> Iterator[str]:
    for name, result in (("spill files", spill), ("quarantine", quarantine)):
        parts = ", ".join(f"{endpoint} {count:,}" for endpoint, count in sorted(result.recovered.items()))
        yield f"From {name}: {result.recovered.total():,} {verb}" + (f" ({parts})" if parts else "")
        reasons: Counter[str] = Counter()
        for reason, count in result.unfit.items():
            reasons[without_ids(reason)] += count
        if reasons:
            where = "stay in quarantine" if result is quarantine else "do not fit, and go to quarantine"
            yield f"  {reasons.total():,} {where}:"
            yield from (f"  {count:>7,}  {reason}" for reason, count in reasons.most_common())
        yield from (f"  Lines that cannot be read are in {path}" for path in result.broken)
