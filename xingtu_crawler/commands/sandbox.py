"""`scrapy sandbox`: run the offline API. Argument parsing only; the work is done in `sandbox/`."""

from __future__ import annotations

import argparse
from typing import Any, ClassVar

from scrapy.commands import ScrapyCommand

from xingtu_crawler.sandbox import options, serve


class Command(ScrapyCommand):
    """Run the sandbox until Ctrl-C."""

    requires_crawler_process = False
    default_settings: ClassVar[dict[str, Any]] = {"LOG_ENABLED": False}

    def syntax(self) -> str:
        """Return the usage after the command's name."""
        return "[options]"

    def short_desc(self) -> str:
        """Return what the command does."""
        return "Run an offline API with a synthetic population, for demos and tests"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the sandbox's options to Scrapy's own."""
        super().add_options(parser)
        options.add_arguments(parser)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Serve until SIGINT or SIGTERM."""
        self.exitcode = serve.main(lambda: options.config(opts, args))
