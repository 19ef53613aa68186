"""`make bench-promises`: every benchmark of a promise, one after the other; non-zero where one does not hold.

`python -m benchmarks.promises [--small] [PROGRAM …]`
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

SMALL = {
    "kill": ("--kills", "4", "--authors", "100"),
    "outage": ("--kills", "2", "--authors", "100"),
    "budget": ("--caps", "1", "7", "100"),
    "missing": ("--authors", "20000"),
    "malformed": ("--answers", "500"),
    "history_days": ("--days", "4", "--authors", "40"),
    "history_cost": ("--rounds", "1", "--authors", "200"),
}
"""The programs, and what makes each of them small: a smoke test, which takes three minutes."""


def main() -> int:
    """Run the programs, print which of them found what does not hold, and return 0 where none did."""
    parser = argparse.ArgumentParser(prog="make bench-promises", description=__doc__)
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=f"{', '.join(SMALL)}; all by default")
    parser.add_argument("--small", action="store_true", help="small sizes: the figures mean little")
    typed = parser.parse_args()
    if unknown := [name for name in typed.programs if name not in SMALL]:
        parser.error(f"there is no program {unknown[0]!r}: it is one of {', '.join(SMALL)}.")
    console = Console(width=120)
    table = Table("program", "minutes", "holds")
    failed = False
    for name in typed.programs or SMALL:
        console.rule(name)
        begun = time.monotonic()
        words = [sys.executable, "-u", "-m", f"benchmarks.{name}", *(SMALL[name] if typed.small else ())]
        exit_code = subprocess.run(words, check=False).returncode
        failed |= exit_code != 0
        table.add_row(name, f"{(time.monotonic() - begun) / 60:.1f}", "NO" if exit_code else "yes")
    console.print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
