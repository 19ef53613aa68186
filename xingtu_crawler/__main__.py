"""`python -m xingtu_crawler COMMAND …`: `scrapy COMMAND …` with this project's settings, from any folder.

`scrapy` itself finds the project only in its folder and below.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scrapy.cmdline import execute

PROJECT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run a command; of a checkout, the embedded MongoDB and the spill files stay in the project's folder."""
    os.environ.setdefault("SCRAPY_SETTINGS_MODULE", "xingtu_crawler.settings")
    if (PROJECT / "scrapy.cfg").is_file():
        os.environ.setdefault("XINGTU_DATA_DIR", str(PROJECT / ".data"))
    execute(["scrapy", *sys.argv[1:]])


if __name__ == "__main__":
    main()
