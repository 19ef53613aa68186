"""`scrapy replay`: store what earlier crawls could not store. Argument parsing only; see `storage/replay`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from xingtu_crawler.commands.base import OwnOptions, ProjectCommand
from xingtu_crawler.items.validation import without_ids
from xingtu_crawler.storage.reader import require_dataset
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.replay import Replayed, examine_spilled, load_spilled, replay_quarantine
from xingtu_crawler.storage.spill import refused, spilled


class Command(ProjectCommand):
    """Recover spilled and quarantined answers."""

    own_options: ClassVar[OwnOptions] = {
        "--dry-run": {"action": "store_true", "help": "only print what would be recovered"}
    }

    def syntax(self) -> str:
        """Return the usage after the command's name."""
        return "[--dry-run]"

    def short_desc(self) -> str:
        """Return what the command does."""
        return "Recover the answers in spill files and in quarantine, without a call"

    def long_desc(self) -> str:
        """Return what `scrapy replay -h` prints."""
        return (
            "Store what earlier crawls paid for and could not store: answers in spill files (MongoDB was away), and "
            "answers in quarantine that the current models can read. It makes no call. What does not fit stays."
        )

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        """Replay, and print what was recovered."""
        self.positional(args)
        directory = self.options.spill_directory
        if not spilled(directory) and not refused(directory):
            require_dataset(self.options)
        spill, quarantine = asyncio.run(self._examine() if opts.dry_run else self._replay())
        for line in _lines(spill, quarantine, verb="would be recovered" if opts.dry_run else "recovered"):
            sys.stdout.write(line + "\n")

    async def _examine(self) -> tuple[Replayed, Replayed]:
        spill = examine_spilled(self.options.spill_directory)
        async with self.dataset() as database:
            return spill, await replay_quarantine(database, None)

    async def _replay(self) -> tuple[Replayed, Replayed]:
        async with self.store() as store:
            recorder = Recorder(
                store.writer,
                store.claims,
                store.sweeps,
                store.history,
                run_id="replay",
                count=lambda _what, _count: None,
            )
            spill = await load_spilled(self.options.spill_directory, recorder, again=True)
            return spill, await replay_quarantine(store.database, recorder)


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
        if result.refused:
            yield f"  {result.refused.total():,} that MongoDB refuses are set aside (*.refused):"
            yield from (f"  {count:>7,}  {reason}" for reason, count in result.refused.most_common())
        yield from (f"  Lines that cannot be read are in {path}" for path in result.broken)
