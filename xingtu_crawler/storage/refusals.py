"""What the API refuses (codes 400, 404, 201, 202): rare refusals settle their questions, frequent ones do not.

A few deleted authors are normal. Where the API refuses a tenth of an endpoint's requests or more, the API is at fault,
or the request; the same refusals would then keep a whole panel from being fetched. Which of the two it is shows at the
end of a run. Until then a refusal is an open failure, so that a killed run settles nothing.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from pymongo.asynchronous.database import AsyncDatabase

from xingtu_crawler.api.codes import REFUSED
from xingtu_crawler.items.answers import FailedRequest
from xingtu_crawler.mongo.outages import Outages
from xingtu_crawler.storage.collections import FAILURES
from xingtu_crawler.storage.documents import failure_id
from xingtu_crawler.verdict import KINDS, MAX_EXAMPLES, Findings

SHARE = 0.1
"""Refusals of more than this share of an endpoint's requests settle nothing."""
_AT_ONCE = 1_000


def is_refusal(failed: FailedRequest) -> bool:
    """Return whether the API has refused a request for details; the search judges its own pages."""
    return failed.star_id is not None and failed.code in REFUSED and failed.terminal and failed.reason != "quarantined"


class _Refusal(NamedTuple):
    """A refusal: the `_id` of its failure, the author, and the code with its meaning."""

    key: str
    star_id: str
    label: str


class Refusals:
    """Counts the requests and refusals of one run by endpoint, and settles the refusals at its end.

    Args:
        database: the database of the dataset.
        outages: waits for MongoDB where it is away.
        run_id: the run.
        count: takes the name of a figure and a number to add to it.
        findings: the findings of the run.
    """

    def __init__(
        self,
        database: AsyncDatabase[dict[str, Any]],
        outages: Outages,
        *,
        run_id: str,
        count: Callable[[str, int], None],
        findings: Findings,
    ) -> None:
        self._failures = database[FAILURES]
        self._outages = outages
        self._run_id = run_id
        self._count = count
        self._findings = findings
        self.open_authors: set[str] = set()
        """The authors whose refusals `settle` has left open."""
        self._requests: Counter[str] = Counter()
        self._refused: defaultdict[str, list[_Refusal]] = defaultdict(list)

    def ended(self, endpoint: str) -> None:
        """Count a request for details that has ended, refused or not."""
        self._requests[endpoint] += 1

    def refused(self, failed: FailedRequest) -> None:
        """Register a refusal that is stored as an open failure."""
        assert failed.star_id is not None
        assert failed.platform is not None
        key = failure_id(failed.endpoint, failed.star_id, failed.platform)
        self._refused[failed.endpoint].append(_Refusal(key, failed.star_id, f"{failed.code} {failed.reason}"))

    async def settle(self) -> None:
        """Make the refusals of each endpoint final, unless they are too many; call it when the run has ended.

        Raises `StorageError` where MongoDB stays away: the refusals stay open then.
        """
        while self._refused:
            endpoint, refused = self._refused.popitem()
            if len(refused) > SHARE * self._requests[endpoint]:
                self._keep_open(endpoint, refused)
            else:
                await self._make_final(refused)

    async def _make_final(self, refused: list[_Refusal]) -> None:
        for at in range(0, len(refused), _AT_ONCE):
            keys = [each.key for each in refused[at : at + _AT_ONCE]]
            # Another run may have requested the detail since, with another result.
            condition = {"_id": {"$in": keys}, "run_id": self._run_id}
            await self._outages.retry_while_away(
                partial(self._failures.update_many, condition, {"$set": {"terminal": True}})
            )

    def _keep_open(self, endpoint: str, refused: list[_Refusal]) -> None:
        self._count("failures/terminal", -len(refused))
        self._count("failures/open", len(refused))
        self.open_authors.update(each.star_id for each in refused)
        condition = json.dumps({"run_id": self._run_id, "endpoint": endpoint, "terminal": False})
        advice = f"{KINDS['refused_often'].advice} List them: scrapy find failures --filter '{condition}' --limit 0"
        often = Counter(each.label for each in refused).most_common(1)[0][0]
        for number, each in enumerate(refused[:MAX_EXAMPLES]):
            self._findings.add(
                "refused_often",
                f"the API refused {{count}} of {self._requests[endpoint]:,} requests for {endpoint} ({often}): none of "
                "them counts as unavailable",
                count=0 if number else len(refused),
                example=each.star_id,
                advice=advice,
                key=endpoint,
            )
