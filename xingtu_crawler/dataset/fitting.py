"""Tables that fit the width of a terminal without breaking words. Knows text and its width, no dataset.

A table that is too wide wraps its `wraps` columns between words, then leaves its `optional` columns out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.table import Table
from rich.text import Text

_GAP = 2
_LONGEST_WORD = 40
"""A longer word is broken: such a column could fit nowhere."""
# A line may break at a space, and on both sides of a wide character.
_WIDE = (
    "\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\U0001f300-\U0001faff"
)
_PIECE = re.compile(rf"\s+|[{_WIDE}]|[^\s{_WIDE}]{{1,{_LONGEST_WORD}}}")


def wrapped(text: str, width: int) -> list[str]:
    """Return `text` as lines of at most `width` columns, broken between words; a wide character has two columns.

    A line is wider only where a single word is.
    """
    lines, line = [], ""
    for piece in _PIECE.findall(text):
        if piece.isspace():
            line += " " if line else ""
        elif line.strip() and cell_len(line + piece) > width:
            lines.append(line.rstrip())
            line = piece
        else:
            line += piece
    return [*lines, line.rstrip()]


def narrowest(text: str) -> int:
    """Return the width of the widest part of `text` that cannot be broken."""
    return max(map(cell_len, _PIECE.findall(text)), default=0)


class FittingTable:
    """A table with a title, rendered in the width that there is.

    Args:
        title: the line above it.
        columns: the headings, distinct.
        rows: the cells of each row.
        numbers_from: the column from which on the cells are aligned to the right.
        wraps: the columns that may be wrapped, the first one first.
        optional: the columns that may be left out, the first one first.
    """

    def __init__(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        numbers_from: int,
        wraps: Sequence[str] = (),
        optional: Sequence[str] = (),
    ) -> None:
        self.title = title
        self.rows = [tuple(row) for row in rows]
        self._columns = list(columns)
        self._right = set(columns[numbers_from:])
        self._wraps = wraps
        self._optional = optional

    def widths(self, width: int) -> dict[str, int]:
        """Return the columns to show in `width` columns of a terminal, with the width of each."""
        cells = {name: [name, *(row[at] for row in self.rows)] for at, name in enumerate(self._columns)}
        widths = {name: max(map(cell_len, column)) for name, column in cells.items()}

        def excess() -> int:
            return sum(widths.values()) + _GAP * (len(widths) - 1) - width

        for name in self._wraps:
            if excess() > 0:
                widths[name] = max(widths[name] - excess(), *map(narrowest, cells[name]))
        for name in self._optional:
            if excess() > 0:
                del widths[name]
        for name in self._wraps:  # what was left out may have made room
            if name in widths and excess() < 0:
                widths[name] = min(widths[name] - excess(), max(map(cell_len, cells[name])))
        return widths

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the title and the table."""
        widths = self.widths(options.max_width)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
        for name, width in widths.items():
            justify: JustifyMethod = "right" if name in self._right else "left"
            heading = Text("\n".join(wrapped(name, width)))
            table.add_column(heading, justify=justify, width=width, no_wrap=True, overflow="crop")
        for row in self.rows:
            cells = zip(self._columns, row, strict=True)
            table.add_row(*(Text("\n".join(wrapped(cell, widths[name]))) for name, cell in cells if name in widths))
        yield Text(self.title, style="italic")
        yield table
        yield Text()
