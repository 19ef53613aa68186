"""How many authors have all the details that a crawl wants of them. Plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from xingtu_crawler.storage.claims import DetailKey


class Coverage:
    """Counts the authors that a crawl has looked at, and those of them who lack nothing.

    `tally` counts the latter in the stats too.
    """

    def __init__(self, tally: Callable[[str, int], None]) -> None:
        self.tally = tally
        self.authors = 0
        self.complete = 0
        self._open: Counter[str] = Counter()
        """The requests that are open, by author."""
        self._lacking: set[str] = set()
        """The authors of whom a request has failed; one who is listed again stays incomplete."""
        self._refused: set[str] = set()
        """The authors of whom the API has refused a request."""

    def expect(self, star_ids: Sequence[str], claimed: Iterable[DetailKey]) -> None:
        """Record authors and the details to be requested of them; an author without any is complete."""
        before = (self._open.keys() | self._lacking) & set(star_ids)
        self._open.update(detail.star_id for detail in claimed)
        new = [star_id for star_id in dict.fromkeys(star_ids) if star_id not in before]
        self.authors += len(new)
        self._count(sum(star_id not in self._open for star_id in new))

    def settle(self, star_id: str, *, is_settled: bool, is_refused: bool = False) -> None:
        """Record the end of one request.

        `is_settled`: the document is stored, or the API has none; `is_refused`: the latter, as far as is known now.
        """
        if star_id not in self._open:
            return
        if is_refused:
            self._refused.add(star_id)
        self._open[star_id] -= 1
        if not is_settled:
            self._lacking.add(star_id)
        if self._open[star_id] == 0:
            del self._open[star_id]
            if star_id not in self._lacking:
                self._count(1)

    def reopen(self, star_ids: Iterable[str]) -> None:
        """Record that refusals of these authors settle nothing, as the API has refused too many requests."""
        reopened = self._refused & set(star_ids)
        self._count(-sum(star_id not in self._open and star_id not in self._lacking for star_id in reopened))
        self._lacking |= reopened
        self._refused -= reopened

    def _count(self, complete: int) -> None:
        self.complete += complete
        if complete:
            self.tally("authors_complete", complete)
