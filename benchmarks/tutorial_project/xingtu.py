"""The crawler that a tutorial would write: a peer of `benchmarks/bench.py`.

Scrapy's own settings, one synchronous `update_one` per item, the token in the URL. It knows nothing of this project.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlencode

import scrapy
from itemadapter import ItemAdapter
from pymongo import MongoClient
from scrapy.crawler import Crawler

SEARCH = "/api/douyin-xingtu/gw/api/gsearch/search_for_author_square/v1"
DETAILS = {
    "author_base_info": "/api/douyin-xingtu/gw/api/author/get_author_base_info/v1",
    "author_marketing_info": "/api/douyin-xingtu/gw/api/author/get_author_marketing_info/v1",
    "author_rec_videos": "/api/douyin-xingtu/gw/api/data_sp/author_rec_videos_v2/v1",
    "author_video_distribution": "/api/douyin-xingtu/gw/api/data_sp/author_video_distribution/v1",
}


class MongoPipeline:
    """Upserts each item as it comes."""

    def __init__(self, uri: str, database: str) -> None:
        self.client: MongoClient[dict[str, Any]] = MongoClient(uri)
        self.db = self.client[database]

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> MongoPipeline:
        """Read where to write to."""
        return cls(crawler.settings["MONGO_URI"], crawler.settings["MONGO_DATABASE"])

    def process_item(self, item: Any) -> Any:
        """Write one item and wait for it."""
        fields = ItemAdapter(item).asdict()
        collection = fields.pop("collection")
        self.db[collection].update_one({"_id": fields["star_id"]}, {"$set": fields}, upsert=True)
        return item

    def close_spider(self) -> None:
        """Disconnect."""
        self.client.close()


class XingtuSpider(scrapy.Spider):
    """Pages the search and asks four details of every author."""

    name = "xingtu"
    custom_settings = {  # noqa: RUF012 - as tutorials write it
        "ITEM_PIPELINES": {MongoPipeline: 300},
    }

    def __init__(self, base_url: str, token: str, max_authors: str) -> None:
        super().__init__()
        self.base_url, self.token, self.left = base_url, token, int(max_authors)

    def api(self, path: str, **parameters: Any) -> str:
        """Return the URL of a call."""
        return f"{self.base_url}{path}?{urlencode({'token': self.token, **parameters})}"

    async def start(self) -> AsyncIterator[Any]:
        """Ask the first page."""
        yield scrapy.Request(self.api(SEARCH, page=1), self.parse_page, cb_kwargs={"page": 1})

    def parse_page(self, response: Any, page: int) -> Iterator[Any]:
        """Take the authors of a page, ask their details and the next page."""
        data = response.json()["data"]
        for author in data["authors"][: self.left]:
            star_id = author["star_id"]
            self.left -= 1
            yield {"collection": "authors", "star_id": star_id, "data": author}
            for collection, path in DETAILS.items():
                yield scrapy.Request(
                    self.api(path, oAuthorId=star_id, platform="SHORT_VIDEO"),
                    self.parse_detail,
                    cb_kwargs={"star_id": star_id, "collection": collection},
                )
        if self.left and data["pagination"]["has_more"]:
            following = page + 1
            yield scrapy.Request(self.api(SEARCH, page=following), self.parse_page, cb_kwargs={"page": following})

    def parse_detail(self, response: Any, star_id: str, collection: str) -> Iterator[Any]:
        """Take one detail."""
        yield {"collection": collection, "star_id": star_id, "data": response.json()["data"]}
