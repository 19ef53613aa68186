"""Which authors count towards `max_authors` where their ids are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence

from xingtu_crawler.storage.claims import DetailKey


class AuthorLimit:
    """Lets the details of the first `max_authors` authors pass, in the order in which they come (None: all).

    Only authors who lack something come here. If complete authors counted, every run would use its limit up on them.
    """

    def __init__(self, max_authors: int | None) -> None:
        self._max_authors = max_authors
        self._authors: set[str] = set()
        """The authors within the limit; empty where there is none, as there may be millions."""

    @property
    def is_reached(self) -> bool:
        """Whether as many authors have passed as may."""
        return self._max_authors is not None and len(self._authors) >= self._max_authors

    def split(self, details: Sequence[DetailKey]) -> tuple[list[DetailKey], list[DetailKey], int]:
        """Return the details within the limit, those beyond it, and how many authors of the former are new."""
        if self._max_authors is None:
            return list(details), [], len({detail.star_id for detail in details})
        before = len(self._authors)
        within: list[DetailKey] = []
        beyond: list[DetailKey] = []
        for detail in details:
            if detail.star_id in self._authors or not self.is_reached:
                self._authors.add(detail.star_id)
                within.append(detail)
            else:
                beyond.append(detail)
        return within, beyond, len(self._authors) - before
