"""Spoils good answers in every way that one can think of: what a crawl must not lose, nor stumble over.

Knows the sandbox's answers and nothing of the crawler.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from xingtu_crawler.api.endpoints import DETAILS, SEARCH
from xingtu_crawler.sandbox.answers import Answers
from xingtu_crawler.sandbox.population import Population
from xingtu_crawler.sandbox.search import Search

ENDPOINTS = (*DETAILS, SEARCH.name)
DEEP = 1_000
HUGE = 10_000_000


@dataclass(frozen=True, slots=True)
class Malformed:
    """A question and the answer that came: `kind` says what is wrong with it. A page's number stands in `page`.

    `another_code`: it came out as what the API would say to tell of a failure.
    """

    kind: str
    endpoint: str
    star_id: str
    page: int
    body: bytes = field(repr=False)
    another_code: bool = False


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

    def answers(self, count: int, *, huge: int, endpoints: Sequence[str] = ENDPOINTS) -> Iterator[Malformed]:
        """Yield so many malformed answers, `huge` of them with a string of 10 MB.

        Those that came out with another business code are yielded too, and not counted: they are no malformed ones.
        """
        huge_ones = set(self._chance.sample(range(count), huge))
        malformed = 0
        for number in itertools.count():
            if malformed == count:
                return
            endpoint, index = endpoints[number % len(endpoints)], number // len(endpoints)
            star_id = self._population.star_id(index)
            good = self._good(endpoint, star_id, index + 1)
            kind = self._chance.choice(list(self._kinds))
            if malformed in huge_ones:
                kind, body = "10 MB string", self._huge(good)
            else:
                body = self._kinds[kind](good)
            another_code = says_failure(body)
            malformed += not another_code
            yield Malformed(kind, endpoint, star_id, index + 1, body, another_code)

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


def says_failure(body: bytes) -> bool:
    """Whether it is an answer with a business code that is not 0, outside or inside: no success, but well-formed."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return False
    data = answer.get("data") if isinstance(answer, dict) else None
    inner = data.get("base_resp") if isinstance(data, dict) else None
    codes = (
        answer.get("code") if isinstance(answer, dict) else None,
        inner.get("status_code") if isinstance(inner, dict) else None,
    )
    return any(_is_another_code(code) for code in codes)


def _is_another_code(code: object) -> bool:
    """Whether it is a number other than 0, written as one or as text."""
    if isinstance(code, bool) or not isinstance(code, int | float | str):
        return False
    try:
        return int(code) != 0
    except (ValueError, OverflowError):
        return False


def _bytes(answer: object) -> bytes:
    return json.dumps(answer, ensure_ascii=True).encode()
