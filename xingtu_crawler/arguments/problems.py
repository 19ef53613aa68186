"""All invalid lines of a file in one message: a user corrects them together."""

from __future__ import annotations

from dataclasses import dataclass, field

from xingtu_crawler.exceptions import ArgumentError

MOST_SHOWN = 20
"""Maximum number of lines that a message shows; the others are counted."""


@dataclass(slots=True)
class Problems:
    """The invalid lines of the file called `name`."""

    name: str
    _shown: list[tuple[int, str]] = field(default_factory=list)
    _count: int = 0

    def add(self, line: int, problem: str) -> None:
        """Add what is wrong with a line; `problem` is a sentence."""
        self._count += 1
        if len(self._shown) < MOST_SHOWN:
            self._shown.append((line, problem))

    def raise_any(self) -> None:
        """Raise `ArgumentError` if there is a problem: in one line for one problem, else in a line for each."""
        if self._count == 1:
            line, problem = self._shown[0]
            raise ArgumentError(f"{self.name}, line {line}: {problem}")
        if self._count:
            lines = [f"{self.name}: {self._count} problems", *(f"  line {line}: {said}" for line, said in self._shown)]
            if more := self._count - len(self._shown):
                lines.append(f"  and {more} more")
            raise ArgumentError("\n".join(lines))
