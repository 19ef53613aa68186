"""Several queries in one crawl: their sweeps run side by side, share details, and resume together."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from benchmarks.crawling import NOT_DURABLE
from tests.harness import PATIENCE_S, Crawler, MakeCrawler, StartSandbox, wait_until
from xingtu_crawler.sandbox.process import SandboxProcess
from xingtu_crawler.spiders.search import MOST_OPEN

Database = AsyncDatabase[dict[str, Any]]
QUERIES = "# both halves of the sandbox\ngender=FEMALE\n\ngender=MALE  # the other\n"


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> SandboxProcess:
    """A sandbox of 400 authors that responds after 100 ms."""
    return start_sandbox("--authors", "400", "--latency", "100")


@pytest.fixture
def crawler(sandbox: SandboxProcess, make_crawler: MakeCrawler, tmp_path: Path) -> Crawler:
    (tmp_path / "queries.txt").write_text(QUERIES, encoding="utf-8")
    return make_crawler(sandbox)


def searches(sandbox: SandboxProcess) -> list[dict[str, Any]]:
    return [call for call in sandbox.calls() if call["endpoint"] == "search"]


async def test_sweeps_run_side_by_side(sandbox: SandboxProcess, crawler: Crawler, mongo_db: Database) -> None:
    done = crawler("author_square", queries_file="queries.txt", endpoints="none")
    assert done.returncode == 0, done.stderr
    sweeps = {each["filters"]["gender"]: each async for each in mongo_db.sweeps.find()}
    assert {each["state"] for each in sweeps.values()} == {"finished"}
    assert sum(each["authors"] for each in sweeps.values()) == await mongo_db.authors.count_documents({}) > 300
    assert "authors found by gender=FEMALE" in done.stderr
    # At most two pages at a time: one per sweep.
    assert sandbox.ledger()["max_in_flight"] == 2
    assert [call["page"] for call in searches(sandbox)][:2] == [1, 1]
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert run["authors"] == await mongo_db.authors.count_documents({})


async def test_killed_sweeps_resume_together(sandbox: SandboxProcess, crawler: Crawler, mongo_db: Database) -> None:
    process = crawler.start("author_square", queries_file="queries.txt", endpoints="base_info")
    wait_until(lambda: sandbox.ledger()["answered"] >= 150 or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE_S)
    assert await mongo_db.sweeps.count_documents({"state": "open"}) == 2
    done = crawler("author_square", queries_file="queries.txt", endpoints="base_info")
    assert done.returncode == 0, done.stderr
    assert [each["state"] async for each in mongo_db.sweeps.find()] == ["finished", "finished"]
    authors = await mongo_db.authors.count_documents({})
    assert await mongo_db.author_base_info.count_documents({}) == authors
    assert sandbox.ledger()["answered_twice"] <= NOT_DURABLE


async def test_an_author_of_two_queries_is_fetched_once_and_counts_once(
    sandbox: SandboxProcess, crawler: Crawler, mongo_db: Database, tmp_path: Path
) -> None:
    (tmp_path / "same.txt").write_text("sort=DEFAULT\nsort=FANS\n", encoding="utf-8")
    done = crawler("author_square", queries_file="same.txt", endpoints="base_info", max_pages=2, max_age=0)
    assert done.returncode == 0, done.stderr
    authors = await mongo_db.authors.count_documents({})
    calls = sandbox.ledger()["by_endpoint"]
    assert (calls["search"]["calls"], calls["base_info"]["calls"]) == (4, authors)
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert run["authors"] == authors
    assert await mongo_db.search_hits.count_documents({}) == 80


async def test_max_authors_is_for_the_crawl_and_a_larger_one_resumes(
    sandbox: SandboxProcess, crawler: Crawler, mongo_db: Database
) -> None:
    for limit, pages in ((50, [1, 1, 2, 2]), (100, [3, 3])):
        sandbox.control(reset_ledger=True)
        done = crawler("author_square", queries_file="queries.txt", endpoints="base_info", max_authors=limit)
        assert done.returncode == 0, done.stderr
        assert sorted(call["page"] for call in searches(sandbox)) == pages
        assert await mongo_db.author_base_info.count_documents({}) == limit
    assert await mongo_db.sweeps.count_documents({}) == 2


async def test_only_a_few_of_many_queries_are_open_at_a_time(
    sandbox: SandboxProcess, crawler: Crawler, mongo_db: Database, tmp_path: Path
) -> None:
    lines = [f"follower_range={number}000-{number + 40}000 sort=FANS" for number in range(10, 22)]
    (tmp_path / "many.txt").write_text("\n".join(lines), encoding="utf-8")
    done = crawler("author_square", queries_file="many.txt", endpoints="none", max_pages=1)
    assert done.returncode == 0, done.stderr
    assert await mongo_db.sweeps.count_documents({"state": "finished"}) == 12
    assert 2 < sandbox.ledger()["max_in_flight"] <= MOST_OPEN


async def test_one_query_that_is_incomplete_keeps_all_open(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    """Otherwise the same command would pay for the pages of the others again."""
    (tmp_path / "queries.txt").write_text(QUERIES, encoding="utf-8")
    sandbox = start_sandbox("--authors", "90")
    crawler = make_crawler(sandbox)
    done = crawler("author_square", queries_file="queries.txt", endpoints="none", max_calls=3)
    assert done.returncode == 0, done.stderr
    done = crawler("author_square", queries_file="queries.txt", endpoints="none")
    assert done.returncode == 0, done.stderr
    asked = [(call["page"], call["answered"]) for call in searches(sandbox)]
    assert sandbox.ledger()["answered_twice"] == 0, asked
    assert [each["state"] async for each in mongo_db.sweeps.find()] == ["finished", "finished"]


async def test_queries_are_planned_with_one_page_each(
    sandbox: SandboxProcess, crawler: Crawler, mongo_db: Database
) -> None:
    words = ("plan", "author_square", "--json", "-a", "queries_file=queries.txt", "-a", "endpoints=base_info")
    for made in (2, 0):
        done = crawler.scrapy(*words)
        assert (done.returncode, done.stderr) == (0, "")
        plan = json.loads(done.stdout)
        assert plan["calls_made"] == made
    sandbox.control(reset_ledger=True)
    done = crawler("author_square", queries_file="queries.txt", endpoints="base_info")
    assert done.returncode == 0, done.stderr
    assert sandbox.ledger()["calls"] == plan["calls"]["total"]["low"]


def test_a_wrong_line_is_named_before_any_call(sandbox: SandboxProcess, crawler: Crawler, tmp_path: Path) -> None:
    text = "gendr=MALE\nkeyword=美食\nsort=FANS\nkeyword='美食\n美食\nmax_pages=3\nkeyword=美食 # twice\nsample=50\n"
    (tmp_path / "wrong.txt").write_text(text, encoding="utf-8")
    done = crawler("author_square", queries_file="wrong.txt", sort="DEFAULT")
    assert done.returncode == 2
    _, first, *lines = done.stderr.splitlines()
    assert first == "error: wrong.txt: 7 problems"
    for line, message in zip(
        lines,
        (
            "line 1: Unknown argument gendr=: did you mean gender=?",
            "line 3: sort= contradicts the value given with -a.",
            "line 4: a quotation mark or a backslash is unbalanced.",
            "line 5: 美食 is not a filter: write NAME=VALUE, and quote a value with spaces.",
            "line 6: max_pages= applies to the whole crawl: give it with -a.",
            "line 7: this repeats the query of line 2.",
            "line 8: Unknown argument sample=: author_square takes ",
        ),
        strict=True,
    ):
        assert line.startswith(f"  {message}")
    assert sandbox.ledger()["calls"] == 0
