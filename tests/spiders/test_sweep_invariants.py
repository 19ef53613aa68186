"""Whatever a search shows, a sweep ends within its bound, and never looks complete while authors are missing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from xingtu_crawler.arguments.query import AuthorQuery
from xingtu_crawler.items.page import SearchPage
from xingtu_crawler.spiders.extent import MORE_PAGES
from xingtu_crawler.spiders.sweep import Phase, Sweep

QUERY = AuthorQuery.build({})
CAP = 200
CODES = {"failed": (500, False), "no page": (0, False), "refused": (404, True), "absent": (201, True)}


@dataclass
class Faults:
    """A search of `authors`, `size` on a page, that shows some pages wrongly.

    `script` has what the answers to a page are, in turn: `fine` once it is used up, or its last entry for ever.
    """

    authors: int
    size: int
    total: str
    more: str
    script: dict[int, list[str]]
    is_for_ever: bool

    def answer(self, number: int) -> str | SearchPage:
        """Return the answer to a page: a page, or the name of what comes instead."""
        planned = self.script.get(number, ["fine"])
        what = planned[0] if len(planned) == 1 and self.is_for_ever else planned.pop(0) if planned else "fine"
        if what in CODES:
            return what
        first = (number - 1) * self.size
        shown = [str(each) for each in range(first, min(first + self.size, self.authors))]
        if what == "empty":
            shown = []
        elif what == "copy" and number > 1:
            shown = [str(each) for each in range(first - self.size, min(first, self.authors))]
        elif what == "page 1":
            shown = [str(each) for each in range(min(self.size, self.authors))]
        is_last = number * self.size >= self.authors
        more = {"right": not is_last, "missing": None, "always": True, "never": False}[self.more]
        if what == "last":
            more = False
        total = {"right": self.authors, "missing": None, "of the page": len(shown), "zero": 0}[self.total]
        return SearchPage(1, self.size, more, total, [{"star_id": each} for each in shown], {})


def crawl(search: Faults) -> tuple[Sweep, list[int]]:
    """Crawl as the spider does; return the sweep and the pages that were requested."""
    sweep = Sweep("q-1", QUERY, cap=CAP)
    requested: list[int] = []
    again: deque[int] = deque()
    while sweep.phase is not Phase.DONE:
        if sweep.phase is Phase.ENDED:
            again.extend(sweep.retry_holes())
            continue
        is_again = sweep.phase is Phase.RETRYING
        number = again.popleft() if is_again else sweep.request()
        requested.append(number)
        answer = search.answer(number)
        if isinstance(answer, str):
            code, terminal = CODES[answer]
            sweep.lose(number, code=code, terminal=terminal, again=is_again, max_authors=None)
            continue
        new = sweep.new([author["star_id"] for author in answer.authors])  # type: ignore[index]
        sweep.seen |= dict.fromkeys(new, True)
        sweep.read(number, answer, new, again=is_again, max_authors=None)
    return sweep, requested


def searches(*, totals: list[str], mores: list[str], faults: list[str]) -> st.SearchStrategy[Faults]:
    return st.builds(
        Faults,
        authors=st.integers(0, 190),
        size=st.sampled_from([10, 20, 50]),
        total=st.sampled_from(totals),
        more=st.sampled_from(mores),
        script=st.dictionaries(
            st.integers(1, 12), st.lists(st.sampled_from([*faults, "fine"]), min_size=1, max_size=4), max_size=12
        ),
        is_for_ever=st.booleans(),
    )


FAULTS = ["empty", "copy", "page 1", "last", *CODES]
MORES = ["right", "missing", "always", "never"]


@settings(max_examples=400)
@given(searches(totals=["right", "missing", "of the page", "zero"], mores=MORES, faults=FAULTS))
def test_the_number_of_requests_is_bounded(search: Faults) -> None:
    sweep, requested = crawl(search)
    total = CAP if sweep.total_count is None else min(sweep.total_count, CAP)
    assert len(requested) <= -(-total // sweep.page_size) + MORE_PAGES
    assert set(requested) == set(range(1, max(requested) + 1))
    assert not sweep.holes - set(requested)


@settings(max_examples=400)
@given(searches(totals=["right"], mores=MORES, faults=FAULTS))
def test_no_sweep_is_complete_with_a_page_missing(search: Faults) -> None:
    # A page that is empty, refused or absent, and says nothing of any authors, is a query without authors.
    sweep, requested = crawl(search)
    if sweep.is_left_open or sweep.holes or sweep.is_empty:
        return
    assert len(sweep.seen) == search.authors, requested


@settings(max_examples=200)
@given(searches(totals=["right"], mores=["right", "missing", "never"], faults=["last"]))
def test_a_search_that_only_ends_too_early_is_read_completely(search: Faults) -> None:
    sweep, _ = crawl(search)
    assert (len(sweep.seen), sweep.holes, sweep.is_left_open) == (search.authors, set(), False)


@settings(max_examples=200)
@given(
    searches(totals=["right"], mores=["right", "missing"], faults=[]),
    st.integers(1, 10),
    st.sampled_from(["empty", "copy", "failed", "refused", "absent"]),
)
def test_one_bad_answer_in_the_middle_costs_one_request(search: Faults, number: int, fault: str) -> None:
    search.script, search.is_for_ever = {number: [fault]}, False
    pages = -(-search.authors // search.size)
    if not 1 < number <= pages:
        return
    sweep, requested = crawl(search)
    assert (len(sweep.seen), sweep.holes, sweep.is_left_open) == (search.authors, set(), False)
    # One more page where the failed one is the last, or where nothing says that it is the last.
    assert len(requested) <= pages + 2
