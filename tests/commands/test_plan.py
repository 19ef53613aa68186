"""`scrapy plan` against a sandbox: what it says is what the crawl then asks, told by the sandbox's own claims."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import Crawler, Finished, MakeCrawler, StartSandbox, command, environment, run
from xingtu_crawler.sandbox.process import SandboxProcess

Database = AsyncDatabase[dict[str, Any]]


def words(spider: str, *options: str, **arguments: object) -> list[str]:
    return ["plan", spider, *options, *(word for each in arguments.items() for word in ("-a", "{}={}".format(*each)))]


def plan(crawler: Crawler, spider: str, *options: str, **arguments: object) -> dict[str, Any]:
    """Plan, and return the JSON; nothing else may be on either stream."""
    done = crawler.scrapy(*words(spider, "--json", *options, **arguments))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def total(plan: dict[str, Any]) -> int:
    """Return the one number of a plan that has one."""
    calls = plan["calls"]["total"]
    assert calls["low"] == calls["high"]
    return int(calls["low"])


def crawl(crawler: Crawler, sandbox: SandboxProcess, spider: str, **arguments: Any) -> dict[str, Any]:
    """Crawl, and return the ledger of that crawl alone."""
    sandbox.control(reset_ledger=True)
    done = crawler(spider, **arguments)
    assert done.returncode == 0, done.stderr
    return sandbox.ledger()


@pytest.mark.parametrize(
    "asked",
    [
        (90, {}, 4 + 360),
        (90, {"max_pages": 1}, 0 + 80),
        (90, {"max_authors": 30}, 1 + 120),
        (90, {"max_authors": 7, "endpoints": "base_info"}, 0 + 7),
        (12, {"endpoints": "base_info,rec_videos", "platform": "SHORT_VIDEO,PICTURE_TEXT"}, 0 + 48),
        (20, {"endpoints": "base_info"}, 20),
    ],
)
async def test_the_crawl_makes_the_calls_that_were_planned(
    start_sandbox: StartSandbox,
    make_crawler: MakeCrawler,
    mongo_db: Database,
    asked: tuple[int, dict[str, object], int],
) -> None:
    authors, arguments, calls = asked
    sandbox = start_sandbox("--authors", str(authors))
    crawler = make_crawler(sandbox)
    planned = plan(crawler, "author_square", **arguments)
    assert total(planned) == calls
    assert planned["calls_made"] == sandbox.ledger()["calls"] == 1
    assert sandbox.ledger()["by_endpoint"] == {"search": {"calls": 1, "answered": 1}}
    assert await mongo_db.authors.count_documents({}) == 0  # until the crawl takes the page over

    ledger = crawl(crawler, sandbox, "author_square", **arguments)
    assert ledger["calls"] == calls
    assert 1 not in {call["page"] for call in sandbox.calls()}
    # One sweep, begun by the plan and finished by the crawl.
    assert [each["state"] async for each in mongo_db.sweeps.find()] == ["finished"]


async def test_a_plan_pays_once_for_page_1_and_is_marked_as_planned(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "60")
    crawler = make_crawler(sandbox)
    first, second = plan(crawler, "author_square"), plan(crawler, "author_square")
    assert (first["calls_made"], second["calls_made"]) == (1, 0)
    assert sandbox.ledger()["calls"] == 1
    assert first["calls"] == second["calls"]
    planned = await mongo_db.runs.find_one({})
    assert planned is not None
    assert (planned["spider"], planned["close_reason"], planned["calls"]["total"]) == ("author_square", "planned", 1)
    for name in ("authors", "search_hits", "videos", "sweeps", "author_base_info", "failures"):
        assert await mongo_db[name].count_documents({}) == 0, name
    (page,) = await mongo_db.planned_pages.find().to_list()
    assert (page["authors"], page["total_count"], page["stop"]) == (20, 60, None)
    state = json.loads(crawler.scrapy("status", "--json").stdout)
    assert (state["runs"], state["open_sweeps"], state["coverage"]["authors"]["count"]) == ([], [], 0)
    assert (state["days"]["total"]["runs"], state["days"]["total"]["calls"]) == (0, 1)
    assert "planned_pages" not in state["documents"]

    assert crawler("author_square").returncode == 0
    assert sandbox.ledger()["by_endpoint"]["search"]["calls"] == 3
    assert (await mongo_db.authors.count_documents({}), await mongo_db.planned_pages.count_documents({})) == (60, 0)
    assert await mongo_db.search_hits.count_documents({"page": 1}) == 20


async def test_a_planned_page_is_not_used_after_max_age(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "60")
    crawler = make_crawler(sandbox)
    plan(crawler, "author_square")
    old = {"$set": {"fetched_at": datetime.now(UTC) - timedelta(days=50)}}
    await mongo_db.planned_pages.update_one({}, old)
    assert plan(crawler, "author_square")["calls_made"] == 1
    await mongo_db.planned_pages.update_one({}, old)
    assert crawler("author_square", endpoints="none").returncode == 0
    assert sandbox.ledger()["calls"] == 2 + 3


async def test_the_largest_authors_do_not_stand_for_the_others(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler
) -> None:
    """A crawl has fetched the largest authors, who are page 1 of the next search."""
    sandbox = start_sandbox("--authors", "238")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", max_authors=30, gender="MALE").returncode == 0
    assert crawler("author_square", max_authors=40, gender="FEMALE").returncode == 0
    planned = plan(crawler, "author_square")
    calls = crawl(crawler, sandbox, "author_square")["calls"]
    low, high = planned["calls"]["total"].values()
    assert low <= calls <= high <= 1.2 * calls


async def test_a_wider_search_that_is_complete_makes_the_plan_of_a_narrower_one_exact(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler
) -> None:
    sandbox = start_sandbox("--authors", "150")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", gender="FEMALE").returncode == 0
    planned = plan(crawler, "author_square", gender="FEMALE", industry="GAMES")
    assert total(planned) == crawl(crawler, sandbox, "author_square", gender="FEMALE", industry="GAMES")["calls"]


async def test_a_query_that_no_author_matches_is_said_so(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler
) -> None:
    crawler = make_crawler(start_sandbox("--authors", "30"))
    shown = crawler.scrapy(*words("author_square", keyword="nosuchname"))
    assert "no author matches" in shown.stdout
    assert "Traceback" not in shown.stderr
    assert shown.error_lines == []
    assert re.search(r"calls +│ 0 ", shown.stdout), shown.stdout  # the crawl takes over the empty page
    assert total(plan(crawler, "author_square", keyword="nosuchname")) == 0


async def test_retries_of_earlier_crawls_are_in_the_high_end(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler
) -> None:
    sandbox = start_sandbox("--authors", "120", "--fault", "301=0.1")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", gender="MALE").returncode == 0
    planned = plan(crawler, "author_square")
    calls = crawl(crawler, sandbox, "author_square")["calls"]
    low, high = planned["calls"]["total"].values()
    assert low < calls <= high < 1.5 * calls
    assert planned["cost"]["currency"] == "CNY"


async def test_no_calls_makes_no_call(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> None:
    sandbox = start_sandbox("--authors", "50")
    crawler = make_crawler(sandbox)
    unknown = plan(crawler, "author_square", "--no-calls")
    assert unknown["basis"] == "bounds"
    assert unknown["calls"]["total"] == {"low": 1, "high": 40_500}
    assert sandbox.ledger()["calls"] == 0

    assert crawler("author_square", endpoints="base_info").returncode == 0
    sandbox.control(reset_ledger=True)
    known = plan(crawler, "author_square", "--no-calls")
    # The base info is fresh; the other three are not there.
    assert (total(known), known["basis"], known["fresh"]) == (3 + 150, "estimate", 50)
    assert known["rate"] is not None
    assert sandbox.ledger()["calls"] == 0
    assert crawl(crawler, sandbox, "author_square")["calls"] == 3 + 150


async def test_details_up_to_date_are_subtracted(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> None:
    sandbox = start_sandbox("--authors", "50")
    crawler = make_crawler(sandbox)
    assert crawler("author_square").returncode == 0
    again = plan(crawler, "author_square")
    assert (total(again), again["fresh"], again["calls_made"]) == (2, 200, 1)
    assert crawl(crawler, sandbox, "author_square")["calls"] == 2
    # Another order of the same search, which is complete: every author is known.
    assert plan(crawler, "author_square", sort="DEFAULT")["fresh"] == 200
    everything = plan(crawler, "author_square", max_age=0)
    assert total(everything) == 2 + 200
    assert crawl(crawler, sandbox, "author_square", max_age=0)["calls"] == 2 + 200


async def test_the_plan_of_an_interrupted_crawl_is_the_rest_of_it(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler
) -> None:
    sandbox = start_sandbox("--authors", "100")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", max_pages=4, max_calls=150).returncode == 0
    rest = plan(crawler, "author_square", max_pages=4)
    # Four pages in all, however often the command runs.
    assert (total(rest), rest["calls_made"]) == (4 + 320 - 150, 0)
    assert crawl(crawler, sandbox, "author_square", max_pages=4)["calls"] == total(rest)


async def test_a_restart_is_planned_without_a_call(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> None:
    sandbox = start_sandbox("--authors", "50")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", max_calls=60).returncode == 0
    stored = sandbox.ledger()["calls"] - sandbox.ledger()["by_endpoint"]["search"]["calls"]
    sandbox.control(reset_ledger=True)
    planned = plan(crawler, "author_square", restart=1)
    assert (planned["calls_made"], planned["calls"]["search"]["low"]) == (0, 3)
    assert total(planned) == 3 + 200 - stored
    assert crawl(crawler, sandbox, "author_square", restart=1)["calls"] == total(planned)


async def test_plans_of_known_authors_are_exact(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database, tmp_path: Path
) -> None:
    sandbox = start_sandbox("--authors", "40")
    crawler = make_crawler(sandbox)
    assert crawler("author_square", endpoints="base_info").returncode == 0
    star_ids = sorted([author["_id"] async for author in mongo_db.authors.find()])
    (tmp_path / "ids.txt").write_text("\n".join(star_ids), encoding="utf-8")
    long_ago = datetime.now(UTC) - timedelta(days=8)
    old = {"$set": {"crawl.fetched_at": long_ago, "crawl.run_started_at": long_ago}}
    await mongo_db.author_base_info.update_many({"star_id": {"$in": star_ids[:15]}}, old)
    failure = {"endpoint": "rec_videos", "platform": "SHORT_VIDEO", "code": 301, "reason": "x", "terminal": False}
    await mongo_db.failures.insert_many(
        {**failure, "_id": f"rec_videos:{star_id}:SHORT_VIDEO", "star_id": star_id, "failed_at": datetime.now(UTC)}
        for star_id in star_ids[:6]
    )
    sandbox.control(reset_ledger=True)
    for arguments, calls, authors in (
        ({"stale": "7d", "endpoints": "base_info"}, 15, 15),
        ({"failed": 1}, 6, 6),
        ({"failed": 1, "max_authors": 4}, 4, 4),
        ({"missing": 1, "endpoints": "base_info,video_distribution"}, 40, 40),
        ({"star_ids": ",".join(star_ids[:3]), "endpoints": "base_info,rec_videos"}, 6, 3),
        ({"star_ids_file": "ids.txt", "max_authors": 20}, 15 + 60, 20),
    ):
        planned = plan(crawler, "authors", **arguments)
        assert (total(planned), planned["authors"]["low"], planned["basis"]) == (calls, authors, "exact"), arguments
    assert sandbox.ledger()["calls"] == 0
    # Nothing was claimed or written by all that planning.
    assert crawl(crawler, sandbox, "authors", star_ids_file="ids.txt", max_authors=20)["calls"] == 75
    assert crawl(crawler, sandbox, "authors", missing=1, endpoints="video_distribution")["calls"] == 20


async def test_pace_cost_and_limits_are_in_the_plan(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    sandbox = start_sandbox("--authors", "60")
    crawler = make_crawler(sandbox, token="one,two")
    before = plan(crawler, "author_square", max_calls=100)
    assert before["rate"] == {"calls_per_second": 50.0, "from": "start"}  # no run has measured it yet
    assert before["seconds"]["low"] == pytest.approx(before["calls"]["total"]["low"] / 50, abs=0.1)
    assert before["this_run"]["calls"] == {"low": 100, "high": 100}
    assert before["this_run"]["stopped_by"] == "max_calls"

    # The sandbox's account says what a call costs.
    assert before["cost_per_call"] is not None
    day = datetime.now(UTC).astimezone().astimezone(UTC) + timedelta(hours=8)
    await mongo_db.daily_calls.update_one({"_id": day.date().isoformat()}, {"$set": {"calls": 50}}, upsert=True)
    env = {"XINGTU_MAX_RATE": "11", "XINGTU_DAILY_CALLS": "80"}
    typed = words("author_square", "--json", "--no-calls", max_calls=100)
    done = run(command(*typed), cwd=crawler.cwd, env=crawler.env(**env))
    told = json.loads(done.stdout)
    assert told["rate"] == {"calls_per_second": 22.0, "from": "XINGTU_MAX_RATE"}
    assert told["seconds"]["low"] == pytest.approx(242 / 22, abs=0.1)
    assert told["this_run"]["calls"] == {"low": 30, "high": 30}
    assert told["this_run"]["stopped_by"] == "daily_calls"
    assert told["limits"] == {"max_calls": 100, "daily_cap": 80, "daily_left": 30}
    assert told["days"] == {"low": 4, "high": 4}

    shown = run(command(*words("author_square", max_calls=100)), cwd=crawler.cwd, env=crawler.env(**env))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "242" in shown.stdout
    assert "XINGTU_DAILY_CALLS=80 leaves 30 calls today" in shown.stdout
    assert "22 calls/s (XINGTU_MAX_RATE)" in shown.stdout


def refused(done: Finished) -> str:
    assert done.stdout == ""
    assert len(done.error_lines) == 1, done.stderr
    assert done.error_lines[0].startswith("error: ")
    return done.error_lines[0]


def test_a_mistake_is_one_error_line_before_the_first_call(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    sandbox = start_sandbox("--authors", "20")
    base = {"JUSTONEAPI_ENV": "sandbox", "JUSTONEAPI_BASE_URL": sandbox.base_url}
    for typed, said in (
        (["plan"], "Name one spider: "),
        (["plan", "author_squar"], "did you mean author_square?"),
        (["plan", "author_square", "authors"], "does not take 'authors'"),
        (["plan", "author_square", "--no-cals"], "did you mean --no-calls?"),
        (words("author_square", max_page=3), "did you mean max_pages=?"),
        (words("authors", star_ids="x"), "not a star id"),
        (["plan", "author_square", "-s", "XINGTU_MAX_RATE=fast"], "XINGTU_MAX_RATE is 'fast'"),
    ):
        done = run(command(*typed), cwd=tmp_path, env=environment(**base))
        assert done.returncode == 2
        assert said in refused(done)
    without_token = run(command("plan", "author_square"), cwd=tmp_path, env=environment())
    assert without_token.returncode == 2
    assert "JUSTONEAPI_TOKEN" in refused(without_token)
    assert sandbox.ledger()["calls"] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_spider_of_ones_own_has_no_plan(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import scrapy\nclass Own(scrapy.Spider):\n    name = 'own'\n", encoding="utf-8")
    done = run(command("plan", "own", "-s", "SPIDER_MODULES=own"), cwd=tmp_path, env=environment())
    assert done.returncode == 2
    assert refused(done) == "error: own is a spider of your own: scrapy plan cannot estimate it."


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--token", "sandbox=invalid"), 1, "no_valid_token"),
        (("--fail", "search:1=301"), 1, "301"),
        (("--fail", "search:1=400"), 1, "400"),
    ],
)
async def test_without_page_1_there_is_no_plan(
    start_sandbox: StartSandbox,
    make_crawler: MakeCrawler,
    options: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    sandbox = start_sandbox("--authors", "60", *options)
    crawler = make_crawler(sandbox)
    done = crawler.scrapy(*words("author_square"))
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
    assert "error: " in done.stderr
    # What is known without the page is still told.
    assert plan(crawler, "author_square", "--no-calls")["basis"] == "bounds"


async def test_a_query_without_authors_costs_a_page(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> None:
    sandbox = start_sandbox("--authors", "60", "--fail", "search:1=201")
    nothing = plan(make_crawler(sandbox), "author_square")
    assert (nothing["authors"]["high"], total(nothing), nothing["basis"]) == (0, 1, "exact")


async def test_an_unreachable_api_is_one_error_line(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> None:
    sandbox = start_sandbox("--authors", "20")
    crawler = make_crawler(sandbox)
    sandbox.stop()
    done = crawler.scrapy(*words("author_square"))
    assert done.returncode == 2
    assert "refused" in refused(done)


def test_the_embedded_database_serves_plan_and_crawl(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    sandbox = start_sandbox("--authors", "30")
    crawler = Crawler(sandbox.base_url, "", "xingtu_sandbox", tmp_path)
    assert total(plan(crawler, "author_square")) == 1 + 120
    assert crawl(crawler, sandbox, "author_square")["calls"] == 1 + 120
