"""Reports how many connections were refused to a running crawl."""

from __future__ import annotations

import json
from pathlib import Path

from xingtu_crawler import settings

_EXTENSION = """
from pathlib import Path
from scrapy import signals

class Witness:
    def __init__(self, crawler):
        self._stats = crawler.stats
        crawler.signals.connect(self.look, signal=signals.request_scheduled)

    @classmethod
    def from_crawler(cls, crawler):
        return cls(crawler)

    def look(self):
        refused = self._stats.get_value("xingtu/not_sent", 0)
        Path("refused.new").write_text(str(refused))
        Path("refused.new").rename("refused")
"""


def witness(folder: Path) -> dict[str, str]:
    """Write the extension to the working directory of a crawl; return the setting that enables it."""
    (folder / "witness.py").write_text(_EXTENSION, encoding="utf-8")
    return {"EXTENSIONS": json.dumps({**settings.API_CRAWL["EXTENSIONS"], "witness.Witness": 900})}


def refused(folder: Path) -> int:
    """Return the number of connections refused to the crawl in this working directory."""
    try:
        return int((folder / "refused").read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0
