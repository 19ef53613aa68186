"""The order of pages and details: pages do not run ahead of the details, and the details do not run out."""

from __future__ import annotations

from harness import MakeCrawler, StartSandbox

from xingtu_crawler.spiders.base import AHEAD

PER_PAGE = 20 * 4
IN_FLIGHT = 8


async def test_one_call_at_a_time_is_enough(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> None:
    sandbox = start_sandbox("--authors", "40")
    done = make_crawler(sandbox)("author_square", settings={"CONCURRENT_REQUESTS": 1})
    assert done.returncode == 0, done.stderr
    ledger = sandbox.ledger()
    assert (ledger["calls"], ledger["max_in_flight"]) == (2 + 40 * 4, 1)


async def test_a_page_is_fetched_while_the_details_of_the_one_before_are(
    start_sandbox: StartSandbox, make_crawler: MakeCrawler
) -> None:
    sandbox = start_sandbox("--authors", "100", "--latency", "5")
    done = make_crawler(sandbox)("author_square", settings={"CONCURRENT_REQUESTS": IN_FLIGHT})
    assert done.returncode == 0, done.stderr

    details_before: dict[int, int] = {}
    details = 0
    for call in sandbox.calls():
        if call["endpoint"] == "search":
            details_before[call["page"]] = details
        else:
            details += 1
    assert list(details_before) == [1, 2, 3, 4, 5]
    for page in (3, 4, 5):
        known = (page - 1) * PER_PAGE
        assert details_before[page] < known, "details are left to fetch while the page is fetched"
        assert details_before[page] >= known - AHEAD * IN_FLIGHT, "the page does not run ahead"


async def test_concurrent_requests_are_in_flight(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> None:
    sandbox = start_sandbox("--authors", "200", "--latency", "300")
    done = make_crawler(sandbox)("author_square", settings={"CONCURRENT_REQUESTS": 100})
    assert done.returncode == 0, done.stderr
    assert sandbox.ledger()["max_in_flight"] == 100
