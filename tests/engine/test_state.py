"""Scrapy's private attributes: read by one module, which finds them in the Scrapy that is installed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from scrapy import Spider
from scrapy.core.engine import ExecutionEngine
from scrapy.utils.test import get_crawler

from tests.harness import ROOT
from xingtu_crawler.engine import state

PACKAGE = ROOT / "xingtu_crawler"
ONLY_HERE = "engine/state.py"
OTHERS = {"_asdict", "_replace", "_exit"}
"""Documented names with an underscore: named tuples, `os._exit`."""
NOT_SCRAPYS = {("middlewares/download_handler.py", "_retry_connection"), ("commands/find.py", "_parse_optional")}
"""Those of aiohttp and argparse."""
UNDOCUMENTED = {"engine.start_time", "downloader.active", "scraper.slot", "engine.slot"}
"""Attributes of Scrapy's engine that have no underscore and are in no documentation."""


def private(path: Path) -> Iterator[str]:
    """Yield the private and undocumented attributes that a module uses on objects other than its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Attribute):
            continue
        owner = ast.unparse(node.value)
        is_own = owner in {"self", "cls", "super()"}
        if node.attr.startswith("_") and not node.attr.startswith("__") and not is_own and node.attr not in OTHERS:
            yield node.attr
        if f"{owner.rpartition('.')[2]}.{node.attr}" in UNDOCUMENTED:
            yield f"{owner}.{node.attr}"


def test_no_other_module_touches_scrapys_private_attributes() -> None:
    modules = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
    used = {(name, attribute) for name, path in modules.items() if name != ONLY_HERE for attribute in private(path)}
    assert used - NOT_SCRAPYS == set()
    assert set(private(modules[ONLY_HERE])) == {
        "_check_if_closing",
        "_get_handler",
        "_mw_methods_requiring_spider",
        "_old_style_handlers",
        "_slot",
        "engine.start_time",
        "engine.downloader.active",
        "engine.scraper.slot",
    }


async def test_the_engine_of_this_scrapy_has_what_is_read() -> None:
    crawler = get_crawler(Spider, {"DOWNLOAD_HANDLERS": {"http": None, "https": None}})
    crawler.spider = Spider("test")
    crawler.engine = engine = ExecutionEngine(crawler, lambda _: None)
    assert state.is_closing(engine)  # not open yet
    assert not state.has_started(engine)
    assert state.requests_in_downloader(engine) == 0
    assert state.responses_in_scraper(engine) == 0

    await engine.open_spider_async()
    assert not state.is_closing(engine)
    assert not state.has_started(engine)
    assert state.responses_in_scraper(engine) == 0

    assert not state.has_spider_arguments(engine.scraper.itemproc)
    assert state.download_handler(engine.downloader.handlers, "https") is None
    state.close_if_idle(engine.scraper)
    await engine.close_spider_async()
    assert state.is_closing(engine)
