"""Malformed answers through all that reads and stores them: each ends as a document, in quarantine or as a failure.

`python -m benchmarks.malformed [--answers 10000] [--seed 1]`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pymongo import MongoClient

from benchmarks.history_check import check
from xingtu_crawler.api import codes, envelope
from xingtu_crawler.api.codes import Action
from xingtu_crawler.api.endpoints import DETAILS, SEARCH, Platform
from xingtu_crawler.exceptions import IdentityError, MalformedBodyError, TooDeepError
from xingtu_crawler.items.answers import DetailAnswer, FailedQuestion, SearchAnswer
from xingtu_crawler.items.validation import validate_detail, validate_page
from xingtu_crawler.sandbox.answers import Answers
from xingtu_crawler.sandbox.population import Population
from xingtu_crawler.sandbox.search import Search
from xingtu_crawler.storage.embedded import EmbeddedMongo
from xingtu_crawler.storage.recorder import Recorder
from xingtu_crawler.storage.store import Store

SWEEP = "malformed"
DEEP = 1_000
HUGE = 10_000_000
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Malformed:
    """A question and the answer that came: `kind` says what is wrong with it. A page's number stands in `page`."""

    kind: str
    endpoint: str
    star_id: str
    page: int
    body: bytes = field(repr=False)


class Fuzzer:
    """Spoils good answers of the sandbox's, each of another author or page, in a way that `seed` decides."""

    def __init__(self, seed: int, *, size: int) -> None:
        self._chance = random.Random(seed)
        self._population = Population(seed=1, size=size)
        self._answers = Answers(self._population, Search(self._population, overlap=0.0))
        self._kinds: dict[str, Callable[[dict[str, Any]], bytes]] = {
            "another type": self._another_type,
            "a key missing": self._key_missing,
            "nested deep": self._deep,
            "not a number": self._not_a_number,
            "a key twice": self._key_twice,
            "another encoding": self._another_encoding,
            "not JSON": self._not_json,
            "cut": lambda answer: (text := _bytes(answer))[: self._chance.randrange(len(text))],
            "wrong id": self._wrong_id,
            "odd keys": self._odd_keys,
            "odd values": self._odd_values,
            "odd envelope": self._odd_envelope,
            "several": self._several,
        }

    def answers(self, count: int, *, huge: int) -> Iterator[Malformed]:
        """Yield so many malformed answers, `huge` of them with a string of 10 MB."""
        endpoints = [*DETAILS, SEARCH.name]
        huge_ones = set(self._chance.sample(range(count), huge))
        for number in range(count):
            endpoint, index = endpoints[number % len(endpoints)], number // len(endpoints)
            star_id = self._population.star_id(index)
            good = self._good(endpoint, star_id, index + 1)
            kind = self._chance.choice(list(self._kinds))
            if number in huge_ones:
                kind, body = "10 MB string", self._huge(good)
            else:
                body = self._kinds[kind](good)
            yield Malformed(kind, endpoint, star_id, index + 1, body)

    def _good(self, endpoint: str, star_id: str, page: int) -> dict[str, Any]:
        asked = {"page": str(1 + page % 100)} if endpoint == SEARCH.name else {"oAuthorId": star_id}
        answer = self._answers.answer(endpoint, asked, 0, page)
        good: dict[str, Any] = json.loads(self._answers.envelope(answer, page, page))
        if endpoint == SEARCH.name:
            del good["data"]["authors"][2:]  # what is wrong with one is wrong with it among twenty
        return good

    def _place(self, answer: dict[str, Any]) -> tuple[Any, Any]:
        """Return a random container within the payload and a key or index in it."""
        holder: Any = answer
        key: Any = "data"
        while isinstance(holder[key], dict | list) and holder[key] and self._chance.random() < 0.8:
            holder = holder[key]
            key = self._chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        return holder, key

    def _another_type(self, answer: dict[str, Any]) -> bytes:
        for _ in range(self._chance.randrange(1, 6)):
            holder, key = self._place(answer)
            values: tuple[Any, ...] = (
                None,
                True,
                -1,
                0,
                1.5,
                "",
                "word",
                "0",
                "1e400",
                [],
                [[]],
                {},
                {"a": 1},
                [1, "a"],
                10**30,
                "[[",
            )
            holder[key] = self._chance.choice(values)
        return _bytes(answer)

    def _key_missing(self, answer: dict[str, Any]) -> bytes:
        for _ in range(self._chance.randrange(1, 6)):
            holder, key = self._place(answer)
            if isinstance(holder, dict) and holder is not answer:
                del holder[key]
        return _bytes(answer)

    def _deep(self, answer: dict[str, Any]) -> bytes:
        holder, key = self._place(answer)
        holder[key] = "@deep@"
        levels = self._chance.choice((70, 101, 300, 480, DEEP))
        opening, closing = self._chance.choice((("[", "]"), ('{"a":', "}")))
        return _bytes(answer).replace(b'"@deep@"', (opening * levels + "1" + closing * levels).encode(), 1)

    def _huge(self, answer: dict[str, Any]) -> bytes:
        data = answer["data"]
        holder = data["authors"][0]["attribute_datas"] if "authors" in data else data
        holder[self._chance.choice(("nick_name", "a_new_field"))] = "长" * (HUGE // 3)
        return json.dumps(answer, ensure_ascii=False).encode()

    def _not_a_number(self, answer: dict[str, Any]) -> bytes:
        holder, key = self._place(answer)
        holder[key] = self._chance.choice((float("nan"), float("inf"), float("-inf"), [float("nan")], "NaN", "inf"))
        return _bytes(answer)

    def _key_twice(self, answer: dict[str, Any]) -> bytes:
        text = _bytes(answer)
        twice = self._chance.choice((b'"code":0,', b'"code":301,', b'"data":null,', b'"data":{"id":"1"},'))
        return b"{" + twice + text[1:] if self._chance.random() < 0.5 else text[:-1] + b"," + twice[:-1] + b"}"

    def _another_encoding(self, answer: dict[str, Any]) -> bytes:
        text = json.dumps(answer, ensure_ascii=False)
        encoding = self._chance.choice(("gbk", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "big5"))
        return text.encode(encoding, errors="replace")

    def _not_json(self, _answer: dict[str, Any]) -> bytes:
        return self._chance.choice(
            (
                b"",
                b" ",
                b"null",
                b"[]",
                b"0",
                b'"text"',
                b"<html><body>busy</body></html>",
                b"\x00" * 20,
                b"{'code': 0}",
                b"{",
                self._chance.randbytes(200),
                b"\x1f\x8b" + self._chance.randbytes(50),
            )
        )

    def _wrong_id(self, answer: dict[str, Any]) -> bytes:
        other = self._chance.choice(("1", 1, None, "", "6" * 40, {"a": 1}, ["x"], "6600000000000000000\n", True, 1.5))
        data = answer["data"]
        for author in data.get("authors", [])[:1]:
            author["star_id"] = other
            author["attribute_datas"]["id"] = other
        if "id" in data:
            data["id"] = other
        for price in data.get("price_info", []):
            price["author_id"] = other
        for name in ("newest_videos", "masterpiece_videos"):
            for video in data.get(name, []):
                video["item_id"] = other
        return _bytes(answer)

    def _odd_keys(self, answer: dict[str, Any]) -> bytes:
        holder, _ = self._place(answer)
        if not isinstance(holder, dict) or holder is answer:
            holder = answer["data"]
        odd = (
            "",
            ".",
            "a.b",
            "$set",
            "$a.b",
            "_id",
            "nul\0key",
            "\ud800",
            "键",
            "k" * 5_000,
            "__proto__",
            "data",
            "crawl",
        )
        for key in self._chance.sample(odd, 4):
            holder[key] = self._chance.choice((1, {"$gt": 1}, {"a.b": {"$x": [1]}}, "$data", "$$ROOT"))
        return _bytes(answer)

    def _odd_values(self, answer: dict[str, Any]) -> bytes:
        odd = (
            "\ud800",
            "\udc00a",
            "nul\0",
            "$crawl.spell",
            2**63,
            -(2**63) - 1,
            10**400,
            1e308,
            -0.0,
            "９",
            "1" * 5_000,
        )
        for _ in range(3):
            holder, key = self._place(answer)
            if holder is not answer:
                holder[key] = self._chance.choice(odd)
        return _bytes(answer)

    def _odd_envelope(self, answer: dict[str, Any]) -> bytes:
        name = self._chance.choice(("code", "message", "recordTime", "requestId", "data"))
        odd: tuple[Any, ...] = (
            None,
            True,
            "0",
            0.0,
            -1,
            777,
            "x",
            [],
            {},
            {"base_resp": {"status_code": "7"}},
            10**30,
            "\ud800",
            [[1]],
        )
        answer[name] = self._chance.choice(odd)
        return _bytes(answer)

    def _several(self, answer: dict[str, Any]) -> bytes:
        body = _bytes(answer)
        for kind in self._chance.sample(("another type", "a key missing", "odd values", "odd keys"), 2):
            answer = json.loads(body)
            if isinstance(answer["data"], dict) and answer["data"]:
                body = self._kinds[kind](answer)
        return body


def _bytes(answer: object) -> bytes:
    return json.dumps(answer, ensure_ascii=True).encode()


@dataclass(slots=True)
class Outcomes:
    """Where the answers ended: by kind and by place; `lost` are in no place, `raised` raised something."""

    by_place: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    lost: list[Malformed] = field(default_factory=list)
    raised: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.by_kind.total()} malformed answers: {dict(self.by_place)}, {len(self.raised)} exceptions, "
            f"{len(self.lost)} lost, {len(self.violations)} violations of the history\n  {dict(self.by_kind)}"
        )

    def broken(self) -> list[str]:
        """Return what does not hold."""
        return [*self.raised[:10], *(f"lost: {each}" for each in self.lost[:10]), *self.violations[:10]]


class Taker:
    """Does with an answer what a crawl does with the last attempt."""

    def __init__(self, store: Store) -> None:
        self.recorder = Recorder(
            store.writer,
            store.ledger,
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
        await self.recorder.failure(FailedQuestion(each.endpoint, code, *told, None, 8, False, at, body=body, **where))


@asynccontextmanager
async def open_store(uri: str, database: str) -> AsyncIterator[Store]:
    """Open a dataset with a sweep for the pages."""
    store = await Store.open(uri=uri, database=database, data_dir=Path(), min_free_bytes=0, patience=30)
    try:
        begun = datetime.now(UTC)
        await store.sweeps.start(SWEEP, query_key="malformed", filters={}, run_id="malformed", started_at=begun)
        yield store
    finally:
        await store.close()


async def feed(uri: str, database: str, answers: Iterator[Malformed]) -> Outcomes:
    """Take all of the answers, some at a time, and find out where each has ended."""
    result = Outcomes()
    async with open_store(uri, database) as store:
        taker = Taker(store)
        seen: list[Malformed] = []
        while some := [each for each in (next(answers, None) for _ in range(_AT_ONCE)) if each is not None]:
            seen += (Malformed(each.kind, each.endpoint, each.star_id, each.page, b"") for each in some)
            for each, error in zip(
                some, await asyncio.gather(*map(taker.take, some), return_exceptions=True), strict=True
            ):
                if error is not None:
                    result.raised.append(f"{each}: {error!r}")
        places = await where_ended(store)
    for each in seen:
        key = (each.endpoint, str(each.page)) if each.endpoint == SEARCH.name else (each.endpoint, each.star_id)
        place = places.get(key)
        if place is None:
            result.lost.append(each)
        result.by_place[place or "lost"] += 1
        result.by_kind[each.kind] += 1
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        result.violations = check(client[database]).violations
    return result


async def where_ended(store: Store) -> dict[tuple[str, str], str]:
    """Return, by endpoint and star id or page, the place where an answer is: the best one."""
    places: dict[tuple[str, str], str] = {}
    async for each in store.database.failures.find({}, {"endpoint": 1, "star_id": 1, "page": 1}):
        places[each["endpoint"], str(each.get("star_id") or each["page"])] = "failures (another code)"
    async for each in store.database.quarantine.find({}, {"request": 1}):
        asked = each["request"]
        places[asked["endpoint"], str(asked.get("star_id") or asked["page"])] = "quarantine"
    for name, endpoint in DETAILS.items():
        async for each in store.database[endpoint.collection].find({}, {"star_id": 1}):
            places[name, each["star_id"]] = "document"
    sweep = await store.database.sweeps.find_one({"_id": SWEEP})
    for page in sweep["pages"] if sweep else ():
        places[SEARCH.name, page] = "document"
    return places


def main() -> int:
    """Feed the answers to a MongoDB of its own, print where they ended, and return 0 where none is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    answers = Fuzzer(options.seed, size=options.answers).answers(options.answers, huge=options.answers // 500)
    with TemporaryDirectory() as folder, EmbeddedMongo(Path(folder) / "mongo", min_free_bytes=0) as uri:
        result = asyncio.run(feed(uri, "malformed", answers))
    print(result)
    for claim in result.broken():
        print(f"does not hold: {claim[:500]}")
    return bool(result.broken())


if __name__ == "__main__":
    sys.exit(main())
