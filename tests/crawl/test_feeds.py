"""Feeds get the stored documents as plain records, in every format, and nothing of what is not stored."""

from __future__ import annotations

import csv
import json
import pickle
import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import Crawler, MakeCrawler, StartSandbox, command, run, script
from xingtu_crawler.dataset.find import render

Database = AsyncDatabase[dict[str, Any]]
Record = dict[str, Any]

FORMATS = ("jsonlines", "json", "csv", "xml", "pickle", "marshal")
EXACT = (
    "authors",
    "author_base_info",
    "author_marketing_info",
    "author_rec_videos",
    "author_video_distribution",
    "search_hits",
)
"""Collections whose documents are written by one answer each; a video is put together from several."""


def read(folder: Path, format_: str) -> list[Record]:
    """Return the records of a feed; a format without objects has `data` and `crawl` as JSON text."""
    path = folder / f"feed.{format_}"
    match format_:
        case "jsonlines":
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        case "json":
            records: list[Record] = json.loads(path.read_text(encoding="utf-8"))
            return records
        case "csv":
            csv.field_size_limit(10_000_000)
            with path.open(encoding="utf-8", newline="") as file:
                return [nested(row) for row in csv.DictReader(file)]
        case "xml":
            root = ET.parse(path).getroot()
            return [nested({field.tag: field.text or "" for field in item}) for item in root]
        case _:
            return list(unpickled(path)) if format_ == "pickle" else list(unmarshalled(path))


def nested(record: dict[str, str]) -> Record:
    return {**record, "data": json.loads(record["data"]), "crawl": json.loads(record["crawl"])}


def unpickled(path: Path) -> Iterable[Record]:
    with path.open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)


def unmarshalled(path: Path) -> Iterable[Record]:
    import marshal

    with path.open("rb") as file:
        while file.peek(1):
            yield marshal.load(file)


def shown(document: dict[str, Any]) -> Record:
    """Return a document as `scrapy find` prints it."""
    printed: Record = json.loads(render(document, full=True, indent=None, ascii_only=False))
    return printed


async def test_every_format_gets_the_stored_documents(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    # Some details are refused, and some are another author's: failures and quarantine.
    faults = ("400=0.1", "wrong_id=0.2", "surrogate=0.2")
    sandbox = start_sandbox("--authors", "20", *(word for fault in faults for word in ("--fault", fault)))
    crawler = make_crawler(sandbox)
    feeds = {f"feed.{name}": {"format": name, "encoding": "utf-8"} for name in FORMATS}
    done = crawler("author_square", settings={"FEEDS": json.dumps(feeds)})
    assert "Traceback" not in done.stderr
    assert not done.error_lines
    assert await mongo_db.quarantine.count_documents({}) > 0
    assert await mongo_db.failures.count_documents({}) > 0

    records = read(tmp_path, "jsonlines")
    for other in FORMATS[1:]:
        assert read(tmp_path, other) == records, other
    assert all(list(record) == ["collection", "_id", "data", "crawl"] for record in records)
    assert b"\\ud83d\\u" not in (tmp_path / "feed.jsonlines").read_bytes()
    for collection in EXACT:
        stored = {each["_id"]: shown(each) async for each in mongo_db[collection].find()}
        fed = {record["_id"]: record for record in records if record["collection"] == collection}
        assert fed.keys() == stored.keys(), collection
        for key, record in fed.items():
            if collection == "search_hits":
                assert {"_id": key, **record["data"]} == stored[key]
                continue
            assert record["data"] == stored[key]["data"]
            assert record["crawl"].items() <= stored[key]["crawl"].items()
            lacks = stored[key]["crawl"].keys() - record["crawl"].keys()
            assert lacks == {"first_seen_at", "changed_at", "spell", "observations"}
    videos = Counter(record["_id"] for record in records if record["collection"] == "videos")
    assert videos.keys() == {each["_id"] async for each in mongo_db.videos.find({}, {"_id": 1})}
    assert {record["collection"] for record in records} == {*EXACT, "videos"}


async def test_a_feed_on_standard_output_is_alone_there(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    crawler = make_crawler(start_sandbox("--authors", "20"))
    words = crawler.words("author_square", endpoints="none")
    done = run([*words, "-O", "-:jsonlines"], cwd=tmp_path, env=crawler.env())
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(record["collection"] == "authors" for record in records) == 20
    assert "billed" in done.stderr  # the summary of the crawl


EXAMPLE = '{"authors.jsonl": {"format": "jsonlines"}}'


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ('{"a.jl": 5}', f"FEEDS cannot be read: it must be a JSON object such as {EXAMPLE}."),
        (
            '{"a.parquet": {"format": "parquet"}}',
            (
                "FEEDS cannot be written: the line above says why. Known formats: csv, jl, json, jsonl, jsonlines, "
                "marshal, pickle, xml."
            ),
        ),
    ],
    ids=["form", "format"],
)
async def test_a_feed_that_cannot_be_written_is_refused_before_the_first_call(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, feeds: str, message: str
) -> None:
    sandbox = start_sandbox("--authors", "20")
    done = make_crawler(sandbox)("author_square", settings={"FEEDS": feeds})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"error: {message}"
    assert "Traceback" not in done.stderr
    assert sandbox.ledger()["calls"] == 0


@pytest.mark.parametrize("feeds", ['{"/dev/null/x.jsonl": {"format": "jsonlines"}}', '{".": {"format": "jsonlines"}}'])
async def test_a_feed_at_a_place_that_cannot_be_written_is_refused(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, feeds: str
) -> None:
    sandbox = start_sandbox("--authors", "20")
    done = make_crawler(sandbox)("author_square", settings={"FEEDS": feeds})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: FEEDS cannot be written: ")
    assert "Traceback" not in done.stderr
    assert sandbox.ledger()["calls"] == 0


async def test_a_feed_whose_reader_has_read_enough_ends_no_crawl(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    crawler: Crawler = make_crawler(start_sandbox("--authors", "60"))
    words = shlex.join([*command("crawl", "author_square", "-a", "endpoints=base_info"), "-o", "-:jsonlines"])
    done = run(["bash", "-c", f"set -o pipefail; {words} | head -n 1"], cwd=tmp_path, env=crawler.env())
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
    assert "Standard output was closed: the feed ends here, and the crawl goes on" in done.stderr
    assert "Traceback" not in done.stderr
    assert await mongo_db.author_base_info.count_documents({}) == 60


RECEIVER = """
import json, sys
from itemadapter import ItemAdapter
from scrapy import signals
from scrapy.crawler import CrawlerProcess
from scrapy.utils.project import get_project_settings

collections = []

def receive(item):
    collections.append(ItemAdapter(item)["collection"])

process = CrawlerProcess(get_project_settings())
crawler = process.create_crawler("authors")
crawler.signals.connect(receive, signal=signals.item_scraped)
process.crawl(crawler, star_ids=sys.argv[1], endpoints=["base_info", "marketing_info"])
process.start()
print(json.dumps(sorted(collections)))
"""


async def test_a_script_receives_the_records_one_by_one(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    crawler: Crawler = make_crawler(start_sandbox("--authors", "20"))
    assert crawler("author_square", endpoints="none").returncode == 0
    author = await mongo_db.authors.find_one()
    assert author is not None
    done = run(script(RECEIVER, author["_id"]), cwd=tmp_path, env=crawler.env())
    assert json.loads(done.stdout) == ["author_base_info", "author_marketing_info"], done.stderr
