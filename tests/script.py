"""Runs code as `python -c` does, in a process that a fork server can start: `python -m tests.script CODE …`."""

from __future__ import annotations

import gc
import sys

if __name__ == "__main__":
    gc.unfreeze()  # what the fork server froze is not part of a new process
    code = sys.argv.pop(1)
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
