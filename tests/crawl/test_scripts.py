"""docs/scripts.md at work: its code runs as it stands there, and leaves the process as it was."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import QUICK, ROOT, Finished, MakeCrawler, StartSandbox, environment, run
from tests.harness import script as words

Database = AsyncDatabase[dict[str, Any]]

READ, PANDAS, SCRIPT, NOTEBOOK = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "scripts.md").read_text(encoding="utf-8"), re.DOTALL
)

PROCESS = """
import gc, logging

def process():
    names = ("pymongo", "scrapy.middleware", "scrapy.crawler", "scrapy.core.engine")
    levels = [logging.getLogger(name).level for name in names]
    return gc.get_threshold(), gc.get_freeze_count(), logging.getLogRecordFactory(), levels
"""

CELL = """
import ast, asyncio, inspect

def cell(source):
    \"\"\"Run a cell as Jupyter does: `await` is allowed outside of functions.\"\"\"
    made = eval(compile(source, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), globals())
    return made if inspect.iscoroutine(made) else asyncio.sleep(0)
"""


def python(code: str, *, cwd: Path, **variables: str) -> Finished:
    """Run a script without a token in the sandbox."""
    env = environment(JUSTONEAPI_ENV="sandbox", **QUICK, **variables)
    return run(words(code), cwd=cwd, env=env)


def test_the_code_of_the_page_runs_in_its_order_with_an_embedded_mongodb(tmp_path: Path) -> None:
    many = SCRIPT.replace('keyword="美食", max_authors=5, endpoints=["base_info"]', "max_authors=5")
    assert many != SCRIPT
    variables = {"XINGTU_SANDBOX": "--authors 40"}
    crawled = python(many, cwd=tmp_path, **variables)
    assert crawled.stdout == "max_authors 21 calls\n", crawled.stderr
    read = python(READ, cwd=tmp_path, **variables)
    assert read.stdout.splitlines()[0] == "20 authors", read.stderr
    assert re.search(r"(?m)^\d+ \d{4}-\d\d-\d\dT[\d:.]+\+00:00$", read.stdout)
    if importlib.util.find_spec("pandas"):
        done = python(PANDAS, cwd=tmp_path, **variables)
        assert done.stdout.splitlines()[0].split() == ["star_id", "desc", "price", "follower"], done.stderr
    # The last user has stopped the server.
    assert not list((tmp_path / ".data" / "mongo").glob("*.sock"))


def test_a_notebook_crawls_more_than_once_and_stays_as_it_was(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    crawler = make_crawler(start_sandbox("--authors", "40"))
    notebook = f"""
{PROCESS}{CELL}
NOTEBOOK = {NOTEBOOK!r}
AGAIN = NOTEBOOK[NOTEBOOK.index("crawler ="):].replace("author_square", "authors")
AGAIN = AGAIN.replace('keyword="美食", max_authors=5', "missing=True, failed=False, terminal=None")

async def main():
    import scrapy.crawler  # which sets up loggers itself
    before = process()
    await cell(NOTEBOOK.replace('keyword="美食", ', ""))
    assert process() == before, (before, process())
    await cell(AGAIN)
    assert process() == before, (before, process())

asyncio.run(main())
"""
    done = run(words(notebook), cwd=tmp_path, env=crawler.env())
    assert done.stdout == "max_authors 6 calls\nfinished 15 calls\n", done.stderr


def test_an_interrupted_cell_ends_the_crawl(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_uri: str, mongo_db: Database, tmp_path: Path
) -> None:
    sandbox = start_sandbox("--authors", "2000", "--latency", "50")
    crawler = make_crawler(sandbox)
    notebook = f"""
{PROCESS}{CELL}
NOTEBOOK = {NOTEBOOK!r}

async def main():
    import scrapy.crawler
    from xingtu_crawler.sandbox import process as sandbox
    before = process()
    running = asyncio.ensure_future(cell(NOTEBOOK.replace('keyword="美食", max_authors=5, ', "")))
    while not running.done() and ("crawler" not in globals() or not crawler._stats
                                  or (crawler.stats.get_value("xingtu/stored/author_base_info") or 0) < 20):
        await asyncio.sleep(0.02)
    running.cancel()  # what Jupyter does to a cell
    await asyncio.wait([running])
    assert process() == before, (before, process())
    print(crawler.stats.get_value("finish_reason"))

asyncio.run(main())
"""
    done = run(words(notebook), cwd=tmp_path, env=crawler.env())
    assert done.stdout.splitlines()[-1] == "shutdown", done.stderr
    ledger = sandbox.ledger()
    assert ledger["calls"] == ledger["answered"] < 1000
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        stored = client[mongo_db.name].author_base_info.count_documents({})
    assert stored == ledger["by_endpoint"]["base_info"]["answered"]


@pytest.mark.parametrize("kind", ["CrawlerProcess", "AsyncCrawlerProcess"])
def test_a_script_runs_two_crawls_side_by_side_and_stays_as_it_was(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path, kind: str
) -> None:
    crawler = make_crawler(start_sandbox("--authors", "40"))
    script = f"""
{PROCESS}
from scrapy.crawler import {kind}
from scrapy.utils.project import get_project_settings

runner = {kind}(get_project_settings())
before = process()
crawls = [runner.create_crawler("author_square") for _ in range(2)]
runner.crawl(crawls[0], gender="MALE", endpoints=["base_info"])
runner.crawl(crawls[1], gender="FEMALE", endpoints="base_info")
runner.start()
assert process() == before, (before, process())
print(*(crawl.stats.get_value("finish_reason") for crawl in crawls))
"""
    done = run(words(script), cwd=tmp_path, env=crawler.env())
    assert done.stdout == "finished finished\n", done.stderr


def test_a_crawl_that_cannot_start_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    script = f"""
{PROCESS}
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.utils.project import get_project_settings

runner = AsyncCrawlerProcess(get_project_settings())
before = process()
crawler = runner.create_crawler("author_square")
runner.crawl(crawler)
runner.start()
assert process() == before, (before, process())
print(crawler.stats.get_value("finish_reason"))
"""
    done = python(script, cwd=tmp_path, MONGO_URI="mongodb://127.0.0.1:9")
    assert done.stdout == "storage_unavailable\n", done.stderr
