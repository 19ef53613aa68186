"""Verdicts of whole crawls: in the log, in `runs`, in `scrapy status` and in the exit code."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.crawl.scripted import ScriptedApi, authors, full, serving
from tests.harness import Crawler, Finished

Database = AsyncDatabase[dict[str, Any]]


class Job:
    """Crawls a scripted API into one database, and reads what is recorded of the last crawl."""

    def __init__(self, api: ScriptedApi, crawler: Crawler, database: Database) -> None:
        self.api = api
        self._crawler = crawler
        self._database = database

    async def __call__(self, spider: str = "author_square", **arguments: Any) -> tuple[Finished, dict[str, Any]]:
        """Crawl; return the end of the process and the document of the run, which must agree."""
        arguments = {"endpoints": "base_info", **arguments}
        done = await asyncio.to_thread(self._crawler, spider, **arguments)
        run = await self._database.runs.find_one(sort=[("started_at", -1)])
        assert run is not None
        (line,) = [line for line in done.stderr.splitlines() if "Verdict: " in line]
        assert line.partition("Verdict: ")[2].split(":")[0] == run["verdict"]
        assert f"│ {run['verdict']} " in done.stdout
        assert done.returncode == (0 if run["verdict"] in {"complete", "limited", "capped"} else 1)
        return done, run

    async def status(self) -> dict[str, Any]:
        """Return the last run as `scrapy status --json` shows it."""
        done = await asyncio.to_thread(self._crawler.scrapy, "status", "--json")
        run: dict[str, Any] = json.loads(done.stdout)["runs"][0]
        return run


@pytest.fixture
async def job(mongo_uri: str, mongo_db: Database, tmp_path: Path) -> AsyncIterator[Job]:
    api = ScriptedApi(of=40)
    async with serving(api) as base_url:
        yield Job(api, Crawler(base_url, mongo_uri, mongo_db.name, tmp_path), mongo_db)


def found(run: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the only finding of a kind."""
    (finding,) = [each for each in run["findings"] if each["kind"] == kind]
    return dict(finding)


async def test_a_few_unavailable_authors_leave_a_run_complete(job: Job) -> None:
    job.api.without_details = dict.fromkeys(authors(0, 3), 404)
    done, run = await job()
    assert run["verdict"] == "complete", done.stderr
    unavailable = found(run, "details_unavailable")
    assert sorted(unavailable["examples"]) == authors(0, 3)
    assert unavailable["message"] == "3 authors have no base_info (404 not found)"
    assert f"Note: {unavailable['message']} (for example " in done.stderr
    _, again = await job(max_age="1d")
    assert (again["verdict"], job.api.details.count("10000")) == ("complete", 1)
    assert await job.status() | {"verdict": "complete", "findings": again["findings"]} == await job.status()


async def test_authors_whose_refusals_stay_open_are_not_complete(job: Job) -> None:
    job.api.without_details = dict.fromkeys(authors(0, 5), 404)
    _, run = await job()
    assert run["verdict"] == "incomplete"
    assert [each["kind"] for each in run["findings"]] == ["refused_often", "coverage"]
    assert "35 of 40 authors complete" in found(run, "coverage")["message"]
    job.api.without_details = {}
    _, run = await job()
    assert (run["verdict"], len(job.api.details), job.api.pages) == ("complete", 45, [1, 2])


async def test_a_collapse_is_reported_although_a_limit_ends_the_crawl(job: Job) -> None:
    _, run = await job()
    assert run["verdict"] == "complete"
    job.api.of = 7
    _, run = await job(max_calls=2, max_age=0)
    assert (run["close_reason"], run["verdict"]) == ("max_calls", "suspicious")
    kinds = [each["message"] for each in run["findings"] if each["kind"] == "collapsed"]
    assert len(kinds) == 2, run["findings"]  # by authors and by total_count


async def test_many_unavailable_authors_make_it_incomplete(job: Job) -> None:
    job.api.without_details = dict.fromkeys(authors(0, 4), 404)
    done, run = await job()
    assert (run["verdict"], found(run, "details_unavailable")["severity"]) == ("incomplete", "incomplete")
    assert "Verdict: incomplete: 4 authors have no base_info (404 not found)" in done.stderr


async def test_a_limit_says_what_it_means(job: Job) -> None:
    done, run = await job(max_authors=10)
    assert run["verdict"] == "limited"
    assert "10 of 40 authors, those with the most followers first: not a random sample" in done.stderr
    done, run = await job(max_pages=1, restart=1)
    assert (run["verdict"], run["close_reason"]) == ("limited", "finished")
    assert "20 of 40 authors, those with the most followers first: not a random sample" in done.stderr
    pages, details = len(job.api.pages), len(job.api.details)
    done, run = await job(max_calls=12, restart=1, max_age=0)
    assert run["verdict"] == "limited"
    said = re.match(r"12 calls: (\d+) of (\d+) authors complete", found(run, "coverage")["message"])
    assert said is not None, run["findings"]
    assert [int(each) for each in said.groups()] == [len(job.api.details) - details, 20 * (len(job.api.pages) - pages)]
    assert said[0] in done.stderr


async def test_the_cap_of_the_search_is_named(job: Job) -> None:
    pages = {number: full(number, of=40) for number in (1, 2)}
    for page in pages.values():
        page["data"]["pagination"]["total_count"] = 10_000
    job.api.script = {**pages, 2: {**pages[2]}}
    pages[2]["data"]["pagination"]["has_more"] = False
    _, run = await job(endpoints="none")
    assert "search_capped" in [each["kind"] for each in run["findings"]]
    assert found(run, "search_capped")["message"] == "the search shows 10,000 of at least 10,000 authors"


async def test_nothing_to_do_is_complete(job: Job) -> None:
    assert (await job())[1]["verdict"] == "complete"
    _, run = await job("authors", star_ids=",".join(authors(0, 40)))
    assert (run["verdict"], run["calls"]["total"]) == ("complete", 0)
    assert run["findings"] == []


async def test_values_that_do_not_fit_make_a_run_suspicious(job: Job) -> None:
    job.api.detail = {"follower": "many", "a_new_field": 1}
    done, run = await job()
    assert run["verdict"] == "suspicious"
    for kind, path in (("unknown_fields", "a_new_field"), ("unparsed_values", "follower")):
        assert found(run, kind)["count"] == 40
        assert found(run, kind)["message"].endswith(f": {path} (40)")
        assert "40 of 40 answers of base_info" in found(run, kind)["message"]
    assert "follower = many of 1" in done.stderr


async def test_a_wrong_token_is_a_failed_run(job: Job, mongo_db: Database) -> None:
    job.api.script = {1: {"code": 100, "message": "no", "data": None}}
    _, run = await job()
    assert (run["close_reason"], run["verdict"]) == ("no_valid_token", "failed")
