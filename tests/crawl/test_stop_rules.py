"""Why paging ends, which pages are missing then, and what the same command does about them: a scripted search."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.crawl.scripted import NO_PAGE, ScriptedApi, authors, code, full, page, serving
from tests.harness import Crawler, Finished
from xingtu_crawler.verdict import AFTER_FAILURES

Database = AsyncDatabase[dict[str, Any]]
Crawl = Callable[..., Any]


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
async def crawl(api: ScriptedApi, mongo_uri: str, mongo_db: Database, tmp_path: Path) -> AsyncIterator[Crawl]:
    """Return a function that crawls the scripted search with one attempt per request."""
    async with serving(api) as base_url:
        crawler = Crawler(base_url, mongo_uri, mongo_db.name, tmp_path)

        async def run(spider: str = "author_square", **arguments: Any) -> Finished:
            settings = {"XINGTU_MAX_ATTEMPTS": 1}
            if spider == "author_square":
                arguments = {"endpoints": "none", **arguments}
            return await asyncio.to_thread(crawler, spider, settings=settings, **arguments)

        yield run


async def sweep_of(mongo_db: Database) -> dict[str, Any]:
    """Return the only sweep."""
    (sweep,) = await mongo_db.sweeps.find().to_list()
    return sweep


Case = tuple[dict[int, Any], dict[str, Any], list[int], tuple[int, str, int | None]]
"""Script, arguments; requested pages; exit code, state of the sweep, next page."""
ALL = list(range(1, 21))
"""The pages of a search that finds 400 authors."""


def same(star_ids: list[str], **changes: Any) -> dict[int, Any]:
    """Return a script that shows these authors on every page."""
    return {number: page(number, star_ids, **{"total": 400, **changes}) for number in range(1, 40)}


def said(**changes: Any) -> dict[int, Any]:
    """Return the script of a search that finds 100 authors and says something else about it on every page."""
    return {number: page(number, authors((number - 1) * 20, 20 if number < 6 else 0), **changes) for number in ALL}


@pytest.mark.parametrize(
    ("reason", "case"),
    [
        ("no_more_pages", ({3: [page(3, [], total=400), full(3, of=400)]}, {}, [*ALL, 3], (0, "finished", None))),
        ("no_more_pages", ({7: page(7, [], total=400)}, {}, [*ALL, 7], (1, "open", None))),
        ("no_more_pages", ({1: [page(1, [], total=400), full(1, of=400)]}, {}, [*ALL, 1], (0, "finished", None))),
        ("no_more_pages", ({9: page(9, authors(140), total=400, more=False)}, {}, [*ALL, 9], (1, "open", None))),
        ("no_more_pages", ({3: code(404)}, {}, [*ALL, 3], (1, "open", None))),
        ("no_progress", (same([]), {}, [1, 2, 3, 1, 2, 3], (1, "open", 1))),
        ("no_progress", (same(authors(0)), {}, [1, 2, 3, 4, 2, 3, 4], (1, "open", 2))),
        ("empty_page", (said(more=None), {}, [1, 2, 3, 4, 5, 6], (0, "finished", None))),
        ("no_more_pages", (said(more=False), {}, [1, 2, 3, 4, 5], (0, "finished", None))),
        (
            "too_many_pages",
            (
                same(authors(0), total=20) | {n: page(n, authors(n * 20), total=20) for n in ALL},
                {},
                ALL[:11],
                (1, "open", 12),
            ),
        ),
        ("page_refused", (said(more=None) | {n: code(404) for n in (6, 7, 8)}, {}, ALL[:8], (0, "finished", None))),
        ("page_refused", ({n: code(400) for n in (3, 4, 5)}, {}, [1, 2, 3, 4, 5], (1, "open", 3))),
        ("pages_unreadable", (dict.fromkeys(range(3, 20), NO_PAGE), {}, [1, 2, 3, 4, 5], (1, "open", 3))),
        ("pages_unreadable", (dict.fromkeys(range(1, 20), code(500)), {}, [1, 2, 3], (1, "open", 1))),
        ("max_pages", ({}, {"max_pages": 3}, [1, 2, 3], (0, "finished", 4))),
        ("max_pages", ({2: NO_PAGE, 3: NO_PAGE}, {"max_pages": 3}, [1, 2, 3, 2, 3], (1, "open", 4))),
        ("max_authors", ({}, {"max_authors": 45}, [1, 2, 3], (0, "finished", 4))),
    ],
)
async def test_paging_ends_and_logs_why(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database, reason: str, case: Case
) -> None:
    script, arguments, pages, expected = case
    api.of, api.script = 400, script
    done = await crawl(**arguments)
    assert f"No further page ({reason}): " in done.stderr
    assert api.pages == pages
    sweep = await sweep_of(mongo_db)
    assert (done.returncode, sweep["state"], sweep["next_page"]) == expected, done.stderr
    if sweep["state"] == "finished":
        assert sweep["stop_reason"] == reason
    # Every page that was paid for is stored.
    assert await mongo_db.search_hits.count_documents({}) == sum(each["authors"] for each in sweep["pages"].values())
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert run["close_reason"] == ("max_authors" if reason == "max_authors" else "finished")
    verdicts = {"max_pages": "limited", "max_authors": "limited"} if done.returncode == 0 else {}
    good = verdicts.get(reason, "complete")
    assert run["verdict"] in ({good} if done.returncode == 0 else {"incomplete", "failed"})


@pytest.mark.parametrize("size", [10, 50])
async def test_a_page_may_have_any_size(api: ScriptedApi, crawl: Crawl, mongo_db: Database, size: int) -> None:
    api.of, api.size = 4 * size, size
    api.script = {3: [page(3, [], total=4 * size), full(3, of=4 * size, size=size)]}
    done = await crawl()
    assert (done.returncode, api.pages) == (0, [1, 2, 3, 4, 3])
    sweep = await sweep_of(mongo_db)
    assert (sweep["state"], sweep["authors"], sweep["fewer"]) == ("finished", 4 * size, 0)


async def test_the_same_command_goes_on_with_an_empty_page_and_where_the_search_stopped(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    api.of = 400
    api.script = {5: page(5, [], total=400), **{number: page(number, [], total=400) for number in range(12, 30)}}
    done = await crawl()
    assert "Page 5 is empty, although the search counts more: going on with the next page" in done.stderr
    assert "it resumes at page 12" in done.stderr
    assert "Verdict: incomplete: " in done.stderr
    assert "the search ended before page 12 (no_progress): 200 of 400 authors found" in done.stderr
    api.pages.clear()
    assert (await crawl()).returncode == 1
    assert api.pages == [12, 13, 14, 12, 13, 14, 5]
    api.pages.clear()
    api.script = {}
    done = await crawl()
    assert done.returncode == 0, done.stderr
    assert api.pages == [*range(12, 21), 5]
    sweep = await sweep_of(mongo_db)
    assert (sweep["state"], sweep["authors"], sweep["fewer"], sweep["pages_read"]) == ("finished", 400, 0, 20)


async def test_an_old_open_sweep_is_closed_and_the_search_begins_anew(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    api.script = {3: code(500)}
    assert (await crawl()).returncode == 1
    await mongo_db.sweeps.update_one({}, [{"$set": {"started_at": {"$subtract": ["$started_at", 25 * 3_600_000]}}}])
    api.script = {}
    api.pages.clear()
    assert (await crawl()).returncode == 0
    assert api.pages == [1, 2, 3, 4, 5]
    assert [each["state"] async for each in mongo_db.sweeps.find(sort=[("started_at", 1)])] == [
        "incomplete",
        "finished",
    ]


async def test_details_are_fresh_by_the_start_of_the_run_that_fetched_them(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    """A job that starts at the same minute every day refreshes every detail every day."""
    api.of = 20
    assert (await crawl(endpoints="base_info")).returncode == 0
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert await mongo_db.author_base_info.distinct("crawl.run_started_at") == [run["started_at"]]
    # A run of 23 hours that started a day ago, and answers of before there was the start of the run.
    hours = {"$subtract": ["$crawl.run_started_at", 24 * 3_600_000]}
    for star_id in authors(0, 12):
        await mongo_db.author_base_info.update_one({"star_id": star_id}, [{"$set": {"crawl.run_started_at": hours}}])
    for star_id in authors(12, 4):
        await mongo_db.author_base_info.update_one(
            {"star_id": star_id}, [{"$set": {"crawl.fetched_at": hours}}, {"$unset": "crawl.run_started_at"}]
        )
    await mongo_db.author_base_info.update_one({"star_id": authors(16)[0]}, {"$unset": {"crawl.run_started_at": ""}})
    api.details.clear()
    assert (await crawl(endpoints="base_info")).returncode == 0
    assert sorted(api.details) == authors(0, 16)


async def test_a_query_that_the_api_refuses_is_logged_in_one_line(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    api.script = {1: code(400, "followerRange is invalid")}
    for _ in range(2):
        done = await crawl()
        assert done.returncode == 1
        assert "The API refuses page 1 of the search (400, followerRange is invalid): check the filters" in done.stderr
    assert api.pages == [1, 1]
    assert (await sweep_of(mongo_db))["stop_reason"] == "page_refused"


async def test_a_query_without_authors_is_no_failure(api: ScriptedApi, crawl: Crawl, mongo_db: Database) -> None:
    api.script = {1: code(201)}
    assert (await crawl()).returncode == 0
    sweep = await sweep_of(mongo_db)
    assert (sweep["state"], sweep["stop_reason"], sweep["holes"]) == ("finished", "empty_page", [])


@pytest.mark.parametrize("missed", [code(500), NO_PAGE, code(0), code(201)])
async def test_a_page_that_succeeds_at_the_second_try_is_no_failure(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database, missed: dict[str, Any]
) -> None:
    api.script = {2: [missed, page(2, authors(20))]}
    done = await crawl()
    assert api.pages == [1, 2, 3, 4, 5, 2]
    sweep = await sweep_of(mongo_db)
    assert (sweep["state"], sweep["holes"], sweep["pages_read"], sweep["authors"]) == ("finished", [], 5, 100)
    assert await mongo_db.failures.count_documents({}) == 0
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert run["failures"]["open"] == 0
    # A response that is no page is kept raw, and the exit code reports it.
    quarantined = await mongo_db.quarantine.count_documents({})
    assert (quarantined, done.returncode) == ((1, 1) if missed["code"] == 0 else (0, 0))


@pytest.mark.parametrize(
    ("missed", "reason"), [(code(500), "server error"), (NO_PAGE, "quarantined"), (code(201), "no content")]
)
async def test_the_same_command_fetches_only_the_missing_page(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database, missed: dict[str, Any], reason: str
) -> None:
    api.script = {2: missed}
    assert (await crawl()).returncode == 1
    assert api.pages == [1, 2, 3, 4, 5, 2]
    sweep = await sweep_of(mongo_db)
    assert (sweep["state"], sweep["stop_reason"], sweep["holes"]) == ("open", "no_more_pages", [2])
    failure = await mongo_db.failures.find_one({})
    assert failure is not None
    assert (failure["page"], failure["terminal"]) == (2, False)
    assert reason in failure["reason"]
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["failures"]["open"], run["failures"]["terminal"]) == (1, 0)

    assert (await crawl()).returncode == 1
    del api.script[2]
    done = await crawl()
    assert done.returncode == 0, done.stderr
    assert api.pages == [1, 2, 3, 4, 5, 2, 2, 2]
    sweep = await sweep_of(mongo_db)
    assert (sweep["state"], sweep["holes"], sweep["authors"], sweep["fewer"]) == ("finished", [], 100, 0)
    assert await mongo_db.failures.count_documents({}) == 0
    # The next crawl begins a new sweep.
    assert (await crawl()).returncode == 0
    assert await mongo_db.sweeps.count_documents({}) == 2


async def test_the_same_command_resumes_where_the_search_went_down(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    api.of = 160
    api.script = {2: code(500), **dict.fromkeys(range(4, 20), code(500))}
    done = await crawl()
    assert done.returncode == 1
    assert "The search seems to be down: run the same command later, it resumes at page 4" in done.stderr
    assert api.pages == [1, 2, 3, 4, 5, 6]
    assert (await sweep_of(mongo_db))["holes"] == [2]
    api.script, api.pages = {}, []
    assert (await crawl()).returncode == 0
    assert api.pages == [4, 5, 6, 7, 8, 2]
    sweep = await sweep_of(mongo_db)
    assert (sweep["state"], sweep["authors"]) == ("finished", 160)
    assert await mongo_db.failures.count_documents({}) == 0


async def test_the_same_command_fetches_failed_details_and_no_page(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    api.of = 40
    failing, unknown = authors(3, 1)[0], authors(4, 1)[0]
    api.without_details = {failing: 500, unknown: 404}
    done = await crawl(endpoints="base_info")
    assert done.returncode == 1
    assert AFTER_FAILURES in done.stderr
    assert (await sweep_of(mongo_db))["state"] == "open"
    api.pages, api.details, api.without_details = [], [], {}
    done = await crawl(endpoints="base_info")
    assert done.returncode == 0, done.stderr
    assert (api.pages, api.details) == ([], [failing])
    assert (await sweep_of(mongo_db))["state"] == "finished"


async def test_a_resumed_sweep_is_not_finished_before_the_details_of_its_authors(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    assert (await crawl()).returncode == 0
    await mongo_db.sweeps.update_one({}, {"$set": {"state": "open", "finished_at": None}})
    for _ in range(2):
        done = await crawl(endpoints="base_info", max_calls=30)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert (await sweep_of(mongo_db))["state"] == "open"
    assert (await crawl(endpoints="base_info")).returncode == 0
    assert (len(api.pages), len(api.details)) == (5, 100)
    assert (await sweep_of(mongo_db))["state"] == "finished"


async def test_a_larger_limit_resumes_after_the_pages_that_were_read(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    for arguments, pages, details in (
        ({"max_authors": 30}, [1, 2], 30),
        ({"max_authors": 35}, [], 5),
        ({"max_pages": 3}, [3], 25),
        ({"max_pages": 4}, [4], 20),
        ({}, [5], 20),
    ):
        api.pages, api.details = [], []
        done = await crawl(endpoints="base_info", **arguments)
        assert done.returncode == 0, done.stderr
        assert (api.pages, len(api.details)) == (pages, details), arguments
        assert (await sweep_of(mongo_db))["state"] == "finished"
    sweep = await sweep_of(mongo_db)
    assert (sweep["stop_reason"], sweep["limits"], sweep["authors"]) == ("no_more_pages", None, 100)


async def test_the_same_limit_begins_a_new_sweep_and_so_does_any_after_max_age(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    for arguments in ({"max_pages": 2}, {"max_pages": 2}, {"max_pages": 1}, {"max_pages": 3, "max_age": 0}):
        assert (await crawl(**arguments)).returncode == 0
    assert api.pages == [1, 2, 1, 2, 1, 1, 2, 3]
    assert await mongo_db.sweeps.count_documents({"state": "finished", "stop_reason": "max_pages"}) == 4


async def test_a_limit_does_not_stick_to_an_interrupted_sweep(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    assert (await crawl(max_pages=2, endpoints="base_info", max_calls=10)).returncode == 0
    assert (await sweep_of(mongo_db))["stop_reason"] in {None, "max_pages"}
    done = await crawl(endpoints="base_info")
    assert done.returncode == 0, done.stderr
    assert sorted(api.pages) == [1, 2, 3, 4, 5]
    assert len(api.details) == 100
    assert (await sweep_of(mongo_db))["authors"] == 100


async def test_authors_that_moved_between_two_crawls_do_not_end_the_search(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    api.of = 400
    assert (await crawl(max_calls=2)).returncode == 0
    # Between the two crawls, twenty new authors appeared in front of the others.
    api.script = {n: page(n, authors((n - 2) * 20), total=420, more=n < 21) for n in range(3, 22)}
    assert (await crawl()).returncode == 0
    assert api.pages == list(range(1, 22))
    sweep = await sweep_of(mongo_db)
    assert (sweep["stop_reason"], sweep["authors"], sweep["fewer"]) == ("no_more_pages", 400, 20)


async def test_authors_that_the_api_counts_and_does_not_show_are_logged(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    api.script = {2: page(2, authors(15)), 5: page(5, authors(80, 18), more=False)}
    done = await crawl()
    assert done.returncode == 0
    assert "93 distinct authors found, the API counts 100: 7 fewer" in done.stderr
    sweep = await sweep_of(mongo_db)
    assert (sweep["authors"], sweep["total_count"], sweep["fewer"]) == (93, 100, 7)


async def test_a_new_sweep_removes_the_failures_of_earlier_sweeps(
    api: ScriptedApi, crawl: Crawl, mongo_db: Database
) -> None:
    api.script = {2: code(500)}
    assert (await crawl()).returncode == 1
    assert (await crawl(gender="FEMALE")).returncode == 1
    api.script = {}
    assert (await crawl(restart=1)).returncode == 0
    left = [each["sweep"] async for each in mongo_db.failures.find()]
    other = await mongo_db.sweeps.find_one({"state": "open", "filters.gender": {"$exists": True}})
    assert other is not None
    assert left == [other["_id"]]


async def test_unavailable_authors_do_not_use_up_the_limit(api: ScriptedApi, crawl: Crawl, mongo_db: Database) -> None:
    api.of = 60
    assert (await crawl()).returncode == 0
    api.without_details = dict.fromkeys(authors(0, 3), 404)
    fetched = []
    for limit in (40, 5):
        done = await crawl("authors", missing=1, endpoints="base_info", max_authors=limit)
        assert done.returncode == 0, done.stderr
        fetched.append(sorted(api.details))
        api.details.clear()
    assert fetched == [authors(0, 40), authors(40, 5)]


async def test_refusals_of_more_than_a_tenth_settle_nothing(api: ScriptedApi, crawl: Crawl, mongo_db: Database) -> None:
    api.of = 20
    assert (await crawl()).returncode == 0
    api.without_details = dict.fromkeys(authors(0, 5), 400)
    arguments = {"missing": 1, "endpoints": "base_info"}
    assert (await crawl("authors", **arguments)).returncode == 1
    api.without_details, api.details = {}, []
    assert (await crawl("authors", **arguments)).returncode == 0
    assert sorted(api.details) == authors(0, 5)


async def test_a_crawl_ends_where_every_endpoint_fails(api: ScriptedApi, crawl: Crawl, mongo_db: Database) -> None:
    api.of = 60
    api.without_details = dict.fromkeys(authors(0, 60), 301)
    done = await crawl(endpoints="base_info")
    assert done.returncode == 1
    assert done.stderr.count("base_info keeps failing: its requests are left to the next crawl") == 1
    run = await mongo_db.runs.find_one({})
    assert run is not None
    assert (run["close_reason"], run["verdict"]) == ("api_failing", "incomplete")
    assert "endpoint_failing" in {finding["kind"] for finding in run["findings"]}
    assert len(api.details) < 100
    api.without_details, api.details = {}, []
    assert (await crawl(endpoints="base_info")).returncode == 0
    assert sorted(api.details) == authors(0, 60)
