"""A foreign spider runs inside this project as in any Scrapy project: no token, no store, no API session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.harness import Finished, command, environment, run

PAGE = "<html><head><title>A page of the web</title></head><body><a href='/moved'>moved</a></body></html>"

OWN = """
import scrapy

class Own(scrapy.Spider):
    name = "own"
    allowed_domains = ["127.0.0.1"]

    def __init__(self, url=None, **arguments):
        super().__init__(**arguments)
        self.start_urls = [url]

    def parse(self, response):
        yield {"title": response.css("title::text").get(), "url": response.url}
        # The linked page has the same link: without a duplicate filter the crawl would not end.
        yield response.follow(response.css("a::attr(href)").get())
"""


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """Serve a page at `/`, and at `/moved` a redirect that sets a cookie; yield the address of the page."""

    async def page(request: web.Request) -> web.Response:
        title = PAGE.replace("A page", "Again a page") if "seen" in request.cookies else PAGE
        answer = web.Response(text=title, content_type="text/html")
        answer.enable_compression()
        return answer

    async def moved(_request: web.Request) -> web.Response:
        answer = web.Response(status=302, headers={"Location": "/?moved=1"})
        answer.set_cookie("seen", "1")
        return answer

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/moved", moved)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a working directory with a foreign spider in it."""
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    return tmp_path


async def scrapy(folder: Path, *words: str) -> Finished:
    """Run `scrapy …` without a token and without `MONGO_URI`; nothing of this project may start."""
    done = await asyncio.to_thread(run, command(*words), cwd=folder, env=environment())
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / ".data").exists(), "a MongoDB was started"
    return done


async def test_the_shell_fetches_a_page(site: str, folder: Path) -> None:
    done = await scrapy(folder, "shell", site, "-c", "response.css('title::text').get()", "--nolog")
    assert done.stdout == "A page of the web\n"


async def test_fetch_prints_a_page_behind_a_redirect(site: str, folder: Path) -> None:
    done = await scrapy(folder, "fetch", f"{site}moved", "--nolog")
    assert done.stdout == f"{PAGE.replace('A page', 'Again a page')}\n"


async def test_parse_prints_the_items_of_a_callback(site: str, folder: Path) -> None:
    words = ("--spider", "own", "-a", f"url={site}", "--nocolour", "--pipelines", "-s", "SPIDER_MODULES=own")
    done = await scrapy(folder, "parse", site, *words)
    assert f"[{{'title': 'A page of the web', 'url': '{site}'}}]" in done.stdout


async def test_a_spider_in_a_file_runs_with_feeds_redirects_cookies_and_a_filter(site: str, folder: Path) -> None:
    await scrapy(folder, "runspider", "own.py", "-a", f"url={site}", "-O", "own.csv", "-s", "CLOSESPIDER_PAGECOUNT=20")
    assert (folder / "own.csv").read_text(encoding="utf-8").splitlines() == [
        "title,url",
        f"A page of the web,{site}",
        f"Again a page of the web,{site}?moved=1",
    ]


async def test_crawl_runs_a_spider_of_ones_own(site: str, folder: Path) -> None:
    words = ("crawl", "own", "-a", f"url={site}", "-s", "SPIDER_MODULES=own", "-s", 'FEEDS={"a.jl": {"format": "jl"}}')
    done = await scrapy(folder, *words)
    assert len((folder / "a.jl").read_text(encoding="utf-8").splitlines()) == 2
    assert done.stdout == ""
