"""Malformed answers through all that reads and stores them: each ends as a document or in quarantine.

Details go through a whole crawl; a search stops at a few pages in a row that cannot be had, so malformed pages (and
details once more) are handed to the parser and the recorder directly.
`python -m benchmarks.malformed [--answers 10000] [--seed 1]`
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from pymongo import MongoClient
from pymongo.database import Database

from benchmarks.crawling import Place, place
from benchmarks.fuzzer import Fuzzer, Malformed
from benchmarks.history_check import check
from xingtu_crawler.api import codes, envelope
from xingtu_crawler.api.codes import Action
from xingtu_crawler.api.endpoints import DETAILS, SEARCH, Platform
from xingtu_crawler.exceptions import IdentityError, MalformedBodyError, TooDeepError
from xingtu_crawler.items.answers import DetailAnswer, FailedRequest, SearchAnswer
from xingtu_crawler.items.validation import validate_detail, validate_page
from xingtu_crawler.options import Options
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.store import Store

FAILURE = "failures"
"""Where nothing is kept of an answer but its code and its message."""
SWEEP = "malformed"
_AT_ONCE = 50


@dataclass(slots=True)
class Outcomes:
    """Where the answers ended: by kind and by place. `lost` are in no place where they may be; `other` came with
    another business code and may be failures without a body."""

    by_place: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)
    lost: list[Malformed] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.by_place.total()} malformed answers: {dict(self.by_place)}, {len(self.raised)} exceptions, "
            f"{len(self.lost)} lost, {len(self.violations)} violations of the history; {self.other.total()} more with "
            f"another business code: {dict(self.other)}\n  {dict(self.by_kind)}"
        )

    def broken(self) -> list[str]:
        """Return what does not hold."""
        return [*self.raised[:10], *(f"lost: {each}" for each in self.lost[:10]), *self.violations[:10]]

    def find(self, asked: Iterable[Malformed], database: Database[dict[str, Any]]) -> None:
        """Look where each answer is."""
        places = where_ended(database)
        for each in asked:
            key = (each.endpoint, str(each.page)) if each.endpoint == SEARCH.name else (each.endpoint, each.star_id)
            place = places.get(key)
            if place is None or (place == FAILURE and not each.another_code):
                self.lost.append(each)
            (self.other if each.another_code else self.by_place)[place or "nowhere"] += 1
            self.by_kind[each.kind] += not each.another_code
        self.violations = check(database).violations


class Taker:
    """Does with an answer what a crawl does with the last attempt."""

    def __init__(self, store: Store) -> None:
        self.recorder = Recorder(
            store.writer,
            store.claims,
            store.sweeps,
            store.history,
            run_id="malformed",
            count=lambda _what, _count: None,
        )

    async def take(self, each: Malformed) -> None:
        """Read, judge, validate and record one answer."""
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        try:
            read = envelope.parse(each.body)
        except MalformedBodyError as error:
            reason = "too_deep" if isinstance(error, TooDeepError) else "malformed"
            await self._failed(each, None, (reason, str(error)), now, body=each.body)
            return
        rule = codes.rule(read.code, read.inner_status)
        if rule.action is not Action.USE:
            await self._failed(each, read.code, (rule.meaning, read.message or rule.meaning), now)
        elif each.endpoint == SEARCH.name:
            page = SearchAnswer(SWEEP, each.page, read, each.body, now)
            try:
                await self.recorder.page(validate_page(page))
            except IdentityError as error:
                await self.recorder.quarantine_page(page, str(error), each.body)
        else:
            detail = DetailAnswer(each.endpoint, each.star_id, Platform.SHORT_VIDEO.value, read, each.body, now)
            try:
                await self.recorder.detail(validate_detail(detail))
            except IdentityError as error:
                await self.recorder.quarantine_detail(detail, str(error))

    async def _failed(
        self, each: Malformed, code: int | None, told: tuple[str, str], at: datetime, body: bytes | None = None
    ) -> None:
        of_page = each.endpoint == SEARCH.name
        where: dict[str, Any] = (
            {"sweep": SWEEP, "page": each.page}
            if of_page
            else {"star_id": each.star_id, "platform": Platform.SHORT_VIDEO.value}
        )
        await self.recorder.failure(FailedRequest(each.endpoint, code, *told, None, 8, False, at, body=body, **where))


@asynccontextmanager
async def open_store(uri: str, database: str) -> AsyncIterator[Store]:
    """Open a dataset with a sweep for the pages."""
    settings = {"MONGO_URI": uri, "MONGO_DATABASE": database, "XINGTU_STORAGE_PATIENCE": 30}
    store = await Store.open(Options.read(settings))
    try:
        begun = datetime.now(UTC)
        await store.sweeps.start(SWEEP, query_key="malformed", filters={}, run_id="malformed", started_at=begun)
        yield store
    finally:
        await store.close()


async def feed(uri: str, database: str, answers: Iterator[Malformed]) -> Outcomes:
    """Take all of the answers, some at a time, and find out where each has ended."""
    result = Outcomes()
    seen: list[Malformed] = []
    async with open_store(uri, database) as store:
        taker = Taker(store)
        while some := list(islice(answers, _AT_ONCE)):
            seen += (replace(each, body=b"") for each in some)
            for each, error in zip(
                some, await asyncio.gather(*map(taker.take, some), return_exceptions=True), strict=True
            ):
                if error is not None:
                    result.raised.append(f"{each}: {error!r}")
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        result.find(seen, client[database])
    return result


async def crawl(where: Place, answers: Sequence[Malformed]) -> Outcomes:
    """Crawl a server that answers with these details, twice alike where it is asked again."""
    star_ids = where.folder / "star_ids.txt"
    star_ids.write_text("\n".join(dict.fromkeys(each.star_id for each in answers)), encoding="utf-8")
    async with spoiling({(DETAILS[each.endpoint].path, each.star_id): each.body for each in answers}) as base_url:
        variables = {"JUSTONEAPI_BASE_URL": base_url, "XINGTU_MAX_ATTEMPTS": "2"}
        await asyncio.to_thread(where.crawl, "authors", variables, star_ids_file=star_ids)
    result = Outcomes()
    log = where.log.read_text(encoding="utf-8", errors="replace").splitlines()
    result.raised += (line for line in log if any(word in line for word in (" ERROR: ", " CRITICAL: ", "Traceback")))
    with where.documents() as database:
        run = database.runs.find_one()
        if run is None or run["close_reason"] != "finished":
            result.raised.append(f"the crawl did not come to its end: {log[-1:]}")
        result.find(answers, database)
    return result


@asynccontextmanager
async def spoiling(bodies: Mapping[tuple[str, str], bytes]) -> AsyncIterator[str]:
    """Serve these bodies by path and star id; yields the base URL."""

    async def handle(request: web.BaseRequest) -> web.Response:
        path, _, query = request.path_qs.partition("?")
        body = bodies.get((path, dict(parse_qsl(query)).get("oAuthorId", "")))
        if body is None:
            return web.json_response({"code": 404, "message": "not found"})
        return web.Response(body=body, content_type="application/json")

    handler = web.Server(handle, access_log=None)
    server = await asyncio.get_running_loop().create_server(handler, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await handler.shutdown(1)


def where_ended(database: Database[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Return, by endpoint and star id or page, the place where an answer is: the best one."""
    places: dict[tuple[str, str], str] = {}
    for each in database.failures.find({}, {"endpoint": 1, "star_id": 1, "page": 1}):
        places[each["endpoint"], str(each.get("star_id") or each["page"])] = FAILURE
    for each in database.quarantine.find({}, {"request": 1}):
        asked = each["request"]
        places[asked["endpoint"], str(asked.get("star_id") or asked["page"])] = "quarantine"
    for name, endpoint in DETAILS.items():
        for each in database[endpoint.collection].find({}, {"star_id": 1}):
            places[name, each["star_id"]] = "document"
    sweep = database.sweeps.find_one({"_id": SWEEP})
    for page in sweep["pages"] if sweep else ():
        places[SEARCH.name, page] = "document"
    return places


def main() -> int:
    """Crawl the answers, feed others to the recorder, print where they ended, and return 0 where none is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    count, huge = options.answers, options.answers // 500
    with place() as where:
        details = Fuzzer(options.seed, size=count).answers(count, huge=huge, endpoints=tuple(DETAILS))
        crawled = asyncio.run(crawl(where, list(details)))
        print("details, through a whole crawl:", crawled)
        answers = Fuzzer(options.seed + 1, size=count).answers(count, huge=huge)
        fed = asyncio.run(feed(where.mongo_uri, "fed", answers))
        print("details and pages, through parser and recorder:", fed)
    broken = [*crawled.broken(), *fed.broken()]
    for claim in broken:
        print(f"does not hold: {claim[:500]}")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
