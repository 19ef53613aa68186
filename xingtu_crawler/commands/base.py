"""What the project's commands share: typed options, refused words, one error line, the dataset, tables.

Knows Scrapy's commands and `Options`, nothing of any one command.
"""

from __future__ import annotations

import argparse
import sys
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import cached_property
from typing import Any, ClassVar

from pymongo.asynchronous.database import AsyncDatabase
from rich.console import Console, RenderableType
from scrapy.commands import ScrapyCommand

from xingtu_crawler.arguments.wording import nearest, shown
from xingtu_crawler.engine.log import guarded, redacted
from xingtu_crawler.engine.scrapy_settings import check_settings, check_values
from xingtu_crawler.engine.streams import discard_output, secure_streams
from xingtu_crawler.exceptions import ArgumentError, PlanError, UserError
from xingtu_crawler.options import API, RETRYING, STORAGE, Options, defaults
from xingtu_crawler.storage.reader import open_for_reading, raising_storage_errors
from xingtu_crawler.storage.store import Store

OwnOptions = Mapping[str, Mapping[str, Any]]

_WIDTH_WITHOUT_TERMINAL = 120
"""Columns of a table that goes into a pipe or a file."""


class ProjectCommand(ScrapyCommand):
    """A command of this project: subclasses say which options it has and what it does."""

    # Scrapy lists every command class that is defined in the module where it finds it. This class is no command.
    __module__ = "xingtu_crawler.commands"

    requires_project = True
    requires_crawler_process = False
    default_settings: ClassVar[dict[str, Any]] = {"LOG_ENABLED": False}
    own_options: ClassVar[OwnOptions] = {}
    """The command's own options by name, each with its arguments of `ArgumentParser.add_argument`."""

    @property
    def name(self) -> str:
        """The name of the command: that of its module, as for Scrapy."""
        return type(self).__module__.rpartition(".")[2]

    @cached_property
    def options(self) -> Options:
        """The project's settings; raises `UserError` if one of them is wrong."""
        assert self.settings is not None
        return Options.read(self.settings)

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add this command's options to Scrapy's own."""
        super().add_options(parser)
        self.add_own_options(parser)

    def add_own_options(self, parser: argparse.ArgumentParser) -> None:
        """Add `own_options` to a parser."""
        if self.own_options:
            group = parser.add_argument_group(self.name.capitalize())
            for option, details in self.own_options.items():
                group.add_argument(option, **details)

    def process_options(self, args: list[str], opts: argparse.Namespace) -> None:
        """Apply Scrapy's own options; exit with one line where one of them, or a setting, cannot be used."""
        secure_streams()
        with self.one_error_line():
            given = dict(_pairs(opts.set))
            for name in given:
                _refuse_unknown(name)
            check_values(given)
            try:
                super().process_options(args, opts)
            except OSError as error:
                raise UserError(
                    f"Cannot write {opts.pidfile} ({error.strerror}): name another file with --pidfile."
                ) from None
            assert self.settings is not None
            check_settings(self.settings)
        if self.exitcode:
            sys.exit(self.exitcode)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        """Do what the command is for; a `UserError` becomes one line on standard error and an exit code."""
        try:
            with self.one_error_line():
                self.execute(args, opts)
            sys.stdout.flush()
        except BrokenPipeError:
            discard_output()

    @abstractmethod
    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        """Do what the command is for.

        Args:
            args: the words of the command line that are no known option.
            opts: the values of the options.

        Raises:
            UserError: the user has to correct something first.
        """

    @contextmanager
    def one_error_line(self) -> Iterator[None]:
        """Print a `UserError` as one line on standard error; the exit code is 2, or 1 if a call was made."""
        try:
            with guarded():
                yield
        except UserError as error:
            with suppress(OSError):  # a closed pipe
                sys.stderr.write(f"error: {redacted(str(error))}\n")
            self.exitcode = 1 if isinstance(error, PlanError) else 2

    def positional(self, args: Sequence[str], *, at_most: int = 0) -> list[str]:
        """Return the positional arguments among `args`; raise `ArgumentError` for an unknown option or one too many."""
        words = [word for word in args if not word.startswith("-")]
        for option in (word.partition("=")[0] for word in args if word.startswith("-")):
            hint = nearest(option, list(self.own_options))
            remedy = f"did you mean {hint}?" if hint else f"run scrapy {self.name} -h for the options."
            raise ArgumentError(f"Unknown option {shown(option)}: {remedy}")
        if words[at_most:]:
            word = shown(words[at_most])
            if "=" in word:
                raise ArgumentError(
                    f"scrapy {self.name} does not take {word!r}: write arguments of a spider as -a {word}"
                )
            raise ArgumentError(
                f"scrapy {self.name} does not take {word!r}: run scrapy {self.name} -h for what it takes."
            )
        return words

    def dataset(self) -> AbstractAsyncContextManager[AsyncDatabase[dict[str, Any]]]:
        """Return the dataset, to be read in an `async with`."""
        return open_for_reading(self.options)

    @asynccontextmanager
    async def store(self, *, history: bool = True) -> AsyncIterator[Store]:
        """Open the dataset to write to it; what MongoDB raises becomes a `StorageError`."""
        store = await Store.open(self.options, history=history)
        try:
            with raising_storage_errors():
                yield store
        finally:
            await store.close()

    def show(self, tables: RenderableType, *, to_stderr: bool = False, width: int = _WIDTH_WITHOUT_TERMINAL) -> None:
        """Print tables on standard output, or on standard error; `width` columns wide where that is no terminal."""
        stream = sys.stderr if to_stderr else sys.stdout
        try:
            # What is too long for a line, such as a path, goes on in the next one.
            _Console(stderr=to_stderr, width=None if stream.isatty() else width).print(tables, crop=False)
            stream.flush()
        except BrokenPipeError:
            discard_output()


class _Console(Console):
    """Rich's console, which would end the process with exit code 1 where `| head` has read enough."""

    def on_broken_pipe(self) -> None:
        """Raise, so that the command keeps its exit code."""
        raise BrokenPipeError


def _refuse_unknown(name: str) -> None:
    """Raise `UserError` for a name that only a setting of this project can have, and none has."""
    known = list(defaults(API, RETRYING, STORAGE))
    if name.startswith(("JUSTONEAPI_", "MONGO_", "XINGTU_")) and name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else f"this project has {', '.join(known)}."
        raise UserError(f"There is no setting {shown(name)}: {hint}")


def _pairs(options: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the settings of `-s`; Scrapy refuses those without `=`."""
    for option in options:
        name, _, value = option.partition("=")
        yield name, value
