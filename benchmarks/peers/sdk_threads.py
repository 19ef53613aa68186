"""The provider's own SDK in sixteen threads, each answer written with `update_one`: what its examples lead to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from justoneapi import JustOneAPIClient
from pymongo import MongoClient

from benchmarks.peers.common import PLATFORM, TRY_AGAIN, Work, parse_work

THREADS = 16
MOST_TRIES = 3
AT_ONCE = 50
"""Authors whose details are queued together: what has been read waits in memory until then."""

Method = Callable[..., Any]


class Crawler:
    """Pages in the main thread, details in the others."""

    def __init__(self, work: Work, client: JustOneAPIClient, mongo: MongoClient[dict[str, Any]]) -> None:
        self.work = work
        self.api = client.douyin_xingtu
        self.database = mongo[work.database]
        self.methods: dict[str, Method] = {
            "author_base_info": self.api.gw_api_author_get_author_base_info_v1,
            "author_marketing_info": self.api.gw_api_author_get_author_marketing_info_v1,
            "author_rec_videos": self.api.gw_api_data_sp_author_rec_videos_v2_v1,
            "author_video_distribution": self.api.gw_api_data_sp_author_video_distribution_v1,
        }

    def call(self, method: Method, **parameters: Any) -> Any:
        """Return the data of an answer, None where it could not be had."""
        for tries in range(MOST_TRIES):
            answer = method(**parameters)
            code = int(answer.code)  # now and then a text, which `answer.success` takes for a failure
            if code == 0:
                return answer.data
            if code not in TRY_AGAIN:
                return None
            time.sleep(2**tries)
        return None

    def keep(self, collection: str, star_id: str, data: Any) -> None:
        """Write one answer and wait for it."""
        fields = {"star_id": star_id, "data": data}
        self.database[collection].update_one({"_id": star_id}, {"$set": fields}, upsert=True)

    def detail(self, question: tuple[str, str]) -> None:
        """Ask and store one detail."""
        collection, star_id = question
        data = self.call(self.methods[collection], o_author_id=star_id, platform=PLATFORM)
        if data is not None:
            self.keep(collection, star_id, data)

    def authors(self) -> Iterator[str]:
        """Yield the authors of the search, stored."""
        if self.work.star_ids is not None:
            yield from self.work.star_ids
            return
        number, more = 1, True
        while more:
            data = self.call(self.api.gw_api_gsearch_search_for_author_square_v1, keyword="", page=number)
            if data is None:
                return
            for author in data["authors"]:
                self.keep("authors", author["star_id"], author)
                yield author["star_id"]
            number, more = number + 1, data["pagination"]["has_more"]

    def run(self) -> None:
        """Crawl."""
        authors = self.authors()
        with ThreadPoolExecutor(THREADS) as pool:
            while some := list(islice(authors, AT_ONCE)):
                list(pool.map(self.detail, [(collection, star_id) for star_id in some for collection in self.methods]))


def main(work: Work) -> None:
    """Open what is needed and crawl."""
    with (
        MongoClient[dict[str, Any]](work.mongo_uri) as mongo,
        JustOneAPIClient(token=work.token, base_url=work.base_url) as client,
    ):
        Crawler(work, client, mongo).run()


if __name__ == "__main__":
    main(parse_work())
