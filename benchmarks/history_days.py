"""Simulated days, one crawl a day: as many spells as the sandbox itself has made changes, entity by entity.

The changes are counted here from the raw answers of each day, without the crawler's models and hashes.
`python -m benchmarks.history_days [--days 30] [--authors 300]`
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from benchmarks.crawling import Place, place
from benchmarks.history_check import Checked, check
from xingtu_crawler.api.endpoints import DETAILS, PAGE_SIZE, SEARCH, Platform

VOLATILE = {"avatar_uri", "modify_time", "base64_qrcode", "qrcode_url", "base_resp", "extra_data", "items"}
"""Fields of the sandbox's answers that are new at every call, or are about the call: by name, at any depth."""
VIDEO_LISTS = ("masterpiece_videos", "newest_videos", "order_hot_videos", "personal_hot_videos")
COUNTS = {"vv of items", "vv of last_10", "vv of rec"}
NO_CONTENT = {"item_id", "video_tag", "item_create_time", "item_publish_time"}
"""Fields of a video that are of the search, or never change."""

Entity = tuple[str, str]
"""Collection and `_id`."""


class Oracle:
    """Counts the changes in what the sandbox answers from day to day."""

    def __init__(self, where: Place) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(where.sandbox.base_url).netloc)
        self._last: dict[Entity, str] = {}
        self._videos: dict[str, dict[str, Any]] = {}
        self._changed_today: set[str] = set()
        self.spells: Counter[Entity] = Counter()

    def observe(self, authors: int) -> None:
        """Ask for everything as it is today."""
        self._changed_today.clear()
        star_ids: list[str] = []
        for page in range(1, (authors + PAGE_SIZE - 1) // PAGE_SIZE + 1):
            for author in self._ask(SEARCH.path, page=page)["authors"]:
                star_ids.append(author["star_id"])
                self._see((SEARCH.collection, author["star_id"]), author)
                self._see_videos(_in_search(author))
        for star_id in star_ids:
            for name, endpoint in DETAILS.items():
                data = self._ask(endpoint.path, oAuthorId=star_id, platform=Platform.SHORT_VIDEO.value)
                self._see((endpoint.collection, f"{star_id}:{Platform.SHORT_VIDEO}"), data)
                if name == "rec_videos":
                    self._see_videos(_in_recommended(data))

    def _ask(self, path: str, **parameters: object) -> Any:
        self._connection.request("GET", f"{path}?{urlencode({**parameters, 'token': 'oracle'})}")
        return json.loads(self._connection.getresponse().read())["data"]

    def _see(self, entity: Entity, data: Any) -> None:
        content = json.dumps(_lasting(data), sort_keys=True)
        self.spells[entity] += self._last.get(entity) != content
        self._last[entity] = content

    def _see_videos(self, facts: dict[str, dict[str, Any]]) -> None:
        """What is known wins, what is not supplied takes nothing away; a list's first count is no change.

        The lists of one day are one observation.
        """
        for item_id, known in facts.items():
            is_new = item_id not in self._videos
            before = self._videos.setdefault(item_id, {})
            if is_new or any(
                before.get(name) != value for name, value in known.items() if name in before or name not in COUNTS
            ):
                self.spells["videos", item_id] += item_id not in self._changed_today
                self._changed_today.add(item_id)
            before.update(known)


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(inner) for name, inner in value.items() if name not in VOLATILE}
    return [_lasting(inner) for inner in value] if isinstance(value, list) else value


def _in_search(author: dict[str, Any]) -> dict[str, dict[str, Any]]:
    facts: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for source, videos in (("items", author["items"]), ("last_10", _last_10(author))):
        for video in videos:
            for name, value in video.items():
                if name not in NO_CONTENT:
                    facts[video["item_id"]][f"vv of {source}" if name == "vv" else name] = str(value)
    return facts


def _last_10(author: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(author["attribute_datas"]["last_10_items"])
    return found


def _in_recommended(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    videos = [video for name in VIDEO_LISTS for video in data[name]]
    return {video["item_id"]: {"vv of rec": str(video["play"])} for video in videos}


@dataclass(slots=True)
class Days:
    """The result: by collection, entities, spells, and the spells that the sandbox's changes make."""

    days: int
    history: Checked
    entities: Counter[str] = field(default_factory=Counter)
    spells: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    exit_codes: set[int] = field(default_factory=set)

    def __str__(self) -> str:
        lines = [
            f"  {name}: {self.entities[name]} entities, {self.spells[name]} spells, {self.expected[name]} by the "
            f"sandbox's changes, {self.differing[name]} entities differ"
            for name in self.expected
        ]
        return "\n".join([f"{self.days} days", *lines, str(self.history)])

    def broken(self) -> list[str]:
        """Return what does not hold."""
        claims = {
            "every crawl did its job": self.exit_codes == {0},
            "as many spells as changes, for every entity": not self.differing.total(),
            "something changed, and something did not": sum(self.spells.values()) > sum(self.entities.values()),
            "history agrees with the documents": not self.history.violations,
        }
        return [claim for claim, holds in claims.items() if not holds] + self.history.violations[:10]


def crawl_days(where: Place, *, days: int, authors: int) -> Days:
    """Crawl `authors` authors once a day for `days` days, and compare."""
    oracle = Oracle(where)
    exit_codes = set()
    for day in range(days):
        where.sandbox.control(day=day)
        exit_codes.add(where.crawl("author_square", max_age=0))
        oracle.observe(authors)
    with where.documents() as database:
        result = Days(days, check(database), exit_codes=exit_codes)
        found: Counter[Entity] = Counter()
        for spell in database.spells.find({}, {"entity": 1, "key": 1}):
            found[spell["entity"], spell["key"]] += 1
    for entity in found | oracle.spells:
        result.entities[entity[0]] += 1
        result.spells[entity[0]] += found[entity]
        result.expected[entity[0]] += oracle.spells[entity]
        result.differing[entity[0]] += found[entity] != oracle.spells[entity]
    return result


def main() -> int:
    """Crawl the days, print the counts, and return 0 where they agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--authors", type=int, default=300)
    options = parser.parse_args()
    with place("--authors", str(options.authors)) as where:
        result = crawl_days(where, days=options.days, authors=options.authors)
    print(result)
    for claim in result.broken():
        print(f"does not hold: {claim}")
    return bool(result.broken())


if __name__ == "__main__":
    sys.exit(main())
