"""The token is on the wire and nowhere else, even if the API echoes it in every way."""

from __future__ import annotations

import asyncio
import html
import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import bson
from pymongo.asynchronous.database import AsyncDatabase

from tests.crawl.hostile import HostileApi, serving
from tests.crawl.witness import refused, witness
from tests.harness import PATIENCE_S, QUICK, Finished, command, crawl_words, environment, run, script, wait_until
from xingtu_crawler.api.endpoints import DETAILS

Database = AsyncDatabase[dict[str, Any]]

AUTHORS = 100
"""Five search pages; each meets one fault per attempt, except the last attempt."""
ATTEMPTS = 12
SENTINEL = "S3NT"
"""The start of every token of these tests; no encoding changes these letters."""
PLAIN = f"{SENTINEL}1NELPLAIN"
NASTY = (f'{SENTINEL}+%/&=中"x', f"{SENTINEL}<'\\;~ü>")
SETTINGS: dict[str, object] = {
    "LOG_LEVEL": "DEBUG",
    "STATS_DUMP": 1,
    "MEMUSAGE_ENABLED": 0,
    "JOBDIR": "job",
    "HTTPCACHE_ENABLED": 1,
    "DOWNLOAD_TIMEOUT": 1,
    "DOWNLOAD_MAXSIZE": 300_000,
    "XINGTU_MAX_ATTEMPTS": ATTEMPTS,
}

NOSY = """
import sys, traceback
from scrapy import Request, signals
from scrapy.crawler import CrawlerProcess
from scrapy.http import Response
from scrapy.utils.project import get_project_settings
from twisted.python.failure import Failure
from xingtu_crawler.spiders.author_square import AuthorSquareSpider

seen = set()
out = open("recorded.txt", "w", encoding="utf-8")

def described(value):
    if isinstance(value, Request):
        slots = [slot for kind in type(value).__mro__ for slot in getattr(kind, "__slots__", ())]
        return [repr(value), str(value), *(f"{slot} {getattr(value, slot, None)!r}" for slot in slots)]
    if isinstance(value, Response):
        parts = [repr(value), value.url, repr(value.headers), repr(value.flags), value.body.decode("utf-8", "replace")]
        return parts + (described(value.request) if value.request else [])
    if isinstance(value, Failure):
        return [value.getTraceback(detail="verbose")] + described(value.value)
    if isinstance(value, BaseException):
        lines = traceback.TracebackException.from_exception(value, capture_locals=True).format()
        return [*lines, repr(value.__context__), repr(value.__cause__)]
    if isinstance(value, bytes):
        return [value.decode("utf-8", "replace")]
    return [repr(value)]

def record(name, **arguments):
    seen.add(name)
    for key, value in arguments.items():
        out.write("\\n".join([f"{name} {key}", *described(value)]) + "\\n")

class Nosy(AuthorSquareSpider):
    name = "nosy"

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.listeners = []
        for name in dir(signals):
            if not name.startswith("_"):
                def listener(name=name, **arguments):
                    record(name, **{k: v for k, v in arguments.items() if k not in ("signal", "sender", "spider")})
                spider.listeners.append(listener)
                crawler.signals.connect(listener, signal=getattr(signals, name))
        return spider

    def parse_detail(self, response, **known):
        record("callback", response=response)
        if "marketing" in response.url:
            raise RuntimeError(f"raised for {response.url} {response.headers}")
        yield from super().parse_detail(response, **known)

    def detail_failed(self, failure):
        record("errback", failure=failure, request=failure.request)
        yield from super().detail_failed(failure)

settings = get_project_settings()
settings.update({"DOWNLOAD_TIMEOUT": 1, "LOG_LEVEL": "DEBUG"})
process = CrawlerProcess(settings)
process.crawl(Nosy)
process.start()
out.close()
wanted = {"callback", "errback", "response_received", "request_scheduled", "spider_error", "item_scraped"}
sys.exit(f"never seen: {wanted - seen}" if wanted - seen else 0)
"""


@dataclass(frozen=True)
class Bench:
    """A working directory, the environment of its crawls, and all places that a token may leak to."""

    cwd: Path
    env: dict[str, str]
    database: Database

    def start(self, *words: str, output: str) -> subprocess.Popen[bytes]:
        """Start a command with standard output and error in a file."""
        with (self.cwd / output).open("wb") as to:
            return subprocess.Popen(words, cwd=self.cwd, env=self.env, stdout=to, stderr=to)

    def run(self, *words: str) -> Finished:
        return run(words, cwd=self.cwd, env=self.env)

    async def places(self, *, after: str) -> dict[str, bytes]:
        """Return everything written: files by path, documents by collection, as text and BSON."""
        found = {str(path): path.read_bytes() for path in self.cwd.rglob("*") if path.is_file()}
        found["the names of files"] = "\n".join(found).encode()
        for collection in await self.database.list_collection_names():
            documents = [document async for document in self.database[collection].find()]
            found[f"MongoDB {collection}"] = b"".join(map(bson.encode, documents)) + repr(documents).encode()
        return {f"{after}: {place}": content for place, content in found.items()}


def spellings(token: str) -> Iterator[bytes]:
    """Yield all encodings of a token. A search for `SENTINEL` finds them too; this is for the reader."""
    url = quote(token, safe="")
    for text in (token, url, quote(url), quote_plus(token), quote(token), json.dumps(token)[1:-1], html.escape(token)):
        yield text.encode()
        yield text.encode().lower()


def leaks(places: dict[str, bytes], tokens: tuple[str, ...]) -> dict[str, str]:
    """Return the places with a token, each with the text around it."""
    wanted = [SENTINEL.encode(), *(spelling for token in tokens for spelling in spellings(token))]
    found: dict[str, str] = {}
    for place, content in places.items():
        for text in wanted:
            at = content.find(text)
            if at >= 0:
                found[place] = content[max(0, at - 200) : at + 100].decode(errors="replace")
    return found


def _bench(base_url: str, mongo_uri: str, database: Database, tmp_path: Path, **token: str) -> Bench:
    cwd = tmp_path / "work"
    cwd.mkdir()
    env = environment(JUSTONEAPI_BASE_URL=base_url, MONGO_URI=mongo_uri, MONGO_DATABASE=database.name, **QUICK, **token)
    return Bench(cwd, env, database)


async def test_a_hostile_api_cannot_spread_the_token(mongo_uri: str, mongo_db: Database, tmp_path: Path) -> None:
    api = HostileApi(AUTHORS, faults_a_page=ATTEMPTS - 1)
    tokens = (PLAIN, *NASTY)
    token_file = tmp_path / "token.txt"
    token_file.write_text("# three\n" + "\n".join(tokens), encoding="utf-8")
    async with serving(api) as base_url:
        bench = _bench(base_url, mongo_uri, mongo_db, tmp_path, JUSTONEAPI_TOKEN_FILE=str(token_file))
        settings = {**SETTINGS, "HTTPCACHE_DIR": bench.cwd / "cache"}

        def interrupt() -> int:
            words = command(*crawl_words("author_square", {}, {**settings, "LOG_FILE": "crawl.log"}))
            crawl = bench.start(*words, output="output.txt")
            wait_until(lambda: api.used.total() >= 40 or crawl.poll() is not None)
            crawl.send_signal(signal.SIGINT)
            return crawl.wait(PATIENCE_S)

        assert await asyncio.to_thread(interrupt) == 1
        places = await bench.places(after="an interruption")

        api.leave_after(60, until=lambda: refused(bench.cwd) > 0)
        outage = {**settings, **witness(bench.cwd), "CONCURRENT_REQUESTS": 3}
        words = crawl_words("author_square", {"max_calls": 150}, outage)
        gone = await asyncio.to_thread(bench.run, *command(*words))
        places |= await bench.places(after="an outage")

        words = crawl_words("author_square", {"restart": "1"}, settings)
        done = await asyncio.to_thread(bench.run, *command(*words))

    # The API used every fault, and the crawl met them all.
    assert api.tokens == set(tokens)
    assert {name for name, count in api.used.items() if count} == api.faults
    assert "xingtu/not_sent" in gone.stderr, gone.stderr  # in the stats
    assert done.returncode == 1, done.stderr  # because of the quarantine
    assert sum([await mongo_db[each.collection].count_documents({"data.echo": "***"}) for each in DETAILS.values()]) > 0
    assert await mongo_db.authors.count_documents({"data.echo": "***"}) > 0
    assert any(b"***" in each["body"] for each in await mongo_db.quarantine.find().to_list())
    assert await mongo_db.failures.count_documents({"message": {"$regex": r"\*\*\*"}}) > 0
    runs = await mongo_db.runs.find(sort=[("_id", 1)]).to_list()
    assert [(each["arguments"], each["close_reason"]) for each in runs] == [
        ({}, "shutdown"),
        ({"max_calls": "150"}, "max_calls"),
        ({"restart": "1"}, "finished"),
    ]

    places |= await bench.places(after="the end")
    shown = await asyncio.to_thread(bench.run, *command("settings", "--get", "JUSTONEAPI_TOKEN"))
    for name, finished in (("outage", gone), ("crawl", done), ("settings", shown)):
        places |= {f"{name} stdout": finished.stdout.encode(), f"{name} stderr": finished.stderr.encode()}
    assert len([place for place in places if "/cache/" in place]) > AUTHORS
    assert not any("/job/requests.queue/" in place for place in places)
    log = places[f"the end: {bench.cwd / 'crawl.log'}"]
    assert b" DEBUG: " in log
    assert b"token-" in log  # the alias of the refused token
    assert leaks(places, tokens) == {}


async def test_no_signal_callback_or_exception_shows_the_token(
    mongo_uri: str, mongo_db: Database, tmp_path: Path
) -> None:
    api = HostileApi(AUTHORS)
    async with serving(api) as base_url:
        bench = _bench(base_url, mongo_uri, mongo_db, tmp_path, JUSTONEAPI_TOKEN=",".join(NASTY))
        bench.env.update({"XINGTU_MAX_ATTEMPTS": "1"})
        done = await asyncio.to_thread(bench.run, *script(NOSY))
    assert done.returncode == 0, done.stderr
    assert api.tokens == set(NASTY)
    places = await bench.places(after="the end")
    assert b"RuntimeError: raised for http" in places[f"the end: {bench.cwd / 'recorded.txt'}"]
    places |= {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    assert leaks(places, NASTY) == {}


def test_a_leak_would_be_found(tmp_path: Path) -> None:
    (token,) = NASTY[:1]
    for spelling in spellings(token):
        assert leaks({"here": b"..." + spelling + b"..."}, NASTY) != {}
    assert leaks({"here": b"token=*** token-1f0c"}, NASTY) == {}
